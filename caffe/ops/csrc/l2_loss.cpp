// The weighted L2 loss on the CPU.
#include "l2_loss.h"

#include <cstdint>

namespace {

PER_CPU double row_distance(const float* a, const float* b, int64_t width) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; ++i) sum += caffe_ops::squared_difference(a[i], b[i]);
  return sum;
}

PER_CPU void row_gradient(const float* a, const float* b, int64_t width, float weight,
                          float* diff) {
  for (int64_t i = 0; i < width; ++i) diff[i] = caffe_ops::l2_gradient(a[i], b[i], weight);
}

}  // namespace

// a, b (rows, width) -> distances (rows): |a_r - b_r|^2.
EXPORTED void caffe_l2_distances(const float* a, const float* b, int64_t rows, int64_t width,
                                 double* distances, int64_t threads) {
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(threads))
  for (int64_t r = 0; r < rows; ++r) {
    distances[r] = row_distance(a + r * width, b + r * width, width);
  }
}

// a, b (rows, width), weights (rows) -> a_diff (rows, width): w_r (a_r - b_r).
EXPORTED void caffe_l2_gradient(const float* a, const float* b, const float* weights, int64_t rows,
                                int64_t width, float* a_diff, int64_t threads) {
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(threads))
  for (int64_t r = 0; r < rows; ++r) {
    row_gradient(a + r * width, b + r * width, width, weights[r], a_diff + r * width);
  }
}

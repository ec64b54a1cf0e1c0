// Score-weighted concatenation on the CPU.
#include "score_weighted_concat.h"

#include <cstdint>

namespace {

PER_CPU void weigh_row(const float* from, float score, int64_t width, float* to) {
  for (int64_t i = 0; i < width; ++i) to[i] = caffe_ops::weighted(from[i], score);
}

}  // namespace

// Row r of `from` times scores[r] -> row r of `to`; rows of `width` numbers, their starts
// `from_stride` and `to_stride` apart. Forward it writes one feature's columns of the top,
// backward it reads them.
EXPORTED void caffe_weigh_rows(const float* from, int64_t from_stride, const float* scores,
                               int64_t rows, int64_t width, float* to, int64_t to_stride,
                               int64_t threads) {
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(threads))
  for (int64_t r = 0; r < rows; ++r) {
    weigh_row(from + r * from_stride, scores[r], width, to + r * to_stride);
  }
}

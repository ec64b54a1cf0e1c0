// The weighted L2 loss on a GPU.
#include "l2_loss.h"
#include "launch.h"

namespace {

using namespace caffe_ops;

struct Distances {
  const float *a, *b;
  int64_t width;
  double* distances;
};

// One block per row; each thread's sum and the order in which they are joined are fixed.
__global__ void sum_rows(Distances in) {
  __shared__ double sums[kThreads];
  const float* a = in.a + blockIdx.x * in.width;
  const float* b = in.b + blockIdx.x * in.width;
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < in.width; i += kThreads) {
    sum += squared_difference(a[i], b[i]);
  }
  sums[threadIdx.x] = sum;
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) in.distances[blockIdx.x] = sums[0];
}

struct Gradient {
  const float *a, *b, *weights;
  int64_t width;
  float* a_diff;
};

__global__ void differ(Gradient in) {
  const Stretch part = stretch(blockIdx.x, in.width);
  const int64_t row = part.row * in.width;
  for (int64_t i = part.begin + threadIdx.x; i < part.end; i += kThreads) {
    in.a_diff[row + i] = l2_gradient(in.a[row + i], in.b[row + i], in.weights[part.row]);
  }
}

}  // namespace

// As in l2_loss.cpp.
EXPORTED int caffe_l2_distances(const float* a, const float* b, int64_t rows, int64_t width,
                                double* distances, int64_t device, void* stream) {
  const Distances in = {a, b, width, distances};
  return launch(sum_rows, rows, in, device, stream);
}

EXPORTED int caffe_l2_gradient(const float* a, const float* b, const float* weights, int64_t rows,
                               int64_t width, float* a_diff, int64_t device, void* stream) {
  const Gradient in = {a, b, weights, width, a_diff};
  return launch(differ, stretches(rows, width), in, device, stream);
}

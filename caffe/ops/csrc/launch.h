// How every kernel is started.
#pragma once

#include <cuda_runtime.h>

#include "portable.h"

namespace caffe_ops {

// Every kernel's threads per block. A kernel takes one structure, by value.
constexpr int kThreads = 256;

HOST_DEVICE inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// -> 0, or CUDA's number of what went wrong. The caller's current device becomes `device`.
template <typename Arguments>
int launch(void (*kernel)(Arguments), int64_t blocks, Arguments arguments, int64_t device,
           void* stream) {
  if (blocks == 0) return cudaSuccess;  // CUDA refuses an empty grid
  const cudaError_t status = cudaSetDevice(static_cast<int>(device));
  if (status != cudaSuccess) return status;
  void* pointers[] = {&arguments};
  return cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), pointers, 0,
                          static_cast<cudaStream_t>(stream));
}

// Kernels over (rows, width) numbers give each block a stretch of one row.
struct Stretch {
  int64_t row, begin, end;
};

constexpr int64_t kLongest = 16 * kThreads;

inline int64_t stretches(int64_t rows, int64_t width) { return rows * ceil_div(width, kLongest); }

HOST_DEVICE inline Stretch stretch(unsigned block, int64_t width) {
  const unsigned per_row = static_cast<unsigned>(ceil_div(width, kLongest));
  const int64_t begin = block % per_row * kLongest;
  return {block / per_row, begin, begin + kLongest < width ? begin + kLongest : width};
}

}  // namespace caffe_ops

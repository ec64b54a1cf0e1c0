// Whether this library can compute on a GPU, and what went wrong on it.
#include "launch.h"

namespace {

__global__ void nothing(int) {}

}  // namespace

// -> 0 if the driver is new enough and the library holds code for this GPU.
EXPORTED int caffe_usable(int64_t device) {
  const cudaError_t status = cudaSetDevice(static_cast<int>(device));
  if (status != cudaSuccess) return status;
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, nothing);
}

EXPORTED const char* caffe_error_text(int64_t status) {
  return cudaGetErrorString(static_cast<cudaError_t>(status));
}

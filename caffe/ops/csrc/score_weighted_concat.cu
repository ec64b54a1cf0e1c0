// Score-weighted concatenation on a GPU.
#include "launch.h"
#include "score_weighted_concat.h"

namespace {

using namespace caffe_ops;

struct Weighing {
  const float* from;
  int64_t from_stride;
  const float* scores;
  int64_t width;
  float* to;
  int64_t to_stride;
};

__global__ void weigh(Weighing in) {
  const Stretch part = stretch(blockIdx.x, in.width);
  const float* from = in.from + part.row * in.from_stride;
  float* to = in.to + part.row * in.to_stride;
  const float score = in.scores[part.row];
  for (int64_t i = part.begin + threadIdx.x; i < part.end; i += kThreads) {
    to[i] = weighted(from[i], score);
  }
}

}  // namespace

// As in score_weighted_concat.cpp.
EXPORTED int caffe_weigh_rows(const float* from, int64_t from_stride, const float* scores,
                              int64_t rows, int64_t width, float* to, int64_t to_stride,
                              int64_t device, void* stream) {
  const Weighing in = {from, from_stride, scores, width, to, to_stride};
  return launch(weigh, stretches(rows, width), in, device, stream);
}

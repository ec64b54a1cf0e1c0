// Every kernel of caffe/ops/csrc, compiled for the CPU: see cuda_runtime.h.
#include "device.cu"
#include "l2_loss.cu"
#include "rois.cu"
#include "roi_pooling.cu"
#include "score_weighted_concat.cu"

// In which order a block's threads take turns: 0 as numbered, 1 backwards, others at random.
EXPORTED void caffe_set_order(int64_t order) {
  cuda_on_cpu::order() = static_cast<unsigned>(order);
}

// Of all extents up to `sizes` and numbers of bins up to `most`: how often bins_over and bin_span
// disagree about whether a bin holds a pixel.
EXPORTED int64_t caffe_wrong_bins(int64_t sizes, int64_t most) {
  int64_t wrong = 0;
  for (int size = 1; size <= sizes; ++size) {
    const int limit = size / 2 + 3;  // inside the extent, which begins at -2
    for (int bins = 1; bins <= most; ++bins) {
      std::vector<caffe_ops::Span> spans;
      for (int p = 0; p < bins; ++p) {
        spans.push_back(caffe_ops::bin_span({-2, size}, bins, p, limit));
      }
      for (int x = 0; x < limit; ++x) {
        const caffe_ops::Span over = caffe_ops::bins_over({-2, size}, bins, x);
        for (int p = 0; p < bins; ++p) {
          const bool holds = spans[p].begin <= x && x < spans[p].end;
          wrong += holds != (over.begin <= p && p < over.end);
        }
      }
    }
  }
  return wrong;
}

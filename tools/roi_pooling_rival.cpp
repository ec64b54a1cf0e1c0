// RoI max pooling as one writes it at first: for each box, for each channel, for each bin, look at
// every pixel. What tools/bench.py times caffe/ops against; nothing else uses it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace {

int clipped(int x, int limit) { return std::min(std::max(x, 0), limit); }

}  // namespace

// maps (N,C,H,W), rois (boxes,6) -> top, argmax (boxes,C,bins,bins)
extern "C" void rival_forward(const float* maps, int64_t channels, int64_t height, int64_t width,
                              const float* rois, int64_t boxes, int64_t bins, float scale,
                              float* top, int32_t* argmax) {
  const int limit_y = static_cast<int>(height), limit_x = static_cast<int>(width);
#pragma omp parallel for schedule(dynamic)
  for (int64_t r = 0; r < boxes; ++r) {
    const float* roi = rois + 6 * r;
    const int x1 = static_cast<int>(roundf(roi[1] * scale));
    const int y1 = static_cast<int>(roundf(roi[2] * scale));
    const int x2 = static_cast<int>(roundf(roi[3] * scale));
    const int y2 = static_cast<int>(roundf(roi[4] * scale));
    const float step_y = static_cast<float>(std::max(y2 - y1 + 1, 1)) / bins;
    const float step_x = static_cast<float>(std::max(x2 - x1 + 1, 1)) / bins;
    const float factor = 10.0f * roi[5] + 1.0f;
    for (int64_t c = 0; c < channels; ++c) {
      const float* map = maps + (static_cast<int64_t>(roi[0]) * channels + c) * height * width;
      for (int h = 0; h < bins; ++h) {
        const int begin_y = clipped(static_cast<int>(floorf(h * step_y)) + y1, limit_y);
        const int end_y = clipped(static_cast<int>(ceilf((h + 1) * step_y)) + y1, limit_y);
        for (int w = 0; w < bins; ++w) {
          const int begin_x = clipped(static_cast<int>(floorf(w * step_x)) + x1, limit_x);
          const int end_x = clipped(static_cast<int>(ceilf((w + 1) * step_x)) + x1, limit_x);
          const bool empty = begin_y >= end_y || begin_x >= end_x;
          float best = empty ? 0.0f : -std::numeric_limits<float>::max();
          int32_t at = -1;
          for (int y = begin_y; y < end_y; ++y) {
            for (int x = begin_x; x < end_x; ++x) {
              const int32_t pixel = y * limit_x + x;
              if (map[pixel] > best) {
                best = map[pixel];
                at = pixel;
              }
            }
          }
          const int64_t out = ((r * channels + c) * bins + h) * bins + w;
          top[out] = best * factor;
          argmax[out] = at;
        }
      }
    }
  }
}

// top_diff, argmax -> maps_diff, zeros before. Boxes share pixels, so the channels go in parallel.
extern "C" void rival_backward(const float* top_diff, const int32_t* argmax, int64_t channels,
                               int64_t pixels, const float* rois, int64_t boxes, int64_t bins,
                               float* maps_diff) {
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t r = 0; r < boxes; ++r) {
      const float* roi = rois + 6 * r;
      float* map = maps_diff + (static_cast<int64_t>(roi[0]) * channels + c) * pixels;
      const float factor = 10.0f * roi[5] + 1.0f;
      const int64_t first = (r * channels + c) * bins * bins;
      for (int64_t i = first; i < first + bins * bins; ++i) {
        if (argmax[i] >= 0) map[argmax[i]] += factor * top_diff[i];
      }
    }
  }
}

// RoI max pooling over one or several grids, on the CPU.
//
// The map is read channels last, so that a window's maximum is a straight loop over channels; what
// is written is channels first, as Caffe's blobs are. A row of `top` holds, grid after grid, the
// C x bins_h x bins_w values of one box.
#include "roi_pooling.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

using namespace caffe_ops;

constexpr int kLanes = 64;  // channels pooled together
constexpr int kBlock = 16;  // channels whose gradient one task sums

struct Maps {
  int64_t channels, height, width;
};

// The bins of one box in one grid.
struct Bins {
  std::vector<Span> rows, cols;

  Bins(const float* roi, float scale, const int64_t* grid, Maps maps)
      : rows(static_cast<size_t>(grid[0])), cols(static_cast<size_t>(grid[1])) {
    fill(rows, extent_on_map(roi[2], roi[4], scale), maps.height);
    fill(cols, extent_on_map(roi[1], roi[3], scale), maps.width);
  }

  static void fill(std::vector<Span>& spans, Extent extent, int64_t limit) {
    const int bins = static_cast<int>(spans.size());
    for (int p = 0; p < bins; ++p) {
      spans[static_cast<size_t>(p)] = bin_span(extent, bins, p, static_cast<int>(limit));
    }
  }
};

// The maximum of one window for `lanes` channels; `pixels` is the image, shifted to the first lane.
inline void pool_window(const float* pixels, Maps maps, Span rows, Span cols, int lanes,
                        float* __restrict__ best, int32_t* __restrict__ place) {
  for (int c = 0; c < lanes; ++c) {
    best[c] = -INFINITY;
    place[c] = static_cast<int32_t>(rows.begin * maps.width + cols.begin);
  }
  for (int y = rows.begin; y < rows.end; ++y) {
    for (int x = cols.begin; x < cols.end; ++x) {
      const int32_t at = static_cast<int32_t>(y * maps.width + x);
      const float* pixel = pixels + at * maps.channels;
#pragma omp simd
      for (int c = 0; c < lanes; ++c) {
        const bool wins = beats(pixel[c], best[c]);
        best[c] = wins ? pixel[c] : best[c];
        place[c] = wins ? at : place[c];
      }
    }
  }
}

// All bins of one box and grid for `lanes` channels -> best, place (bins, kLanes).
PER_CPU void pool_lanes(const float* pixels, Maps maps, const Bins& bins, int lanes, float* best,
                        int32_t* place) {
  for (const Span rows : bins.rows) {
    for (const Span cols : bins.cols) {
      if (rows.begin >= rows.end || cols.begin >= cols.end) {
        std::fill_n(best, lanes, 0.0f);
        std::fill_n(place, lanes, -1);
      } else if (lanes == kLanes) {  // a constant lets the compiler keep the lanes in registers
        pool_window(pixels, maps, rows, cols, kLanes, best, place);
      } else {
        pool_window(pixels, maps, rows, cols, lanes, best, place);
      }
      best += kLanes;
      place += kLanes;
    }
  }
}

// One box in one grid; computed bin by bin, written channel by channel.
void pool_box(const float* image, Maps maps, const Bins& bins, float factor, float* top,
              int32_t* argmax) {
  const size_t size = bins.rows.size() * bins.cols.size();
  std::vector<float> best(size * kLanes);
  std::vector<int32_t> place(size * kLanes);
  for (int64_t begin = 0; begin < maps.channels; begin += kLanes) {
    const int lanes = static_cast<int>(std::min<int64_t>(kLanes, maps.channels - begin));
    pool_lanes(image + begin, maps, bins, lanes, best.data(), place.data());
    for (size_t c = 0; c < static_cast<size_t>(lanes); ++c) {
      for (size_t i = c; i < size * kLanes; i += kLanes) *top++ = best[i] * factor;
      if (!argmax) continue;
      for (size_t i = c; i < size * kLanes; i += kLanes) *argmax++ = place[i];
    }
  }
}

// Adds one box's gradient in one grid, channels begin..end, to its image.
void scatter_box(const float* top_diff, const int32_t* argmax, float factor, int64_t bins,
                 int64_t begin, int64_t end, int64_t pixels, float* image) {
  for (int64_t c = begin; c < end; ++c) {
    for (int64_t bin = c * bins; bin < (c + 1) * bins; ++bin) {
      if (argmax[bin] >= 0) image[c * pixels + argmax[bin]] += factor * top_diff[bin];
    }
  }
}

// Fresh memory of tens of megabytes costs as long to page in as to compute, so ask for large pages.
void prefer_huge_pages(void* memory, int64_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kPage = 4096;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) / kPage * kPage;
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

int64_t bins_of(const int64_t* grids, int64_t levels) {
  int64_t bins = 0;
  for (int64_t l = 0; l < levels; ++l) bins += grids[2 * l] * grids[2 * l + 1];
  return bins;
}

}  // namespace

// maps (N,H,W,C), rois (R,5) checked by the caller, factors (R), grids (levels,2) of bins_h, bins_w
// -> top, argmax (R, C * sum of bins); argmax is y * W + x, -1 for an empty bin, or null.
EXPORTED void caffe_roi_pool_forward(const float* maps, int64_t channels, int64_t height,
                                     int64_t width, const float* rois, const float* factors,
                                     int64_t boxes, const int64_t* grids, int64_t levels,
                                     float scale, float* top, int32_t* argmax, int64_t threads) {
  const Maps shape{channels, height, width};
  const int64_t row = channels * bins_of(grids, levels);
  prefer_huge_pages(top, boxes * row * 4);
  if (argmax) prefer_huge_pages(argmax, boxes * row * 4);
#pragma omp parallel for schedule(dynamic, 4) num_threads(static_cast<int>(threads))
  for (int64_t r = 0; r < boxes; ++r) {
    const float* roi = rois + 5 * r;
    const float* image = maps + static_cast<int64_t>(roi[0]) * height * width * channels;
    int64_t at = r * row;
    for (const int64_t* grid = grids; grid < grids + 2 * levels; grid += 2) {
      pool_box(image, shape, Bins(roi, scale, grid, shape), factors[r], top + at,
               argmax ? argmax + at : nullptr);
      at += channels * grid[0] * grid[1];
    }
  }
}

// top_diff, argmax as above -> maps_diff (N,C,H,W), which holds zeros on entry.
// A channel's sum is built by one task in the order of the boxes, so it never depends on `threads`.
EXPORTED void caffe_roi_pool_backward(const float* top_diff, const int32_t* argmax,
                                      const float* rois, const float* factors, int64_t boxes,
                                      const int64_t* grids, int64_t levels, int64_t channels,
                                      int64_t pixels, float* maps_diff, int64_t threads) {
  const int64_t bins = bins_of(grids, levels);
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(threads))
  for (int64_t begin = 0; begin < channels; begin += kBlock) {
    const int64_t end = std::min<int64_t>(begin + kBlock, channels);
    for (int64_t r = 0; r < boxes; ++r) {
      float* image = maps_diff + static_cast<int64_t>(rois[5 * r]) * channels * pixels;
      int64_t row = r * channels * bins;
      for (int64_t l = 0; l < levels; ++l) {
        const int64_t size = grids[2 * l] * grids[2 * l + 1];
        scatter_box(top_diff + row, argmax + row, factors[r], size, begin, end, pixels, image);
        row += channels * size;
      }
    }
  }
}

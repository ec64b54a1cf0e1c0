// RoI max pooling over one or several grids, on the CPU.
//
// The map is read channels last, so that a window's maximum is a straight loop over channels; what
// is written is channels first, as Caffe's blobs are. Tables that give any window's maximum in four
// look-ups, and copying the equal bins of small boxes, were tried: the windows are small, and most
// of the time goes into writing the top.
#include "roi_pooling.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#ifdef __SSE__
#include <xmmintrin.h>
#endif

namespace {

using namespace caffe_ops;

constexpr int kLanes = 64;  // channels pooled together
constexpr int kGroup = 8;   // channels whose gradient one task sums, in the second-level cache
constexpr int kAhead = 2;   // boxes between fetching a gradient and adding it

// The bins of one box in one grid.
struct Bins {
  std::vector<Span> rows, cols;

  Bins(const Pooling& all, const float* roi, int grid)
      : rows(static_cast<size_t>(all.grids.rows[grid])),
        cols(static_cast<size_t>(all.grids.cols[grid])) {
    fill(rows, all.rows_of(roi), all.height);
    fill(cols, all.cols_of(roi), all.width);
  }

  static void fill(std::vector<Span>& spans, Extent extent, int limit) {
    const int bins = static_cast<int>(spans.size());
    for (int p = 0; p < bins; ++p) {
      spans[static_cast<size_t>(p)] = bin_span(extent, bins, p, limit);
    }
  }
};

// What the bins of one box and grid come to for up to kLanes channels: (bins, kLanes) each.
struct Pooled {
  std::vector<float> best;
  std::vector<int32_t> winner;

  void resize(int bins) {
    best.resize(static_cast<size_t>(bins) * kLanes);
    winner.resize(static_cast<size_t>(bins) * kLanes);
  }
};

// The maximum of one window for `lanes` channels; `pixels` is the image, shifted to the first lane.
inline void pool_window(const float* pixels, const Pooling& all, Span rows, Span cols, int lanes,
                        float* __restrict__ best, int32_t* __restrict__ winner) {
  const int64_t channels = all.channels;
  for (int c = 0; c < lanes; ++c) {
    best[c] = -INFINITY;
    winner[c] = rows.begin * all.width + cols.begin;
  }
  for (int y = rows.begin; y < rows.end; ++y) {
    for (int x = cols.begin; x < cols.end; ++x) {
      const int32_t at = y * all.width + x;
      const float* pixel = pixels + at * channels;
#pragma omp simd
      for (int c = 0; c < lanes; ++c) {
        const bool wins = beats(pixel[c], best[c]);
        best[c] = wins ? pixel[c] : best[c];
        winner[c] = wins ? at : winner[c];
      }
    }
  }
}

PER_CPU void pool_bins(const float* pixels, const Pooling& all, const Bins& bins, int lanes,
                       float* best, int32_t* winner) {
  for (const Span rows : bins.rows) {
    for (const Span cols : bins.cols) {
      if (rows.begin >= rows.end || cols.begin >= cols.end) {
        std::fill_n(best, lanes, 0.0f);
        std::fill_n(winner, lanes, all.pixels());
      } else if (lanes == kLanes) {  // a constant lets the compiler keep the lanes in registers
        pool_window(pixels, all, rows, cols, kLanes, best, winner);
      } else {
        pool_window(pixels, all, rows, cols, lanes, best, winner);
      }
      best += kLanes;
      winner += kLanes;
    }
  }
}

// best (bins, kLanes) times factor -> top (lanes, bins)
void write_top(const float* best, float factor, int bins, int lanes, float* top) {
  int c = 0;
#ifdef __SSE__
  const __m128 factors = _mm_set1_ps(factor);
  for (; c + 4 <= lanes; c += 4) {
    int b = 0;
    for (; b + 4 <= bins; b += 4) {  // four channels of four bins, transposed
      __m128 rows[4];
      for (int i = 0; i < 4; ++i) rows[i] = _mm_loadu_ps(best + (b + i) * kLanes + c);
      _MM_TRANSPOSE4_PS(rows[0], rows[1], rows[2], rows[3]);
      for (int i = 0; i < 4; ++i) {
        _mm_storeu_ps(top + (c + i) * bins + b, _mm_mul_ps(rows[i], factors));
      }
    }
    for (; b < bins; ++b) {
      for (int i = c; i < c + 4; ++i) top[i * bins + b] = best[b * kLanes + i] * factor;
    }
  }
#endif
  for (; c < lanes; ++c) {
    for (int b = 0; b < bins; ++b) top[c * bins + b] = best[b * kLanes + c] * factor;
  }
}

// winner (bins, kLanes) -> winners of `lanes` channels as struct Winners has them
template <typename Index>
void write_winners(const int32_t* winner, int bins, int lanes, Index* winners) {
  for (int begin = 0; begin < lanes; begin += kGroup) {
    const int width = std::min(kGroup, lanes - begin);
    for (int b = 0; b < bins; ++b) {
      const int32_t* from = winner + b * kLanes + begin;
      for (int c = 0; c < width; ++c) *winners++ = static_cast<Index>(from[c]);
    }
  }
}

template <typename Index>
void pool_box(const float* maps, const Pooling& all, int64_t r, Pooled& pooled, float* top,
              Index* winners) {
  const float* roi = all.rois + 5 * r;
  const int64_t image = static_cast<int64_t>(roi[0]) * all.pixels() * all.channels;
  for (int grid = 0; grid < all.grids.count; ++grid) {
    const Bins spans(all, roi, grid);
    const int bins = all.grids.bins(grid);
    pooled.resize(bins);
    for (int begin = 0; begin < all.channels; begin += kLanes) {
      const int lanes = std::min(kLanes, all.channels - begin);
      const int64_t at = all.part(r, grid) + static_cast<int64_t>(begin) * bins;
      pool_bins(maps + image + begin, all, spans, lanes, pooled.best.data(),
                pooled.winner.data());
      write_top(pooled.best.data(), all.factors[r], bins, lanes, top + at);
      if (winners) write_winners(pooled.winner.data(), bins, lanes, winners + at);
    }
  }
}

template <typename Index>
void forward(const float* maps, const Pooling& all, float* top, Index* winners, int threads) {
#pragma omp parallel num_threads(threads)
  {
    Pooled pooled;
#pragma omp for schedule(dynamic, 4)
    for (int64_t r = 0; r < all.boxes; ++r) pool_box(maps, all, r, pooled, top, winners);
  }
}

// Adds one box's gradient in one grid to sums (pixels + 1, kGroup); empty bins add to the last.
template <typename Index>
void add_part(const float* top_diff, const Index* winners, float factor, int bins, int lanes,
              float* sums) {
  for (int b = 0; b < bins; ++b) {
    for (int c = 0; c < lanes; ++c) {
      const int64_t winner = *winners++;
      sums[winner * kGroup + c] += factor * top_diff[c * bins + b];
    }
  }
}

template <typename Number>
inline void fetch(const Number* from, int64_t count) {
  for (int64_t i = 0; i < count; i += 64 / static_cast<int64_t>(sizeof(Number))) {
    __builtin_prefetch(from + i);
  }
}

// The gradient of one image's channels begin.. -> sums
template <typename Index>
void sum_group(const float* top_diff, const Index* winners, const Pooling& all, int image,
               int begin, int lanes, std::vector<float>& sums) {
  sums.assign((static_cast<size_t>(all.pixels()) + 1) * kGroup, 0.0f);
  for (int64_t r = 0; r < all.boxes; ++r) {
    if (static_cast<int>(all.rois[5 * r]) != image) continue;
    for (int grid = 0; grid < all.grids.count; ++grid) {
      const int bins = all.grids.bins(grid);
      const int64_t at = all.part(r, grid) + static_cast<int64_t>(begin) * bins;
      if (r + kAhead < all.boxes) {
        const int64_t next = all.part(r + kAhead, grid) + static_cast<int64_t>(begin) * bins;
        fetch(top_diff + next, lanes * bins);
        fetch(winners + next, lanes * bins);
      }
      if (lanes == kGroup) {  // a constant unrolls the loop
        add_part(top_diff + at, winners + at, all.factors[r], bins, kGroup, sums.data());
      } else {
        add_part(top_diff + at, winners + at, all.factors[r], bins, lanes, sums.data());
      }
    }
  }
}

// One task builds the sums of its channels in the order of the boxes, so they never depend on
// `threads`.
template <typename Index>
void backward(const float* top_diff, const Index* winners, const Pooling& all, float* maps_diff,
              bool channels_last, int threads) {
  const int64_t pixels = all.pixels(), channels = all.channels;
  const int64_t of_pixel = channels_last ? channels : 1, of_channel = channels_last ? 1 : pixels;
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> sums;
#pragma omp for collapse(2) schedule(dynamic)
    for (int image = 0; image < all.images; ++image) {
      for (int begin = 0; begin < all.channels; begin += kGroup) {
        const int lanes = std::min(kGroup, all.channels - begin);
        sum_group(top_diff, winners, all, image, begin, lanes, sums);
        float* to = maps_diff + image * channels * pixels + begin * of_channel;
        for (int64_t p = 0; p < pixels; ++p) {
          for (int c = 0; c < lanes; ++c) {
            to[p * of_pixel + c * of_channel] = sums[static_cast<size_t>(p * kGroup + c)];
          }
        }
      }
    }
  }
}

// Fresh memory of tens of megabytes costs as long to page in as to compute, so ask for large pages.
void prefer_huge_pages(void* memory, int64_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kPage = 4096;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + kPage - 1) / kPage * kPage;
  const uintptr_t end =
      (reinterpret_cast<uintptr_t>(memory) + static_cast<uintptr_t>(bytes)) / kPage * kPage;
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace

// maps (N,H,W,C), rois (boxes,5) that caffe_check_rois let through, factors (boxes), grids
// (count,2) of bins_h, bins_w -> top (boxes, C * sum of bins), winners (see struct Winners) of
// uint16_t or, where 16 bits do not hold them, int32_t; or null.
EXPORTED void caffe_roi_pool_forward(const float* maps, const float* rois, const float* factors,
                                     int64_t boxes, float scale, const int64_t* grids,
                                     int64_t count, int64_t images, int64_t channels,
                                     int64_t height, int64_t width, float* top, void* winners,
                                     int64_t threads) {
  const Pooling all = pooling(rois, factors, boxes, scale, grids, count, images, channels, height,
                              width);
  const int64_t numbers = all.part(boxes, 0);
  prefer_huge_pages(top, numbers * 4);
  if (winners) prefer_huge_pages(winners, numbers * (fits_16_bits(all) ? 2 : 4));
  if (fits_16_bits(all)) {
    forward(maps, all, top, static_cast<uint16_t*>(winners), static_cast<int>(threads));
  } else {
    forward(maps, all, top, static_cast<int32_t*>(winners), static_cast<int>(threads));
  }
}

// top_diff, winners as above -> maps_diff (N,C,H,W), or (N,H,W,C) if channels_last.
EXPORTED void caffe_roi_pool_backward(const float* top_diff, const void* winners,
                                      const float* rois, const float* factors, int64_t boxes,
                                      float scale, const int64_t* grids, int64_t count,
                                      int64_t images, int64_t channels, int64_t height,
                                      int64_t width, float* maps_diff, int64_t channels_last,
                                      int64_t threads) {
  const Pooling all = pooling(rois, factors, boxes, scale, grids, count, images, channels, height,
                              width);
  if (fits_16_bits(all)) {
    backward(top_diff, static_cast<const uint16_t*>(winners), all, maps_diff, channels_last != 0,
             static_cast<int>(threads));
  } else {
    backward(top_diff, static_cast<const int32_t*>(winners), all, maps_diff, channels_last != 0,
             static_cast<int>(threads));
  }
}

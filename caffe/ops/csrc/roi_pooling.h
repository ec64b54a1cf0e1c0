// RoI max pooling: where a box's bins lie on the map, which pixel of a bin wins, and how the
// winners are stored. Fast R-CNN's arithmetic, in float32 as there.
#pragma once

#include <cmath>

#include "portable.h"

namespace caffe_ops {

struct Span {
  int begin, end;  // half open; empty if begin >= end
};

struct Extent {
  int start, size;  // in map pixels, not clipped; size >= 1
};

// One axis of a box: corners lo and hi in input pixels, inclusive.
// C's round goes half away from zero.
HOST_DEVICE inline Extent extent_on_map(float lo, float hi, float scale) {
  const int start = static_cast<int>(roundf(lo * scale));
  const int end = static_cast<int>(roundf(hi * scale));
  return {start, end < start ? 1 : end - start + 1};
}

HOST_DEVICE inline int clipped(int x, int limit) { return x < 0 ? 0 : x > limit ? limit : x; }

HOST_DEVICE inline float bin_step(Extent extent, int bins) {
  return static_cast<float>(extent.size) / static_cast<float>(bins);
}

HOST_DEVICE inline int bin_begin(Extent extent, float step, int p) {
  return static_cast<int>(floorf(static_cast<float>(p) * step)) + extent.start;
}

HOST_DEVICE inline int bin_end(Extent extent, float step, int p) {
  return static_cast<int>(ceilf(static_cast<float>(p + 1) * step)) + extent.start;
}

// Bin p of `bins` equal ones along an extent, clipped to a map of `limit` pixels.
HOST_DEVICE inline Span bin_span(Extent extent, int bins, int p, int limit) {
  const float step = bin_step(extent, bins);
  return {clipped(bin_begin(extent, step, p), limit), clipped(bin_end(extent, step, p), limit)};
}

// The bins that hold pixel x of the map: the inverse of bin_span. Bins begin and end in rising
// order, so they are neighbours; division finds the first up to rounding.
HOST_DEVICE inline Span bins_over(Extent extent, int bins, int x) {
  const float step = bin_step(extent, bins);
  if (x < extent.start || x >= bin_end(extent, step, bins - 1)) return {0, 0};
  int first = clipped(static_cast<int>(static_cast<float>(x - extent.start) / step) - 1, bins);
  while (first < bins && bin_end(extent, step, first) <= x) ++first;
  int end = first;
  while (end < bins && bin_begin(extent, step, end) <= x) ++end;
  return {first, end};
}

// Whether a later pixel replaces the maximum so far: the first of equals stays, a NaN always wins.
HOST_DEVICE inline bool beats(float value, float best) {
  return static_cast<int>(value > best) | static_cast<int>(value != value);
}

constexpr int kMostGrids = 16;

struct Grids {
  int count;
  int rows[kMostGrids], cols[kMostGrids];

  HOST_DEVICE int bins(int grid) const { return rows[grid] * cols[grid]; }

  // The bins of the grids before this one; of all, if it is the one after the last.
  HOST_DEVICE int64_t bins_before(int grid) const {
    int64_t sum = 0;
    for (int g = 0; g < grid; ++g) sum += bins(g);
    return sum;
  }
};

struct Pooling {
  const float* rois;     // (boxes, 5): image index, x1, y1, x2, y2; or NaN, for a bad row
  const float* factors;  // (boxes)
  int64_t boxes;
  float scale;
  Grids grids;
  int images, channels, height, width;

  HOST_DEVICE int pixels() const { return height * width; }

  // Where a box's part for one grid, channels x bins numbers, begins in the top.
  HOST_DEVICE int64_t part(int64_t box, int grid) const {
    return channels * (box * grids.bins_before(grids.count) + grids.bins_before(grid));
  }

  HOST_DEVICE Extent rows_of(const float* roi) const {
    return extent_on_map(roi[2], roi[4], scale);
  }

  HOST_DEVICE Extent cols_of(const float* roi) const {
    return extent_on_map(roi[1], roi[3], scale);
  }
};

// grids (count, 2) of bins_h, bins_w
inline Pooling pooling(const float* rois, const float* factors, int64_t boxes, float scale,
                       const int64_t* grids, int64_t count, int64_t images, int64_t channels,
                       int64_t height, int64_t width) {
  Pooling all = {rois, factors, boxes, scale, {}, 0, 0, 0, 0};
  all.grids.count = static_cast<int>(count);
  for (int g = 0; g < all.grids.count; ++g) {
    all.grids.rows[g] = static_cast<int>(grids[2 * g]);
    all.grids.cols[g] = static_cast<int>(grids[2 * g + 1]);
  }
  all.images = static_cast<int>(images);
  all.channels = static_cast<int>(channels);
  all.height = static_cast<int>(height);
  all.width = static_cast<int>(width);
  return all;
}

// The winners, y * W + x, or H * W for an empty bin, lie in an array of the top's size. Inside a
// box's part for one grid the channels are in groups, and a group's lie side by side for each bin.
template <int kGroup>
struct Winners {
  int64_t first, stride;  // bin b's is at first + b * stride

  HOST_DEVICE Winners(int channel, int channels, int bins) {
    const int begin = channel / kGroup * kGroup;
    stride = channels - begin < kGroup ? channels - begin : kGroup;
    first = static_cast<int64_t>(begin) * bins + (channel - begin);
  }
};

// 16 bits hold the winners on all but the largest maps; caffe/ops/roi_pooling.py says the same.
inline bool fits_16_bits(const Pooling& all) { return all.pixels() <= 65535; }

}  // namespace caffe_ops

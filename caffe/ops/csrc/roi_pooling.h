// RoI max pooling: where a box's bins lie on the map, and which pixel of a bin wins.
// Fast R-CNN's arithmetic, in float32 as there.
#pragma once

#include <cmath>

#include "portable.h"

namespace caffe_ops {

struct Span {
  int begin, end;  // half open, clipped to the map; empty if begin >= end
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

// Bin p of `bins` equal ones along an extent, on a map of `limit` pixels.
HOST_DEVICE inline Span bin_span(Extent extent, int bins, int p, int limit) {
  const float step = static_cast<float>(extent.size) / static_cast<float>(bins);
  const int begin = static_cast<int>(floorf(static_cast<float>(p) * step));
  const int end = static_cast<int>(ceilf(static_cast<float>(p + 1) * step));
  return {clipped(begin + extent.start, limit), clipped(end + extent.start, limit)};
}

// Whether a later pixel replaces the maximum so far: the first of equals stays, a NaN always wins.
HOST_DEVICE inline bool beats(float value, float best) {
  return static_cast<int>(value > best) | static_cast<int>(value != value);
}

}  // namespace caffe_ops

// Which rows of rois can be boxes.
#pragma once

#include <cmath>

#include "portable.h"

namespace caffe_ops {

// A row that cannot be one, as caffe/ops/rois.py reads it.
struct Report {
  int32_t row;     // -1: none
  int32_t images;  // what its image index had to be below, -1 if anything goes
  int32_t columns;
  float values[6];
};

struct Rois {
  const float* rows;  // (boxes, columns): image index, x1, y1, x2, y2[, score]
  int64_t boxes, columns, images;
  float scale;  // from rois to the map
};

// Up to 2^24 float32 holds every whole pixel, and an int every size.
HOST_DEVICE inline bool within_reach(float x) { return fabsf(x) <= 16777216.0f; }

HOST_DEVICE inline bool possible(const Rois& rois, int64_t r) {
  const float* roi = rois.rows + r * rois.columns;
  for (int64_t i = 0; i < rois.columns; ++i) {
    if (!within_reach(roi[i])) return false;
  }
  for (int64_t i = 1; i < 5; ++i) {
    if (!within_reach(roi[i] * rois.scale)) return false;
  }
  return roi[0] >= 0 && roi[0] == floorf(roi[0]) && (rois.images < 0 || roi[0] < rois.images);
}

// Copies a row; an impossible one becomes NaN. -> whether it is possible.
HOST_DEVICE inline bool copy_checked(const Rois& rois, int64_t r, float* checked) {
  const bool good = possible(rois, r);
  for (int64_t i = r * rois.columns; i < (r + 1) * rois.columns; ++i) {
    checked[i] = good ? rois.rows[i] : NAN;
  }
  return good;
}

// All of the report but its row, which says that the rest is there.
HOST_DEVICE inline void describe(const Rois& rois, int64_t r, Report* report) {
  report->images = static_cast<int32_t>(rois.images);
  report->columns = static_cast<int32_t>(rois.columns);
  for (int64_t i = 0; i < rois.columns; ++i) report->values[i] = rois.rows[r * rois.columns + i];
}

}  // namespace caffe_ops

// Score-weighted concatenation: one number of one box.
#pragma once

#include "portable.h"

namespace caffe_ops {

// Linear, so the gradient is the same function of the top's gradient.
HOST_DEVICE inline float weighted(float value, float score) { return value * score; }

}  // namespace caffe_ops

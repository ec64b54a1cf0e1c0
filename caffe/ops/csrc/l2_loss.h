// The weighted L2 loss 1/2 sum_r w_r |a_r - b_r|^2 of one pair of numbers.
#pragma once

#include "portable.h"

namespace caffe_ops {

// Summed in double: a row has tens of thousands of numbers.
HOST_DEVICE inline double squared_difference(float a, float b) {
  const double difference = static_cast<double>(a) - static_cast<double>(b);
  return difference * difference;
}

// d loss / d a; the gradient with respect to b is its negative.
HOST_DEVICE inline float l2_gradient(float a, float b, float weight) { return weight * (a - b); }

}  // namespace caffe_ops

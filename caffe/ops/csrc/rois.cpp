// The check of rois on the CPU.
#include "rois.h"

using namespace caffe_ops;

// rois (boxes, columns) -> checked, the same with NaN in the rows that cannot be boxes; the first
// of them goes to `report`. `images` is -1 if any image index will do.
EXPORTED void caffe_check_rois(const float* rois, int64_t boxes, int64_t columns, int64_t images,
                               float scale, float* checked, Report* report, int64_t /*threads*/) {
  const Rois given{rois, boxes, columns, images, scale};
  for (int64_t r = 0; r < boxes; ++r) {
    if (copy_checked(given, r, checked) || report->row >= 0) continue;
    describe(given, r, report);
    report->row = static_cast<int32_t>(r);
  }
}

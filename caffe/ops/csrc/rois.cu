// The check of rois on a GPU, which the host does not wait for: the report lies in its memory.
#include "launch.h"
#include "rois.h"

namespace {

using namespace caffe_ops;

struct Check {
  Rois rois;
  float* checked;
  Report* report;
};

// One block: there are few thousand boxes, and the first bad one is wanted.
__global__ void check_rois(Check check) {
  __shared__ int64_t first[kThreads];
  const Rois& rois = check.rois;
  int64_t bad = rois.boxes;
  for (int64_t r = threadIdx.x; r < rois.boxes; r += kThreads) {
    if (!copy_checked(rois, r, check.checked) && bad == rois.boxes) bad = r;
  }
  first[threadIdx.x] = bad;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int i = 1; i < kThreads; ++i) bad = first[i] < bad ? first[i] : bad;
  if (bad == rois.boxes || check.report->row >= 0) return;
  describe(rois, bad, check.report);
  __threadfence_system();
  check.report->row = static_cast<int32_t>(bad);
}

}  // namespace

EXPORTED int caffe_check_rois(const float* rois, int64_t boxes, int64_t columns, int64_t images,
                              float scale, float* checked, Report* report, int64_t device,
                              void* stream) {
  const Check check = {{rois, boxes, columns, images, scale}, checked, report};
  return launch(check_rois, boxes > 0, check, device, stream);
}

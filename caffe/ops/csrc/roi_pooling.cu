// RoI max pooling over one or several grids, on a GPU.
//
// Forward, a block takes up to kBins bins of one box for kLanes channels: its threads read the map
// channels last, neighbours side by side, and turn their results round in shared memory, so that
// the top, channels first, is written side by side as well. Backward, a block takes one pixel and
// lists the bins over it in the order of the boxes; each thread then adds up, in that order, what
// one channel's bins give back. No sum is shared, so the gradient is the CPU's, bit by bit.
#include "launch.h"
#include "roi_pooling.h"

namespace {

using namespace caffe_ops;

constexpr int kLanes = 32;  // a warp, and a group of struct Winners
constexpr int kBins = 64;

template <typename Index>
struct Forward {
  Pooling all;
  const float* maps;
  float* top;
  Index* winners;  // or null
};

struct Tile {
  int box, grid, first_bin, bins, first_lane, lanes;
};

HOST_DEVICE inline int least(int a, int b) { return a < b ? a : b; }

HOST_DEVICE inline int tiles_of_grid(const Pooling& all, int grid) {
  return static_cast<int>(ceil_div(all.grids.bins(grid), kBins) * ceil_div(all.channels, kLanes));
}

HOST_DEVICE inline int tiles_of_box(const Pooling& all) {
  int tiles = 0;
  for (int grid = 0; grid < all.grids.count; ++grid) tiles += tiles_of_grid(all, grid);
  return tiles;
}

// The top has at most 2^31 - 1 numbers, so an int counts the blocks, and divides much faster.
HOST_DEVICE inline Tile tile_of(const Pooling& all, int block) {
  const int per_box = tiles_of_box(all);
  int rest = block % per_box, grid = 0;
  while (rest >= tiles_of_grid(all, grid)) rest -= tiles_of_grid(all, grid++);
  const int groups = static_cast<int>(ceil_div(all.channels, kLanes));
  const int first_bin = rest / groups * kBins, first_lane = rest % groups * kLanes;
  return {block / per_box,
          grid,
          first_bin,
          least(kBins, all.grids.bins(grid) - first_bin),
          first_lane,
          least(kLanes, all.channels - first_lane)};
}

struct Window {
  Span rows, cols;
};

HOST_DEVICE inline Window window_of(const Pooling& all, const float* roi, int grid, int bin) {
  const int cols = all.grids.cols[grid];
  return {bin_span(all.rows_of(roi), all.grids.rows[grid], bin / cols, all.height),
          bin_span(all.cols_of(roi), cols, bin % cols, all.width)};
}

// The maximum of a window of one channel; `empty` where there is none.
template <typename Index>
HOST_DEVICE inline float pool_window(const Pooling& all, const float* channel, Window window,
                                     float empty, Index* winner) {
  if (window.rows.begin >= window.rows.end || window.cols.begin >= window.cols.end) {
    *winner = static_cast<Index>(all.pixels());
    return empty;
  }
  float best = -INFINITY;
  int at = window.rows.begin * all.width + window.cols.begin;
  for (int y = window.rows.begin; y < window.rows.end; ++y) {
    for (int x = window.cols.begin; x < window.cols.end; ++x) {
      const int pixel = y * all.width + x;
      const float value = channel[static_cast<int64_t>(pixel) * all.channels];
      const bool wins = beats(value, best);
      best = wins ? value : best;
      at = wins ? pixel : at;
    }
  }
  *winner = static_cast<Index>(at);
  return best;
}

template <typename Index>
__global__ void pool_tiles(Forward<Index> in) {
  __shared__ Window windows[kBins];
  __shared__ float results[kLanes][kBins + 1];  // one more, so that a column meets all banks
  const Pooling& all = in.all;
  const Tile tile = tile_of(all, static_cast<int>(blockIdx.x));
  const float* roi = all.rois + 5 * tile.box;
  const bool good = roi[0] >= 0;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kLanes, warp = thread / kLanes;
  if (thread < tile.bins) {
    windows[thread] =
        good ? window_of(all, roi, tile.grid, tile.first_bin + thread) : Window{{0, 0}, {0, 0}};
  }
  __syncthreads();
  const int bins = all.grids.bins(tile.grid);
  const int64_t part = all.part(tile.box, tile.grid);
  const int channel = tile.first_lane + lane;
  if (lane < tile.lanes) {
    const int64_t image = good ? static_cast<int64_t>(roi[0]) * all.pixels() * all.channels : 0;
    const Winners<kLanes> at(channel, all.channels, bins);
    for (int b = warp; b < tile.bins; b += kThreads / kLanes) {
      Index winner;
      const float best =
          pool_window(all, in.maps + image + channel, windows[b], good ? 0.0f : NAN, &winner);
      results[lane][b] = best * all.factors[tile.box];
      if (in.winners) in.winners[part + at.first + (tile.first_bin + b) * at.stride] = winner;
    }
  }
  __syncthreads();
  for (int row = warp; row < tile.lanes; row += kThreads / kLanes) {
    float* top = in.top + part + static_cast<int64_t>(tile.first_lane + row) * bins;
    for (int b = lane; b < tile.bins; b += kLanes) top[tile.first_bin + b] = results[row][b];
  }
}

template <typename Index>
struct Backward {
  Pooling all;
  const float* top_diff;
  const Index* winners;
  float* maps_diff;
  int64_t of_pixel, of_channel;  // strides of maps_diff
};

// A box's bins over one pixel, in one grid.
struct Visit {
  int64_t part;
  int bins, cols;
  Span over_rows, over_cols;
  float factor;
};

// Number k of the boxes' grids, box after box -> whether any of its bins holds the pixel.
HOST_DEVICE inline bool visits(const Pooling& all, unsigned k, int image, int pixel,
                               Visit* visit) {
  const unsigned grids = static_cast<unsigned>(all.grids.count);
  const int box = static_cast<int>(k / grids), grid = static_cast<int>(k % grids);
  const float* roi = all.rois + 5 * box;
  if (roi[0] != static_cast<float>(image)) return false;
  const int rows = all.grids.rows[grid], cols = all.grids.cols[grid];
  const Span over_rows = bins_over(all.rows_of(roi), rows, pixel / all.width);
  const Span over_cols = bins_over(all.cols_of(roi), cols, pixel % all.width);
  if (over_rows.begin >= over_rows.end || over_cols.begin >= over_cols.end) return false;
  *visit = {all.part(box, grid), rows * cols, cols, over_rows, over_cols, all.factors[box]};
  return true;
}

// How many of the first `count` bytes, each 0 or 1, are 1; at most kThreads of them.
HOST_DEVICE inline int ones(const uint32_t* words, int count) {
  uint32_t sums = 0;  // of four columns of bytes
  for (int i = 0; i < count / 4; ++i) sums += words[i];
  if (count % 4) sums += words[count / 4] & ((1u << 8 * (count % 4)) - 1);
  sums = (sums & 0x00ff00ffu) + (sums >> 8 & 0x00ff00ffu);
  return static_cast<int>((sums & 0xffffu) + (sums >> 16));
}

// What the bins of a visit give back to one channel of the pixel, added to `sum` one by one.
template <typename Index>
HOST_DEVICE inline float add_visit(const Backward<Index>& in, const Visit& visit, int channel,
                                   int pixel, float sum) {
  const Winners<kLanes> at(channel, in.all.channels, visit.bins);
  const Index* winners = in.winners + visit.part + at.first;
  const float* top_diff = in.top_diff + visit.part + static_cast<int64_t>(channel) * visit.bins;
  for (int row = visit.over_rows.begin; row < visit.over_rows.end; ++row) {
    for (int col = visit.over_cols.begin; col < visit.over_cols.end; ++col) {
      const int bin = row * visit.cols + col;
      if (winners[bin * at.stride] == static_cast<Index>(pixel)) {
        sum += visit.factor * top_diff[bin];
      }
    }
  }
  return sum;
}

template <typename Index>
__global__ void gather_pixels(Backward<Index> in) {
  __shared__ Visit list[kThreads];
  __shared__ uint32_t hits[kThreads / 4];  // a byte per thread
  __shared__ int listed;
  const Pooling& all = in.all;
  const int thread = static_cast<int>(threadIdx.x);
  const int chunks = static_cast<int>(ceil_div(all.channels, kThreads));
  const int channel = static_cast<int>(blockIdx.x % chunks) * kThreads + thread;
  const int pixel = static_cast<int>(blockIdx.x / chunks % all.pixels());
  const int image = static_cast<int>(blockIdx.x / chunks / all.pixels());
  const unsigned boxes_and_grids = static_cast<unsigned>(all.boxes * all.grids.count);
  float sum = 0.0f;
  for (unsigned first = 0; first < boxes_and_grids; first += kThreads) {
    Visit visit;
    const unsigned k = first + threadIdx.x;
    const bool hit = k < boxes_and_grids && visits(all, k, image, pixel, &visit);
    reinterpret_cast<unsigned char*>(hits)[thread] = hit;
    __syncthreads();
    if (hit) list[ones(hits, thread)] = visit;
    if (thread == 0) listed = ones(hits, kThreads);
    __syncthreads();
    if (channel < all.channels) {
      for (int v = 0; v < listed; ++v) sum = add_visit(in, list[v], channel, pixel, sum);
    }  // the next list is written behind a barrier that all reach after this
  }
  if (channel < all.channels) {
    in.maps_diff[static_cast<int64_t>(image) * all.channels * all.pixels() +
                 pixel * in.of_pixel + channel * in.of_channel] = sum;
  }
}

template <typename Index>
int forward(const Pooling& all, const float* maps, float* top, void* winners, int64_t device,
            void* stream) {
  const Forward<Index> in = {all, maps, top, static_cast<Index*>(winners)};
  const int64_t blocks = all.boxes * tiles_of_box(all);
  return launch(pool_tiles<Index>, blocks, in, device, stream);
}

template <typename Index>
int backward(const Pooling& all, const float* top_diff, const void* winners, float* maps_diff,
             bool channels_last, int64_t device, void* stream) {
  const int64_t of_pixel = channels_last ? all.channels : 1;
  const int64_t of_channel = channels_last ? 1 : all.pixels();
  const Backward<Index> in = {all,       top_diff, static_cast<const Index*>(winners),
                              maps_diff, of_pixel, of_channel};
  const int64_t blocks =
      static_cast<int64_t>(all.images) * all.pixels() * ceil_div(all.channels, kThreads);
  return launch(gather_pixels<Index>, blocks, in, device, stream);
}

}  // namespace

// As in roi_pooling.cpp; grids lies on the host.
EXPORTED int caffe_roi_pool_forward(const float* maps, const float* rois, const float* factors,
                                    int64_t boxes, float scale, const int64_t* grids,
                                    int64_t count, int64_t images, int64_t channels,
                                    int64_t height, int64_t width, float* top, void* winners,
                                    int64_t device, void* stream) {
  const Pooling all = pooling(rois, factors, boxes, scale, grids, count, images, channels, height,
                              width);
  return fits_16_bits(all) ? forward<uint16_t>(all, maps, top, winners, device, stream)
                           : forward<int32_t>(all, maps, top, winners, device, stream);
}

EXPORTED int caffe_roi_pool_backward(const float* top_diff, const void* winners, const float* rois,
                                     const float* factors, int64_t boxes, float scale,
                                     const int64_t* grids, int64_t count, int64_t images,
                                     int64_t channels, int64_t height, int64_t width,
                                     float* maps_diff, int64_t channels_last, int64_t device,
                                     void* stream) {
  const Pooling all = pooling(rois, factors, boxes, scale, grids, count, images, channels, height,
                              width);
  return fits_16_bits(all) ? backward<uint16_t>(all, top_diff, winners, maps_diff,
                                                channels_last != 0, device, stream)
                           : backward<int32_t>(all, top_diff, winners, maps_diff,
                                               channels_last != 0, device, stream);
}

// Total variation of planes, the gradient's norm and Adam in one pass over all parameters.
//
// A parameter is a stack of planes, each H rows of W x C floats; a weight is one row. A block has a
// tile: kRows rows of kThreads units (a unit is kWide floats: 4 where that divides everything, else
// 1), a thread a column of it. The total variation's slope needs the old values of a tile's
// neighbours, which other blocks overwrite in the same pass: a launch before copies every tile's
// rim. Inside a tile, a thread carries its column's old values from row to row, and a row's old
// values pass through shared memory.
#include "device.h"
#include "kernels.h"

namespace dac::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = 32;
constexpr int kMost = 4;  // floats of a unit

// What tiles add up, each kind side by side in scratch memory: total variation, squared slopes.
constexpr int kSums = 2;

struct Sums {
  float variation = 0, squares = 0;
};

struct Grid {
  int planes, height, wide;  // wide: floats of a unit
  int64_t row;               // floats
  int bands, columns;        // tiles of a plane: down and along
  int channels;

  HD int tiles() const { return planes * bands * columns; }
};

HD Grid grid_of(const AdamParameter& p) {
  Grid g;
  const bool plane = p.planes > 0;
  g.planes = plane ? p.planes : 1;
  g.height = plane ? p.height : 1;
  g.channels = plane ? p.channels : 0;
  g.row = plane ? static_cast<int64_t>(p.width) * p.channels : p.count;
  g.wide = g.row % kMost == 0 && g.channels % kMost == 0 ? kMost : 1;
  g.bands = (g.height + kRows - 1) / kRows;
  g.columns = static_cast<int>(ceil_div(g.row, static_cast<int64_t>(kThreads) * g.wide));
  return g;
}

// Floats of a tile's rim: the rows above and below, then C floats left and right of each row.
HD int rim_floats(const Grid& g) {
  return g.channels == 0 ? 0 : 2 * kThreads * g.wide + 2 * kRows * g.channels;
}

// Where the tiles, rims and sums of each parameter start.
struct Layout {
  int first_tile[kMaxParameters + 1];
  int64_t first_rim[kMaxParameters + 1];  // in scratch memory, after the tiles' sums
};

Layout layout_of(const AdamSet& set) {
  Layout l = {};
  for (int i = 0; i < set.count; ++i) {
    Grid g = grid_of(set.of[i]);
    l.first_tile[i + 1] = l.first_tile[i] + g.tiles();
    l.first_rim[i + 1] = l.first_rim[i] + static_cast<int64_t>(g.tiles()) * rim_floats(g);
  }
  int64_t sums = ceil_div(kSums * l.first_tile[set.count], kMost) * kMost;  // rims stay aligned
  for (int i = 0; i <= set.count; ++i) l.first_rim[i] += sums;
  return l;
}

struct Tile {
  int parameter;
  int row, rows;          // the first, how many
  int64_t column, plane;  // the first float in a row, the plane's first float
  int floats;             // of a row of it
  int64_t rim;

  DEVICE Tile(const AdamSet& set, const Layout& layout) {
    parameter = 0;
    while (layout.first_tile[parameter + 1] <= block()) ++parameter;
    Grid g = grid_of(set.of[parameter]);
    int tile = block() - layout.first_tile[parameter];
    rim = layout.first_rim[parameter] + static_cast<int64_t>(tile) * rim_floats(g);
    column = static_cast<int64_t>(tile % g.columns) * kThreads * g.wide;
    int band = tile / g.columns % g.bands;
    plane = tile / g.columns / g.bands * g.height * g.row;
    row = band * kRows;
    rows = g.height - row < kRows ? g.height - row : kRows;
    int64_t left = g.row - column;
    floats = static_cast<int>(left < kThreads * g.wide ? left : kThreads * g.wide);
  }
};

__global__ void __launch_bounds__(kThreads)
    rims_kernel(ARGUMENT AdamSet set, ARGUMENT Layout layout, float* scratch) {
  const Tile tile(set, layout);
  const AdamParameter& p = set.of[tile.parameter];
  const Grid g = grid_of(p);
  if (g.channels == 0 || !p.active) return;
  const float* x = p.x + tile.plane;
  float *above = scratch + tile.rim, *below = above + kThreads * g.wide;
  float *left = below + kThreads * g.wide, *right = left + kRows * g.channels;
  for (int i = thread(); i < tile.floats; i += kThreads) {
    if (tile.row > 0) above[i] = x[(tile.row - 1) * g.row + tile.column + i];
    if (tile.row + tile.rows < g.height)
      below[i] = x[(tile.row + tile.rows) * g.row + tile.column + i];
  }
  for (int i = thread(); i < tile.rows * g.channels; i += kThreads) {
    const float* row = x + (tile.row + i / g.channels) * g.row;
    int64_t before = tile.column - g.channels + i % g.channels;
    int64_t after = tile.column + tile.floats + i % g.channels;
    if (before >= 0) left[i] = row[before];
    if (after < g.row) right[i] = row[after];
  }
}

template <int kWide>
DEVICE void load(const float* from, float* to) {
  if constexpr (kWide == 4) {
    float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  } else {
    to[0] = *from;
  }
}

template <int kWide>
DEVICE void store(const float* from, float* to) {
  if constexpr (kWide == 4)
    *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
  else
    *to = from[0];
}

// One unit: Adam with slope g, the gradient zeroed, the copy refreshed. Where a slope is not finite,
// or too large for its square, nothing changes. Returns the sum of the squares.
template <int kWide>
DEVICE float update(const AdamParameter& p, const AdamStep& k, int64_t at, const float* old,
                    const float* to_tv) {
  float x[kWide], m[kWide], v[kWide], g[kWide];
  load<kWide>(p.m + at, m);
  load<kWide>(p.v + at, v);
  load<kWide>(p.g + at, g);
  const float nothing[kWide] = {};
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kWide; ++i) {
    x[i] = old[i];
    squares += adam(k, g[i] + to_tv[i], x + i, m + i, v + i);
  }
  if (!(squares <= kLargest)) {  // NaN too; memory still holds what was
#pragma unroll
    for (int i = 0; i < kWide; ++i) {
      if (v[i] <= kLargest) continue;
      x[i] = old[i];
      m[i] = p.m[at + i];
      v[i] = p.v[at + i];
    }
  }
  store<kWide>(x, p.x + at);
  store<kWide>(m, p.m + at);
  store<kWide>(v, p.v + at);
  store<kWide>(nothing, p.g + at);
  if (p.half == nullptr) return squares;
  if constexpr (kWide == 4)
    *reinterpret_cast<uint2*>(p.half + at) =
        make_uint2(pack_half(x[0], x[1]), pack_half(x[2], x[3]));
  else
    p.half[at] = static_cast<uint16_t>(pack_half(x[0], 0));
  return squares;
}

// A tile of planes; returns this thread's part of the sums.
template <int kWide>
DEVICE Sums plane_tile(const AdamParameter& p, const AdamStep& k, const Grid& g, const Tile& tile,
                       const float* rim) {
  const int C = g.channels, mine = thread() * kWide, row_floats = kThreads * kWide + 2 * C;
  const bool inside = mine < tile.floats;
  const float H = static_cast<float>(g.height), W = static_cast<float>(g.row / C);
  const float channels = static_cast<float>(C), tv = static_cast<float>(p.tv);
  const float down = 1 / ((H - 1) * W * channels), along = 1 / (H * (W - 1) * channels);
  const float *above = rim, *below = above + kThreads * kWide;
  const float *left = below + kThreads * kWide, *right = left + kRows * C;
  float* shared = reinterpret_cast<float*>(shared_memory());
  const int64_t first = tile.plane + tile.row * g.row + tile.column + mine,
                column = tile.column + mine;
  float before[kWide] = {}, here[kWide] = {}, after[kWide] = {};
  Sums sums;
  if (inside) {
    load<kWide>(p.x + first, here);
    if (tile.row > 0) load<kWide>(above + mine, before);
  }
  for (int j = 0; j < tile.rows; ++j) {
    const bool top = tile.row + j == 0, bottom = tile.row + j + 1 == g.height;
    float* row = shared + (j & 1) * row_floats + C;  // C floats of rim on either side
    if (inside) {
      if (j + 1 < tile.rows)
        load<kWide>(p.x + first + (j + 1) * g.row, after);
      else if (!bottom)
        load<kWide>(below + mine, after);
#pragma unroll
      for (int i = 0; i < kWide; ++i) row[mine + i] = here[i];
    }
    for (int i = thread(); i < C; i += kThreads) {
      row[i - C] = left[j * C + i];
      row[tile.floats + i] = right[j * C + i];
    }
    sync_block();
    if (inside) {
      float slope[kWide];
#pragma unroll
      for (int i = 0; i < kWide; ++i) {
        float to_before = top ? 0.0F : here[i] - before[i];
        float to_after = bottom ? 0.0F : after[i] - here[i];
        float to_left = column + i < C ? 0.0F : here[i] - row[mine + i - C];
        float to_right = column + i + C < g.row ? row[mine + i + C] - here[i] : 0.0F;
        sums.variation += down * to_after * to_after + along * to_right * to_right;
        slope[i] = 2 * tv * (down * (to_before - to_after) + along * (to_left - to_right));
      }
      sums.squares += update<kWide>(p, k, first + j * g.row, here, slope);
    }
#pragma unroll
    for (int i = 0; i < kWide; ++i) {
      before[i] = here[i];
      here[i] = after[i];
    }
  }
  return sums;
}

template <int kWide>
DEVICE Sums weight_tile(const AdamParameter& p, const AdamStep& k, const Tile& tile) {
  const int mine = thread() * kWide;
  Sums sums;
  if (mine >= tile.floats) return sums;
  const float nothing[kWide] = {};
  float old[kWide];
  load<kWide>(p.x + tile.column + mine, old);
  sums.squares = update<kWide>(p, k, tile.column + mine, old, nothing);
  return sums;
}

// A block's sum of what its threads hold, in its first thread.
DEVICE float block_sum(float value) {
  float* sums = reinterpret_cast<float*>(shared_memory());
  value = warp_sum(value);
  sync_block();  // nobody reads this memory any more
  if (lane() == 0) sums[warp()] = value;
  sync_block();
  float total = 0;
  if (thread() == 0)
    for (int w = 0; w < kThreads / 32; ++w) total += sums[w];
  return total;
}

__global__ void __launch_bounds__(kThreads, 4)  // or registers take the place of warps
    update_kernel(ARGUMENT AdamSet set, ARGUMENT Layout layout, float* scratch) {
  const Tile tile(set, layout);
  const AdamParameter& p = set.of[tile.parameter];
  const Grid g = grid_of(p);
  Sums sums;
  if (p.active) {
    const float* rate = set.rates + 2 * tile.parameter;
    const AdamStep k{set.beta1, set.beta2, set.eps, rate[0], rate[1]};
    const float* rim = scratch + tile.rim;
    if (g.channels == 0)
      sums = g.wide == kMost ? weight_tile<kMost>(p, k, tile) : weight_tile<1>(p, k, tile);
    else
      sums = g.wide == kMost ? plane_tile<kMost>(p, k, g, tile, rim)
                             : plane_tile<1>(p, k, g, tile, rim);
  } else {
    for (int64_t j = 0; j < tile.rows; ++j)
      for (int i = thread(); i < tile.floats; i += kThreads)
        p.g[tile.plane + (tile.row + j) * g.row + tile.column + i] = 0;
  }
  sums.variation = block_sum(sums.variation);
  sums.squares = block_sum(sums.squares);
  if (thread() != 0) return;
  scratch[block()] = sums.variation;
  scratch[blocks() + block()] = sums.squares;
}

// A block a parameter, and one more for the norm.
__global__ void __launch_bounds__(kThreads)
    values_kernel(ARGUMENT Layout layout, int count, const float* sums, float* values,
                  float* norm) {
  const bool last = block() == count;
  const int tiles = layout.first_tile[count];
  const int begin = last ? tiles : layout.first_tile[block()];
  const int end = last ? 2 * tiles : layout.first_tile[block() + 1];
  float total = 0;
  for (int i = begin + thread(); i < end; i += kThreads) total += sums[i];
  total = block_sum(total);
  if (thread() != 0) return;
  if (last)
    *norm = sqrtf(total);
  else
    values[block()] = total;
}

}  // namespace

int64_t adam_scratch(const AdamSet& set) { return layout_of(set).first_rim[set.count]; }

void adam_tv(const AdamSet& set, float* scratch, float* variations, float* norm, Stream stream) {
  const Layout layout = layout_of(set);
  const int tiles = layout.first_tile[set.count];
  size_t floats = kThreads / 32;
  for (int i = 0; i < set.count; ++i) {
    Grid g = grid_of(set.of[i]);
    if (g.channels > 0)
      floats =
          std::max<size_t>(floats, 2 * (kThreads * g.wide + 2 * static_cast<size_t>(g.channels)));
  }
  launch(rims_kernel, tiles, kThreads, 0, stream, set, layout, scratch);
  launch(update_kernel, tiles, kThreads, floats * sizeof(float), stream, set, layout, scratch);
  launch(values_kernel, set.count + 1, kThreads, kThreads / 32 * sizeof(float), stream, layout,
         set.count, scratch, variations, norm);
}

}  // namespace dac::cuda

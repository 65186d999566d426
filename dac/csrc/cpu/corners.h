// Lookup in three channels-last planes (xy, xz, yz) of one scale, and its transpose.
//
// Notation: n points in a row (usually a ray's), N x N entries a plane, C channels. A point lies in a
// cell between four entries, its corners: `first` is where the first corner lies in its plane (in
// floats), `weight` the corners' bilinear weights in the order here, right, below, below right.
#pragma once

#include <cstddef>

#include "stages.h"
#include "vec.h"

namespace dac::cpu {

struct Grid {
  int size, channels;

  ptrdiff_t down() const { return static_cast<ptrdiff_t>(size) * channels; }
  ptrdiff_t plane_floats() const { return size * down(); }
};

struct Corners {
  int32_t* first;  // 3 x n
  float* weight;   // 3 x 4 x n
};

inline void find_corners(int n, const float* const* coordinates, const Grid& grid,
                         const Corners& corners) {
  for (int plane = 0; plane < kPlanes; ++plane) {
    const float *x = coordinates[column_axis(plane)], *y = coordinates[row_axis(plane)];
    int32_t* first = corners.first + plane * n;
    float* weight = corners.weight + 4 * plane * n;
#pragma GCC ivdep
    for (int i = 0; i < n; ++i) {
      float u, v;
      int column = plane_cell(x[i], grid.size, &u), row = plane_cell(y[i], grid.size, &v);
      first[i] = (row * grid.size + column) * grid.channels;
      float both = u * v;
      weight[i] = 1 - u - v + both;
      weight[n + i] = u - both;
      weight[2 * n + i] = v - both;
      weight[3 * n + i] = both;
    }
  }
}

// How many points ahead their corners are fetched into the cache: they lie anywhere in the planes.
constexpr int kAhead = 8;

template <int kWrite>
inline void fetch_corners(const float* at, ptrdiff_t down, int C) {
  __builtin_prefetch(at, kWrite);
  __builtin_prefetch(at + C, kWrite);
  __builtin_prefetch(at + down, kWrite);
  __builtin_prefetch(at + down + C, kWrite);
}

// A point's C channels as kPieces vectors of kWidth floats, a corner at a time.
template <int kWidth, int kPieces>
struct Pieces {
  using Piece = typename Lanes<kWidth>::Float;
  static constexpr int kChannels = kWidth * kPieces;

  static Piece get(const float* at, ptrdiff_t down, const float* weight, int n, int piece) {
    const float* p = at + piece * kWidth;
    return load<kWidth>(p) * weight[0] + load<kWidth>(p + kChannels) * weight[n] +
           load<kWidth>(p + down) * weight[2 * n] +
           load<kWidth>(p + down + kChannels) * weight[3 * n];
  }

  static void add(float* at, ptrdiff_t down, const float* weight, int n, int piece, Piece slope) {
    float* p = at + piece * kWidth;
    float* corner[4] = {p, p + kChannels, p + down, p + down + kChannels};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      store_lanes<kWidth>(corner[i], load<kWidth>(corner[i]) + slope * weight[i * n]);
  }
};

#if defined(__AVX512F__)
// Eight channels: two neighbours in a row fill one vector.
struct Pair {
  using Piece = Lanes<8>::Float;
  static constexpr int kChannels = 8;

  static Vec both(float left, float right) {
    constexpr IVec kRight = {0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1};
    return kRight ? broadcast(right) : broadcast(left);
  }

  static Piece get(const float* at, ptrdiff_t down, const float* weight, int n, int) {
    Vec sum = load(at) * both(weight[0], weight[n]) +
              load(at + down) * both(weight[2 * n], weight[3 * n]);
    return __builtin_shufflevector(sum, sum, 0, 1, 2, 3, 4, 5, 6, 7) +
           __builtin_shufflevector(sum, sum, 8, 9, 10, 11, 12, 13, 14, 15);
  }

  static void add(float* at, ptrdiff_t down, const float* weight, int n, int, Piece slope) {
    Vec twice = __builtin_shufflevector(slope, slope, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
    store(at, load(at) + twice * both(weight[0], weight[n]));
    store(at + down, load(at + down) + twice * both(weight[2 * n], weight[3 * n]));
  }
};
using Eight = Pair;
#else
using Eight = Pieces<8, 1>;
#endif

// The product of the planes' values into n rows of `features`; each plane's values (3 x n x C) are
// kept for the transpose unless `values` is null.
template <class Form>
inline void gather_form(int n, const float* planes, const Grid& grid, const Corners& corners,
                        float* values, float* features, ptrdiff_t features_row) {
  using Piece = typename Form::Piece;
  constexpr int C = Form::kChannels, kWidth = sizeof(Piece) / sizeof(float), kPieces = C / kWidth;
  const ptrdiff_t down = grid.down(), plane_floats = grid.plane_floats();
  for (int i = 0; i < n; ++i) {
    if (i + kAhead < n)
      for (int plane = 0; plane < kPlanes; ++plane)
        fetch_corners<0>(planes + plane * plane_floats + corners.first[plane * n + i + kAhead],
                         down, C);
    Piece product[kPieces];
#pragma GCC unroll 3
    for (int plane = 0; plane < kPlanes; ++plane) {
      const float* at = planes + plane * plane_floats + corners.first[plane * n + i];
      const float* weight = corners.weight + 4 * plane * n + i;
#pragma GCC unroll 4
      for (int piece = 0; piece < kPieces; ++piece) {
        Piece value = Form::get(at, down, weight, n, piece);
        if (values != nullptr)
          store_lanes<kWidth>(values + (static_cast<ptrdiff_t>(plane) * n + i) * C + piece * kWidth,
                              value);
        product[piece] = plane == 0 ? value : product[piece] * value;
      }
    }
#pragma GCC unroll 4
    for (int piece = 0; piece < kPieces; ++piece)
      store_lanes<kWidth>(features + i * features_row + piece * kWidth, product[piece]);
  }
}

inline void gather_floats(int n, const float* planes, const Grid& grid, const Corners& corners,
                          float* values, float* features, ptrdiff_t features_row) {
  const int C = grid.channels;
  const ptrdiff_t down = grid.down(), plane_floats = grid.plane_floats();
  for (int i = 0; i < n; ++i)
    for (int plane = 0; plane < kPlanes; ++plane) {
      const float* at = planes + plane * plane_floats + corners.first[plane * n + i];
      const float* weight = corners.weight + 4 * plane * n + i;
      for (int c = 0; c < C; ++c) {
        const float* p = at + c;
        float value = p[0] * weight[0] + p[C] * weight[n] + p[down] * weight[2 * n] +
                      p[down + C] * weight[3 * n];
        if (values != nullptr) values[(static_cast<ptrdiff_t>(plane) * n + i) * C + c] = value;
        float& feature = features[i * features_row + c];
        feature = plane == 0 ? value : feature * value;
      }
    }
}

// Adds d/d(planes). The planes of a point are taken together, so that three sums are under way where
// neighbouring points share a cell.
template <class Form>
inline void scatter_form(int n, const Grid& grid, const Corners& corners, const float* values,
                         const float* to_features, ptrdiff_t features_row, float* to_planes) {
  using Piece = typename Form::Piece;
  constexpr int C = Form::kChannels, kWidth = sizeof(Piece) / sizeof(float), kPieces = C / kWidth;
  const ptrdiff_t down = grid.down(), plane_floats = grid.plane_floats();
  const ptrdiff_t between = static_cast<ptrdiff_t>(n) * C;
  for (int i = 0; i < n; ++i) {
    if (i + kAhead < n)
      for (int plane = 0; plane < kPlanes; ++plane)
        fetch_corners<1>(to_planes + plane * plane_floats + corners.first[plane * n + i + kAhead],
                         down, C);
#pragma GCC unroll 4
    for (int piece = 0; piece < kPieces; ++piece) {
      const float* value = values + i * C + piece * kWidth;
      Piece slope = load<kWidth>(to_features + i * features_row + piece * kWidth);
#pragma GCC unroll 3
      for (int plane = 0; plane < kPlanes; ++plane) {
        Piece others = load<kWidth>(value + (plane == 0 ? 1 : 0) * between) *
                       load<kWidth>(value + (plane == 2 ? 1 : 2) * between);
        Form::add(to_planes + plane * plane_floats + corners.first[plane * n + i], down,
                  corners.weight + 4 * plane * n + i, n, piece, slope * others);
      }
    }
  }
}

inline void scatter_floats(int n, const Grid& grid, const Corners& corners, const float* values,
                           const float* to_features, ptrdiff_t features_row, float* to_planes) {
  const int C = grid.channels;
  const ptrdiff_t down = grid.down(), plane_floats = grid.plane_floats();
  const ptrdiff_t between = static_cast<ptrdiff_t>(n) * C;
  for (int i = 0; i < n; ++i)
    for (int plane = 0; plane < kPlanes; ++plane) {
      float* at = to_planes + plane * plane_floats + corners.first[plane * n + i];
      const float* weight = corners.weight + 4 * plane * n + i;
      for (int c = 0; c < C; ++c) {
        const float* value = values + i * C + c;
        float slope = to_features[i * features_row + c] * value[(plane == 0 ? 1 : 0) * between] *
                      value[(plane == 2 ? 1 : 2) * between];
        float* p = at + c;
        p[0] += slope * weight[0];
        p[C] += slope * weight[n];
        p[down] += slope * weight[2 * n];
        p[down + C] += slope * weight[3 * n];
      }
    }
}

// Calls `function` with the widest form that C allows; false where it has none.
template <class Function>
inline bool with_form(int C, const Function& function) {
  if (C == 8) return function(Eight{}), true;
  if (C == 16) return function(Pieces<kLanes, 16 / kLanes>{}), true;
  if (C == 24) return function(Pieces<8, 3>{}), true;
  if (C == 32) return function(Pieces<kLanes, 32 / kLanes>{}), true;
  return false;
}

inline void gather(int n, const float* planes, const Grid& grid, const Corners& corners,
                   float* values, float* features, ptrdiff_t features_row) {
  bool done = with_form(grid.channels, [&](auto form) {
    gather_form<decltype(form)>(n, planes, grid, corners, values, features, features_row);
  });
  if (!done) gather_floats(n, planes, grid, corners, values, features, features_row);
}

inline void scatter(int n, const Grid& grid, const Corners& corners, const float* values,
                    const float* to_features, ptrdiff_t features_row, float* to_planes) {
  bool done = with_form(grid.channels, [&](auto form) {
    scatter_form<decltype(form)>(n, grid, corners, values, to_features, features_row, to_planes);
  });
  if (!done) scatter_floats(n, grid, corners, values, to_features, features_row, to_planes);
}

}  // namespace dac::cpu

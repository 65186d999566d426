// Lookup in three channels-last planes (xy, xz, yz) of one scale, and its transpose.
//
// Notation: n points in a row (usually a ray's), N entries a side, C channels; a plane's point lies in
// the cell between four entries, `cell` its first entry's index along an axis, `along` the place in it.
#pragma once

#include <cstddef>
#include <cstring>

#include "stages.h"
#include "vec.h"

namespace dac {

// Cells along the three axes, axis by axis (3 x n).
struct Cells {
  const int32_t* cell;
  const float* along;
  int stride;  // between axes
};

inline void find_cells(int n, const float* coordinate, int size, int32_t* cell, float* along) {
  for (int i = 0; i < n; ++i) cell[i] = plane_cell(coordinate[i], size, along + i);
}

constexpr int kColumnAxis[3] = {0, 0, 1};  // of the planes xy, xz, yz
constexpr int kRowAxis[3] = {1, 2, 2};

struct Corners {
  ptrdiff_t first;  // index of the cell's first float in its plane
  float weight[4];
};

inline Corners corners_of(const Cells& cells, int plane, int i, int size, int channels) {
  int column = kColumnAxis[plane] * cells.stride + i, row = kRowAxis[plane] * cells.stride + i;
  float u = cells.along[column], v = cells.along[row];
  float both = u * v;
  ptrdiff_t entry = static_cast<ptrdiff_t>(cells.cell[row]) * size + cells.cell[column];
  return {entry * channels, {1 - u - v + both, u - both, v - both, both}};
}


// Values (3 x n x C: of each plane, kept for the transpose unless null) and their product, added to
// nothing: features (n rows, `features_row` apart).
template <int kWidth, int kPieces>
inline void gather_pieces(int n, const float* planes, int size, const Cells& cells, float* values,
                          float* features, ptrdiff_t features_row) {
  using Piece = typename Lanes<kWidth>::Float;
  constexpr int C = kWidth * kPieces;
  const ptrdiff_t plane_floats = static_cast<ptrdiff_t>(size) * size * C;
  const ptrdiff_t down = static_cast<ptrdiff_t>(size) * C;
  for (int i = 0; i < n; ++i) {
    Piece product[kPieces];
#pragma GCC unroll 3
    for (int plane = 0; plane < 3; ++plane) {
      Corners at = corners_of(cells, plane, i, size, C);
      const float* from = planes + plane * plane_floats + at.first;
#pragma GCC unroll 4
      for (int piece = 0; piece < kPieces; ++piece) {
        const float* p = from + piece * kWidth;
        Piece value = load<kWidth>(p) * at.weight[0] + load<kWidth>(p + C) * at.weight[1] +
                      load<kWidth>(p + down) * at.weight[2] +
                      load<kWidth>(p + down + C) * at.weight[3];
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

inline void gather_floats(int n, int C, const float* planes, int size, const Cells& cells,
                          float* values, float* features, ptrdiff_t features_row) {
  const ptrdiff_t plane_floats = static_cast<ptrdiff_t>(size) * size * C;
  const ptrdiff_t down = static_cast<ptrdiff_t>(size) * C;
  for (int i = 0; i < n; ++i)
    for (int plane = 0; plane < 3; ++plane) {
      Corners at = corners_of(cells, plane, i, size, C);
      const float* from = planes + plane * plane_floats + at.first;
      for (int c = 0; c < C; ++c) {
        const float* p = from + c;
        float value = p[0] * at.weight[0] + p[C] * at.weight[1] + p[down] * at.weight[2] +
                      p[down + C] * at.weight[3];
        if (values != nullptr) values[(static_cast<ptrdiff_t>(plane) * n + i) * C + c] = value;
        float& feature = features[i * features_row + c];
        feature = plane == 0 ? value : feature * value;
      }
    }
}

// One plane's share of the transpose: adds d/d(plane) to `to_plane`. Neighbouring points of a ray
// often share a cell: their sum is kept in registers and added once.
template <int kWidth, int kPieces>
inline void scatter_pieces(int n, int plane, int size, const Cells& cells, const float* values,
                           const float* to_features, ptrdiff_t features_row, float* to_plane) {
  using Piece = typename Lanes<kWidth>::Float;
  constexpr int C = kWidth * kPieces;
  const ptrdiff_t down = static_cast<ptrdiff_t>(size) * C;
  const float* one = values + static_cast<ptrdiff_t>(plane == 0 ? 1 : 0) * n * C;
  const float* two = values + static_cast<ptrdiff_t>(plane == 2 ? 1 : 2) * n * C;
  for (int piece = 0; piece < kPieces; ++piece) {
    const int c = piece * kWidth;
    Piece sums[4] = {};
    ptrdiff_t current = -1;
    auto flush = [&] {
      if (current < 0) return;
      float* to = to_plane + current + c;
      store_lanes<kWidth>(to, load<kWidth>(to) + sums[0]);
      store_lanes<kWidth>(to + C, load<kWidth>(to + C) + sums[1]);
      store_lanes<kWidth>(to + down, load<kWidth>(to + down) + sums[2]);
      store_lanes<kWidth>(to + down + C, load<kWidth>(to + down + C) + sums[3]);
    };
    for (int i = 0; i < n; ++i) {
      Corners at = corners_of(cells, plane, i, size, C);
      Piece slope = load<kWidth>(to_features + i * features_row + c) * load<kWidth>(one + i * C + c) *
                    load<kWidth>(two + i * C + c);
      if (at.first != current) {
        flush();
        current = at.first;
        for (int corner = 0; corner < 4; ++corner) sums[corner] = slope * at.weight[corner];
      } else {
        for (int corner = 0; corner < 4; ++corner) sums[corner] += slope * at.weight[corner];
      }
    }
    flush();
  }
}

inline void scatter_floats(int n, int C, int plane, int size, const Cells& cells,
                           const float* values, const float* to_features, ptrdiff_t features_row,
                           float* to_plane) {
  const ptrdiff_t down = static_cast<ptrdiff_t>(size) * C;
  const float* one = values + static_cast<ptrdiff_t>(plane == 0 ? 1 : 0) * n * C;
  const float* two = values + static_cast<ptrdiff_t>(plane == 2 ? 1 : 2) * n * C;
  for (int i = 0; i < n; ++i) {
    Corners at = corners_of(cells, plane, i, size, C);
    for (int c = 0; c < C; ++c) {
      float slope = to_features[i * features_row + c] * one[i * C + c] * two[i * C + c];
      float* to = to_plane + at.first + c;
      to[0] += slope * at.weight[0];
      to[C] += slope * at.weight[1];
      to[down] += slope * at.weight[2];
      to[down + C] += slope * at.weight[3];
    }
  }
}

// Calls the widest form that C allows.
inline void gather(int n, int C, const float* planes, int size, const Cells& cells, float* values,
                   float* features, ptrdiff_t features_row) {
  auto args = [&](auto function) {
    function(n, planes, size, cells, values, features, features_row);
  };
  if (C == 2 * kLanes) return args(gather_pieces<kLanes, 2>);
  if (C == kLanes) return args(gather_pieces<kLanes, 1>);
  if (C == 8) return args(gather_pieces<8, 1>);
  if (C == 32) return args(gather_pieces<8, 4>);
  gather_floats(n, C, planes, size, cells, values, features, features_row);
}

inline void scatter(int n, int C, int plane, int size, const Cells& cells, const float* values,
                    const float* to_features, ptrdiff_t features_row, float* to_plane) {
  auto args = [&](auto function) {
    function(n, plane, size, cells, values, to_features, features_row, to_plane);
  };
  if (C == 2 * kLanes) return args(scatter_pieces<kLanes, 2>);
  if (C == kLanes) return args(scatter_pieces<kLanes, 1>);
  if (C == 8) return args(scatter_pieces<8, 1>);
  if (C == 32) return args(scatter_pieces<8, 4>);
  scatter_floats(n, C, plane, size, cells, values, to_features, features_row, to_plane);
}

}  // namespace dac

// The gradients of a layer's weights, which a block sums: its warps share out the products.
#pragma once

#include "matrices.h"

namespace dac::cuda {

constexpr int kWarps = 8;
constexpr int kTile = 16 * kWarps;  // points

// A warp's part of slopes^T inputs (16 kM x 16 kN): a pair of 8 columns, some blocks of 16 rows,
// and, where the product is too small for all warps, some of the points.
template <int kM, int kN>
struct BlockSum {
  static constexpr int kAll = kM * kN, kUsed = kAll < kWarps ? kAll : kWarps;
  static constexpr int kRows = kAll < kWarps ? 1 : kAll / kWarps;
  static constexpr int kSplits = kAll < kWarps ? kWarps / kAll : 1;
  static_assert(kAll * kSplits * 1 == kWarps * kRows, "the warps share evenly");
  float d[kRows][2][4];

  DEVICE BlockSum() {
#pragma unroll
    for (int r = 0; r < kRows; ++r) clear<2>(d[r]);
  }
  static DEVICE int column() { return warp() % kUsed % kN * 16; }
  static DEVICE int row() { return warp() % kUsed / kN * kRows * 16; }
  static DEVICE int split() { return warp() / kUsed; }

  // All 128 points' slopes and inputs lie in shared memory. Between two barriers.
  DEVICE void add(const uint16_t* slopes, int slope_row, const uint16_t* inputs, int input_row,
                  int columns = 16 * kN) {
    if (column() >= columns) return;
    constexpr int kPoints = kTile / kSplits;
#pragma unroll 2
    for (int p = split() * kPoints; p < (split() + 1) * kPoints; p += 16) {
      uint32_t b[4];
      load_b_turned(b, inputs, input_row, p, column());
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        uint32_t a[4];
        load_a_turned(a, slopes, slope_row, p, row() + 16 * r);
        multiply_bf16(d[r][0], a, b);
        multiply_bf16(d[r][1], a, b + 2);
      }
    }
  }

  // Into a gradient of (rows, columns); `gap` as in copy_weights.
  template <class Sum>
  DEVICE void write(Sum* to, int rows, int columns, int gap) const {
    const int g = lane() >> 2, t = lane() & 3;
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          int out = row() + 16 * r + g + 8 * (i >> 1), in = column() + 8 * n + 2 * t + (i & 1);
          bool skip = gap >= 0 && in == gap;
          if (gap >= 0 && in > gap) --in;
          if (out < rows && in < columns && !skip)
            add_sum(to + out * columns + in, d[r][n][i]);
        }
  }
};

}  // namespace dac::cuda

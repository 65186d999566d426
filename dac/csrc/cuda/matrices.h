// Small matrix products of a warp on tensor cores, with weights and activations in shared memory.
//
// A layer is y = x W^T with W (out, in) as the parameters have it. In shared memory a matrix has
// its rows padded to 16 rows and `kPad` columns more than a multiple of 16: rows then start 4 banks
// apart, and eight rows of 16 bytes fill all banks. The activations of 16 points are operands in
// registers ("A" of device.h, one array of four per 16 columns), results are sums ("D", one array
// of four per 8 columns). A result becomes the next operand where it lies: pairs of its columns are
// already where A wants them.
#pragma once

#include "device.h"

namespace dac::cuda {

constexpr int kPad = 8;

struct Half {
  static DEVICE uint32_t pack(float low, float high) { return pack_half(low, high); }
};

struct Bf16 {
  static DEVICE uint32_t pack(float low, float high) { return pack_bf16(low, high); }
};

// Backward passes compute in bf16, whose range holds any slope, with weights and activations that
// lie in shared memory as halves: a forward pass in bf16 would put so many values on the wrong side
// of ReLU that gradients were off by several percent.
DEVICE uint32_t bf16_of_half(uint32_t bits) {
  float2 two = unpack_half(bits);
  return pack_bf16(two.x, two.y);
}

// ---- Operands from shared memory; `stride` is the matrix's row in numbers ----

// Where a lane's row lies when the second of the four blocks is 8 rows on, the third 8 columns on.
DEVICE const uint16_t* rows_first(const uint16_t* m, int stride, int row, int column) {
  int l = lane();
  return m + (row + (l & 15)) * stride + column + (l >> 4) * 8;
}
// And when the second is 8 columns on, the third 8 rows on.
DEVICE const uint16_t* columns_first(const uint16_t* m, int stride, int row, int column) {
  int l = lane();
  return m + (row + (l & 7) + (l >> 4) * 8) * stride + column + (l & 8);
}

// A = 16 rows of m from (row, column).
DEVICE void load_a(uint32_t* a, const uint16_t* m, int stride, int row, int column) {
  load_matrices(a, rows_first(m, stride, row, column));
}
// A = their transpose: row r of A is column `column + r`.
DEVICE void load_a_turned(uint32_t* a, const uint16_t* m, int stride, int row, int column) {
  load_transposed(a, columns_first(m, stride, row, column));
}
// Two Bs, side by side: column n of the pair is row `row + n` of m, from `column` on.
DEVICE void load_b(uint32_t* b, const uint16_t* m, int stride, int row, int column) {
  load_matrices(b, columns_first(m, stride, row, column));
}
// Two Bs: row k is row `row + k` of m; the columns from `column` on.
DEVICE void load_b_turned(uint32_t* b, const uint16_t* m, int stride, int row, int column) {
  load_transposed(b, rows_first(m, stride, row, column));
}

// ---- Layers of a warp's 16 points ----

template <int kTiles>
DEVICE void clear(float (*d)[4]) {
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) d[n][i] = 0;
}

// d (8 kOut columns) += a (one block of 16 columns) times columns `column` on of W, transposed.
template <int kOut>
DEVICE void multiply_block(float (*d)[4], const uint32_t* a, const uint16_t* w, int stride,
                           int column) {
#pragma unroll
  for (int n = 0; n < kOut; n += 2) {
    uint32_t b[4];
    load_b(b, w, stride, 8 * n, column);
    multiply_half(d[n], a, b);
    multiply_half(d[n + 1], a, b + 2);
  }
}

// y = x W^T; x has 16 kIn columns, of halves.
template <int kOut, int kIn>
DEVICE void layer(float (*d)[4], const uint32_t (*a)[4], const uint16_t* w, int stride) {
  clear<kOut>(d);
#pragma unroll
  for (int k = 0; k < kIn; ++k) multiply_block<kOut>(d, a[k], w, stride, 16 * k);
}

// to_x = to_y W: 8 kIn columns of it, from `column` on; to_y has 16 kOut columns, in bf16, W
// halves.
template <int kIn, int kOut>
DEVICE void layer_turned(float (*d)[4], const uint32_t (*a)[4], const uint16_t* w, int stride,
                         int column) {
  clear<kIn>(d);
#pragma unroll
  for (int k = 0; k < kOut; ++k)
#pragma unroll
    for (int n = 0; n < kIn; n += 2) {
      uint32_t b[4];
      load_b_turned(b, w, stride, 16 * k, column + 8 * n);
#pragma unroll
      for (int i = 0; i < 4; ++i) b[i] = bf16_of_half(b[i]);
      multiply_bf16(d[n], a[k], b);
      multiply_bf16(d[n + 1], a[k], b + 2);
    }
}

// The result as the next layer's operand.
template <class Number, int kBlocks, bool kRelu>
DEVICE void operand(uint32_t (*a)[4], float (*d)[4]) {
#pragma unroll
  for (int k = 0; k < kBlocks; ++k)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float* from = d[2 * k + half];
      if (kRelu) {
#pragma unroll
        for (int i = 0; i < 4; ++i) from[i] = from[i] < 0 ? 0 : from[i];  // NaN stays
      }
      a[k][2 * half] = Number::pack(from[0], from[1]);
      a[k][2 * half + 1] = Number::pack(from[2], from[3]);
    }
}

// Zero where the layer's output (an operand of halves) was not positive: ReLU's backward pass.
template <int kBlocks>
DEVICE void mask(float (*d)[4], const uint32_t (*a)[4]) {
#pragma unroll
  for (int k = 0; k < kBlocks; ++k)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float2 out = unpack_half(a[k][2 * half + i]);
        float* to = d[2 * k + half] + 2 * i;
        to[0] = out.x > 0 ? to[0] : 0;
        to[1] = out.y > 0 ? to[1] : 0;
      }
}

// A copy of an operand of halves, in bf16.
template <int kBlocks>
DEVICE void as_bf16(uint32_t (*to)[4], const uint32_t (*a)[4]) {
#pragma unroll
  for (int k = 0; k < kBlocks; ++k)
#pragma unroll
    for (int i = 0; i < 4; ++i) to[k][i] = bf16_of_half(a[k][i]);
}

// An operand's 16 rows into shared memory.
template <int kBlocks>
DEVICE void store_operand(const uint32_t (*a)[4], uint16_t* m, int stride, int row, int column) {
  int g = lane() >> 2, t = lane() & 3;
#pragma unroll
  for (int k = 0; k < kBlocks; ++k) {
    uint16_t* at = m + (row + g) * stride + column + 16 * k + 2 * t;
    *reinterpret_cast<uint32_t*>(at) = a[k][0];
    *reinterpret_cast<uint32_t*>(at + 8 * stride) = a[k][1];
    *reinterpret_cast<uint32_t*>(at + 8) = a[k][2];
    *reinterpret_cast<uint32_t*>(at + 8 * stride + 8) = a[k][3];
  }
}

// A block copies W (rows, columns) of float32 to shared memory as halves, zero beyond. From column
// `gap` on, the copy's columns are one to the right (gap -1: nowhere), and the column between is
// zero.
DEVICE void copy_weights(const float* w, int rows, int columns, int gap, uint16_t* m,
                         int padded_rows, int stride) {
  for (int i = thread(); i < padded_rows * stride; i += threads()) {
    int row = i / stride, column = i % stride;
    bool skip = gap >= 0 && column == gap;
    if (gap >= 0 && column > gap) --column;
    float value =
        row < rows && column < columns && !skip ? __ldg(w + row * columns + column) : 0.0F;
    m[i] = static_cast<uint16_t>(pack_half(value, 0));
  }
}

}  // namespace dac::cuda

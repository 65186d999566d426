// Products of tall, narrow matrices, kept in registers: C (M x N) from A (M x K) and B (K x N).
//
// A is read through two strides, so that the same kernel forms X W^T, dY W and X^T dY. B and C are
// row-major; N is a multiple of kLanes (pad with zeros), M and K are anything.
#pragma once

#include <cstddef>

#include "vec.h"

namespace dac::cpu {

enum class Finish {
  kStore,  // C = A B (+ the start row)
  kRelu,   // C = max(0, A B (+ the start row))
  kAdd,    // C += A B
  kMask,   // C = A B where `mask` is positive, else 0
  kDot,    // c += max(0, A B) extra: one number a row, which a layer of one output is
};

struct Product {
  int K;
  const float* a;
  ptrdiff_t a_row, a_k;  // strides of A along M and along K
  const float* b;
  ptrdiff_t b_row;
  float* c;
  ptrdiff_t c_row;
  const float* extra = nullptr;  // kStore, kRelu: a row (N) that each row starts from, or null
  ptrdiff_t extra_row = 0;       // kMask: the mask, and its rows' stride; kDot: a row (N)
};

// Columns in vectors, and rows, of the largest tile: its sums, a row of B and one of A fit the
// registers (32 with AVX-512, else 16).
constexpr int kMaxColumns = kLanes == 16 ? 4 : 2;
constexpr int tile_rows(int columns) { return (kLanes == 16 ? 24 : 12) / columns; }

template <Finish kFinish, int kRows, int kColumns>
inline void tile(const Product& p, int row, int column) {
  const float* a = p.a + row * p.a_row;
  const float* b = p.b + column;
  Vec sums[kRows][kColumns];
#pragma GCC unroll 24
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      bool starts = (kFinish == Finish::kStore || kFinish == Finish::kRelu) && p.extra != nullptr;
      sums[i][j] = starts ? load(p.extra + column + j * kLanes) : Vec{};
    }
  for (int k = 0; k < p.K; ++k) {
    Vec row_of_b[kColumns];
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) row_of_b[j] = load(b + k * p.b_row + j * kLanes);
#pragma GCC unroll 24
    for (int i = 0; i < kRows; ++i) {
      Vec x = broadcast(a[i * p.a_row + k * p.a_k]);
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) sums[i][j] += x * row_of_b[j];
    }
  }
  if constexpr (kFinish == Finish::kDot) {
#pragma GCC unroll 24
    for (int i = 0; i < kRows; ++i) {
      Vec total = {};
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) {
        Vec value = sums[i][j] > 0.0F ? sums[i][j] : Vec{};
        total += value * load(p.extra + column + j * kLanes);
      }
      p.c[row + i] += sum(total);
    }
    return;
  }
  float* c = p.c + row * p.c_row + column;
#pragma GCC unroll 24
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      float* to = c + i * p.c_row + j * kLanes;
      Vec value = sums[i][j];
      if constexpr (kFinish == Finish::kRelu) value = value > 0.0F ? value : Vec{};
      if constexpr (kFinish == Finish::kAdd) value += load(to);
      if constexpr (kFinish == Finish::kMask) {
        Vec mask = load(p.extra + (row + i) * p.extra_row + column + j * kLanes);
        value = mask > 0.0F ? value : Vec{};
      }
      store(to, value);
    }
}

template <Finish kFinish, int kColumns>
inline void tile_column(const Product& p, int M, int column) {
  constexpr int kRows = tile_rows(kColumns);
  int row = 0;
  for (; row + kRows <= M; row += kRows) tile<kFinish, kRows, kColumns>(p, row, column);
  for (; row + 4 <= M; row += 4) tile<kFinish, 4, kColumns>(p, row, column);
  for (; row < M; ++row) tile<kFinish, 1, kColumns>(p, row, column);
}

template <Finish kFinish>
inline void multiply(int M, int N, const Product& p) {
  int column = 0;
  for (; column + kMaxColumns * kLanes <= N; column += kMaxColumns * kLanes)
    tile_column<kFinish, kMaxColumns>(p, M, column);
  switch ((N - column) / kLanes) {
    case 1: tile_column<kFinish, 1>(p, M, column); break;
    case 2: tile_column<kFinish, kMaxColumns == 4 ? 2 : 1>(p, M, column); break;
    case 3: tile_column<kFinish, kMaxColumns == 4 ? 3 : 1>(p, M, column); break;
    default: break;
  }
}

}  // namespace dac::cpu

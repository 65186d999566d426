// Short vectors of floats in the compiler's own portable form: 16 lanes with AVX-512, else 8.
#pragma once

#include <cstdint>

namespace dac::cpu {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif

template <int N>
struct Lanes {
  typedef float Float __attribute__((vector_size(N * 4)));
  typedef int32_t Int __attribute__((vector_size(N * 4)));
  typedef float Loose __attribute__((vector_size(N * 4), aligned(4), may_alias));
};

using Vec = Lanes<kLanes>::Float;
using IVec = Lanes<kLanes>::Int;

constexpr int padded(int width) { return (width + kLanes - 1) / kLanes * kLanes; }

template <int N = kLanes>
inline typename Lanes<N>::Float load(const float* from) {
  return *reinterpret_cast<const typename Lanes<N>::Loose*>(from);
}

template <int N>
inline void store_lanes(float* to, typename Lanes<N>::Float value) {
  *reinterpret_cast<typename Lanes<N>::Loose*>(to) = value;
}

inline void store(float* to, Vec value) { store_lanes<kLanes>(to, value); }

inline Vec broadcast(float x) { return x - Vec{}; }

inline float sum(Lanes<8>::Float v) {
  typedef float Four __attribute__((vector_size(16)));
  Four four = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
  Four two = four + __builtin_shufflevector(four, four, 2, 3, 0, 1);
  return two[0] + two[1];
}

#if defined(__AVX512F__)
inline float sum(Lanes<16>::Float v) {
  return sum(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}
#endif

// Two to the n and p with exp(x) = 2^n (1 + p); x in [-87, 88].
inline void split_exp(Vec x, Vec* power, Vec* p) {
  constexpr float kMagic = 12582912.0F;  // 1.5 x 2^23: adding it rounds to a whole number
  Vec shifted = x * 1.44269504088896341F + kMagic;
  Vec n = shifted - kMagic;
  Vec r = x - n * 0.693359375F - n * -2.12194440e-4F;
  // Taylor's series of exp(r) - 1, |r| <= 0.35.
  Vec series = broadcast(1.0F / 5040);
  series = series * r + 1.0F / 720;
  series = series * r + 1.0F / 120;
  series = series * r + 1.0F / 24;
  series = series * r + 1.0F / 6;
  series = series * r + 0.5F;
  *p = series * (r * r) + r;
  IVec bits = (reinterpret_cast<IVec>(n + kMagic) + (127 - 0x4B400000)) << 23;
  *power = reinterpret_cast<Vec>(bits);
}

inline Vec clamp(Vec x, float low, float high) {
  x = x < low ? broadcast(low) : x;
  return x > high ? broadcast(high) : x;
}

// Within 2 units in the last place for x in [-87, 88], 0 below, the largest number above.
inline Vec exp(Vec x) {
  Vec power, p;
  split_exp(clamp(x, -87.0F, 88.0F), &power, &p);
  Vec value = power * p + power;
  value = x < -87.0F ? Vec{} : value;
  value = x > 88.0F ? broadcast(3.4028234663852886e38F) : value;
  return x != x ? x : value;
}

// exp(x) - 1 for x <= 0, exact to rounding near 0.
inline Vec expm1(Vec x) {
  Vec power, p;
  split_exp(clamp(x, -87.0F, 88.0F), &power, &p);
  Vec value = power * p + (power - 1.0F);
  return x != x ? x : value;
}

inline Vec sigmoid(Vec x) { return 1.0F / (1.0F + exp(-x)); }

}  // namespace dac::cpu

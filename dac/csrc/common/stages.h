// What happens along one ray, as scalar functions that CPU and CUDA kernels share.
//
// Notation: S bins of a level; t (S+1) edges as distances, s (S+1) the same edges normalised to
// [0, 1], delta = diff(t); sigma densities, tau = sigma delta, alpha = 1 - exp(-tau), w weights.
// Each function's meaning is the one of its name in dac/ops/reference.py or dac/fields/.
// Loops over bins take pointers to one ray's values and the distance between two of them.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define HD __host__ __device__ __forceinline__
#else
#define HD inline
#endif

namespace dac {

// As ternaries, because these become one instruction each; fminf and fmaxf ask for more of NaN.
HD float smaller(float a, float b) { return a < b ? a : b; }

HD float larger(float a, float b) { return a > b ? a : b; }

// ---- Random numbers: a function of (key, level, ray, index), the same everywhere ----

HD uint32_t scramble(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  x ^= x >> 16;
  return x;
}

// The part of a jitter's key that a whole ray shares.
HD uint32_t jitter_row(uint64_t key, uint32_t level, uint32_t ray) {
  uint32_t low = static_cast<uint32_t>(key), high = static_cast<uint32_t>(key >> 32);
  return scramble(ray ^ scramble(level + low)) + high;
}

// Uniform in [0, 1), a multiple of 2^-24.
HD float jitter(uint32_t row, uint32_t index) {
  return static_cast<float>(scramble(row + index * 0x9e3779b9U) >> 8) * 0x1p-24F;
}

// ---- Distances ----

enum class SpaceKind : int { kBox = 0, kContraction = 1 };

HD float warp(float t) { return t < 1 ? t * 0.5F : 1 - 1 / (2 * t); }

HD float unwarp(float g) { return g < 0.5F ? 2 * g : 1 / (2 - 2 * g); }

// Exact at both ends.
HD float lerp_between(float a, float b, float s) {
  return s < 0.5F ? a + s * (b - a) : b - (b - a) * (1 - s);
}

HD float t_from_s(SpaceKind kind, float s, float near, float far) {
  if (kind == SpaceKind::kBox) return lerp_between(near, far, s);
  return smaller(larger(unwarp(lerp_between(warp(near), warp(far), s)), near), far);
}

// Edge i of the first level, which has `samples` bins; u in [0, 1), 0.5 for an even one.
HD float first_edge(int i, int samples, float u) {
  float even = static_cast<float>(i) / static_cast<float>(samples);
  return smaller(larger(even + (u - 0.5F) / static_cast<float>(samples), 0.0F), 1.0F);
}

// ---- Space ----

// World to the cube of the planes: x is overwritten. The box's centre and half lengths are given.
HD void cube_from_world(SpaceKind kind, const float* centre, const float* half, float* x) {
  for (int axis = 0; axis < 3; ++axis) x[axis] = (x[axis] - centre[axis]) / half[axis];
  if (kind == SpaceKind::kBox) return;
  float size = larger(larger(fabsf(x[0]), fabsf(x[1])), larger(fabsf(x[2]), 1.0F));
  float inverse = 1 / size, factor = (2 - inverse) * inverse * 0.5F;
  for (int axis = 0; axis < 3; ++axis) x[axis] *= factor;
}

// Cell of a coordinate in a row of `size` entries, and where it lies in it (0 to 1, border clamped).
HD int plane_cell(float x, int size, float* along) {
  float place = smaller(larger((x + 1) * (0.5F * static_cast<float>(size - 1)), 0.0F),
                      static_cast<float>(size - 1));
  int cell = static_cast<int>(place);
  cell = cell < size - 2 ? cell : size - 2;
  *along = place - static_cast<float>(cell);
  return cell;
}

// ---- Directions ----

constexpr int kHarmonics = 16;

HD void spherical_harmonics(float x, float y, float z, float* out) {
  float xx = x * x, yy = y * y, zz = z * z;
  out[0] = 0.28209479177387814F;
  out[1] = -0.4886025119029199F * y;
  out[2] = 0.4886025119029199F * z;
  out[3] = -0.4886025119029199F * x;
  out[4] = 1.0925484305920792F * x * y;
  out[5] = -1.0925484305920792F * y * z;
  out[6] = 0.31539156525252005F * (3 * zz - 1);
  out[7] = -1.0925484305920792F * x * z;
  out[8] = 0.5462742152960396F * (xx - yy);
  out[9] = -0.5900435899266435F * y * (3 * xx - yy);
  out[10] = 2.890611442640554F * x * y * z;
  out[11] = -0.4570457994644658F * y * (5 * zz - 1);
  out[12] = 0.3731763325901154F * z * (5 * zz - 3);
  out[13] = -0.4570457994644658F * x * (5 * zz - 1);
  out[14] = 1.445305721320277F * z * (xx - yy);
  out[15] = -0.5900435899266435F * x * (xx - 3 * yy);
}

// ---- Density ----

constexpr float kLargest = 3.4028234663852886e38F;
constexpr float kClamp = 15.0F;  // of the truncated exponential's derivative
constexpr float kShift = 1.0F;   // sigma = exp(x - 1)

HD float truncated_exp_slope(float x) { return expf(smaller(larger(x, -kClamp), kClamp)); }

// ---- Weights ----

// dL/dtau from dL/dalpha and dL/dw; `through` is exp(-sum of the tau before), `alpha` 1 - exp(-tau).
HD void volume_weights_backward(int S, const float* alpha, const float* through, const float* to_alpha,
                                const float* to_w, float* to_tau, int stride) {
  double behind = 0;  // sum over the bins behind of w dL/dw
  for (int i = S - 1; i >= 0; --i) {
    int at = i * stride;
    float g = to_w[at], open = 1 - alpha[at];
    float direct = g * through[at] + (to_alpha ? to_alpha[at] : 0.0F);
    to_tau[at] = open * direct - static_cast<float>(behind);
    behind += static_cast<double>(alpha[at] * through[at]) * g;
  }
}

// ---- Resampling ----

// One level's histogram turned into edges of the next: `count` levels u_i = (i + jitter) / count of
// its inverse cumulative distribution. `row` as by jitter_row; without jitter the strata's middles.
// weights are raised to `anneal`, then by `padding`, as they are read.
template <class Weight>
HD void resample(int P, const float* edges, Weight weight, float padding, int count, bool jittered,
                 uint32_t row, float* out, int stride) {
  double total = 0;
  for (int i = 0; i < P; ++i) total += static_cast<double>(weight(i) + padding);
  float scale = static_cast<float>(1 / total);
  int bin = 0;
  double sum = static_cast<double>(weight(0) + padding);
  float c0 = 0, c1 = static_cast<float>(sum) * scale;
  for (int i = 0; i < count; ++i) {
    float u = (static_cast<float>(i) + (jittered ? jitter(row, i) : 0.5F)) /
              static_cast<float>(count);
    while (c1 <= u && bin + 1 < P) {
      ++bin;
      c0 = c1;
      sum += static_cast<double>(weight(bin) + padding);
      c1 = static_cast<float>(sum) * scale;
    }
    float e0 = edges[bin * stride], e1 = edges[(bin + 1) * stride];
    out[i * stride] = smaller(e0 + smaller((u - c0) / (c1 - c0), 1.0F) * (e1 - e0), e1);
  }
}

// ---- Losses along a ray; each returns the ray's term, and adds `scale` dterm/dw to `to_w` ----

// mip-NeRF 360, Eq. 15.
HD float distortion(int S, const float* s, const float* w, float scale, float* to_w, int stride) {
  double mass = 0, moment = 0, term = 0;
  for (int i = 0; i < S; ++i) {
    float length = s[(i + 1) * stride] - s[i * stride];
    float middle = s[i * stride] + 0.5F * length, wi = w[i * stride];
    term += 2 * static_cast<double>(wi) * (middle * mass - moment) + wi * wi * length / 3;
    mass += wi;
    moment += static_cast<double>(wi) * middle;
  }
  if (to_w != nullptr) {
    double mass_before = 0, moment_before = 0;
    for (int i = 0; i < S; ++i) {
      float length = s[(i + 1) * stride] - s[i * stride];
      float middle = s[i * stride] + 0.5F * length, wi = w[i * stride];
      double moment_here = static_cast<double>(wi) * middle;
      double mass_behind = mass - mass_before - wi;
      double moment_behind = moment - moment_before - moment_here;
      double slope = 2 * (middle * mass_before - moment_before + moment_behind - middle * mass_behind) +
                     2 * wi * length / 3;
      to_w[i * stride] += scale * static_cast<float>(slope);
      mass_before += wi;
      moment_before += moment_here;
    }
  }
  return static_cast<float>(term);
}

// How far a fine histogram (s, w) rises above its coarse bound (mip-NeRF 360, Eq. 12 and 13), summed
// over the fine bins. The slope goes to the coarse weights, through `steps` (P+1 floats, overwritten):
// a fine bin that spans coarse bins a to b-1 adds its slope at a and takes it away at b.
HD float histogram(int S, const float* s, const float* w, int P, const float* s_coarse,
                   const float* w_coarse, float eps, float scale, float* to_coarse, float* steps,
                   int stride) {
  if (to_coarse != nullptr)
    for (int p = 0; p <= P; ++p) steps[p * stride] = 0;
  double term = 0;
  double mass_first = 0, mass_last = 0;  // of the coarse bins before `first` and before `last`
  int first = 0, last = 0;               // coarse bins [first, last) overlap the fine bin
  for (int i = 0; i < S; ++i) {
    float low = s[i * stride], high = s[(i + 1) * stride];
    while (first < P && s_coarse[(first + 1) * stride] <= low) {
      mass_first += w_coarse[first * stride];
      ++first;
    }
    while (last < P && s_coarse[last * stride] < high) {
      mass_last += w_coarse[last * stride];
      ++last;
    }
    // A fine bin of no length at an edge, or below the first edge, overlaps nothing: its bound is
    // M(last) - M(first), which is then zero or negative as in the twin.
    float wi = w[i * stride];
    float bound = static_cast<float>(mass_last - mass_first);
    float over = wi - bound;
    if (over <= 0) continue;
    term += over * over / (wi + eps);
    if (to_coarse != nullptr) {
      float slope = -2 * scale * over / (wi + eps);
      steps[first * stride] += slope;
      steps[last * stride] -= slope;
    }
  }
  if (to_coarse != nullptr) {
    double sum = 0;
    for (int p = 0; p < P; ++p) {
      sum += steps[p * stride];
      to_coarse[p * stride] += static_cast<float>(sum);
    }
  }
  return static_cast<float>(term);
}

// ---- Adam (Kingma and Ba), as torch's fused one: `rate` is lr / (1 - beta1^n), `scale` is
// 1 / sqrt(1 - beta2^n) ----

// Returns the slope's square.
HD float adam(float* x, float* m, float* v, float g, float beta1, float beta2, float eps, float rate,
              float scale) {
  *m += (1 - beta1) * (g - *m);
  *v = beta2 * *v + (1 - beta2) * g * g;
  *x -= rate * *m / (sqrtf(*v) * scale + eps);
  return g * g;
}

}  // namespace dac

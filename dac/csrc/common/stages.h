// What happens to one number, point or direction, as functions that CPU and CUDA kernels share.
//
// Notation: S bins of a level; t (S+1) edges as distances, s (S+1) the same edges normalised to
// [0, 1], delta = diff(t); sigma densities, tau = sigma delta, alpha = 1 - exp(-tau), w weights.
// Each function's meaning is the one of its name in dac/ops/reference.py or dac/fields/.
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

// The box, or all of space drawn into a cube around it.
struct Space {
  SpaceKind kind = SpaceKind::kBox;
  float centre[3] = {0, 0, 0}, half[3] = {1, 1, 1};  // of the box
};

// World to the cube [-1, 1]^3 that encoders cover: x is overwritten.
HD void cube_from_world(const Space& space, float* x) {
  for (int axis = 0; axis < 3; ++axis) x[axis] = (x[axis] - space.centre[axis]) / space.half[axis];
  if (space.kind == SpaceKind::kBox) return;
  float size = larger(larger(fabsf(x[0]), fabsf(x[1])), larger(fabsf(x[2]), 1.0F));
  float inverse = 1 / size, factor = (2 - inverse) * inverse * 0.5F;
  for (int axis = 0; axis < 3; ++axis) x[axis] *= factor;
}

// ---- Planes xy, xz and yz ----

constexpr int kPlanes = 3;

// The axis along a plane's rows, and the one from row to row.
HD constexpr int column_axis(int plane) { return plane == 2 ? 1 : 0; }
HD constexpr int row_axis(int plane) { return plane == 0 ? 1 : 2; }

// Cell of a coordinate in a row of `size` entries, and where in it (0 to 1, border clamped).
HD int plane_cell(float x, int size, float* along) {
  float scaled = (x + 1) * (0.5F * static_cast<float>(size - 1));
  float clamped = smaller(larger(scaled, 0.0F), static_cast<float>(size - 1));
  int cell = static_cast<int>(clamped);
  cell = cell < size - 2 ? cell : size - 2;
  *along = clamped - static_cast<float>(cell);
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

constexpr float kLargest = 3.4028234663852886e38F, kSmallest = 1.17549435e-38F;
constexpr float kShift = 1.0F;  // sigma = exp(logit - 1)
// The truncated exponential's derivative is sigma, clamped to e^-15 and e^15.
constexpr float kLeastSlope = 3.0590232e-07F, kMostSlope = 3269017.4F;

HD float density_slope(float sigma) { return smaller(larger(sigma, kLeastSlope), kMostSlope); }

// ---- Histograms ----

constexpr float kPadding = 0.01F;  // of weights before they are resampled
constexpr float kEps = 1e-7F;      // of the histogram loss

// ---- Adam (Kingma and Ba), as torch's fused one ----

struct AdamStep {
  float beta1, beta2, eps;
  float rate, scale;  // lr / (1 - beta1^n), 1 / sqrt(1 - beta2^n)
};

// Returns the slope's square.
HD float adam(const AdamStep& k, float g, float* x, float* m, float* v) {
  *m += (1 - k.beta1) * (g - *m);
  *v = k.beta2 * *v + (1 - k.beta2) * g * g;
  *x -= k.rate * *m / (sqrtf(*v) * k.scale + k.eps);
  return g * g;
}

}  // namespace dac

// The functions of dac/csrc/common/stages.h, and of dac/csrc/cpu/along.h, for ctypes: one C name each,
// over arrays.
// Compiled by tests/cuda/test_stages.py.
#include "cpu/along.h"

using dac::SpaceKind;

extern "C" {

void jitters(uint64_t key, uint32_t level, int rays, int count, float* out) {
  for (int ray = 0; ray < rays; ++ray)
    for (int i = 0; i < count; ++i)
      out[ray * count + i] = dac::jitter(dac::jitter_row(key, level, ray), i);
}

void first_edges(int samples, const float* u, float* out) {
  for (int i = 0; i <= samples; ++i) out[i] = dac::first_edge(i, samples, u[i]);
}

void distances(int kind, int n, const float* s, const float* near, const float* far, float* out) {
  for (int i = 0; i < n; ++i)
    out[i] = dac::t_from_s(static_cast<SpaceKind>(kind), s[i], near[i], far[i]);
}

void cube(int kind, int n, const float* centre, const float* half, float* x) {
  dac::Space space{static_cast<SpaceKind>(kind)};
  for (int axis = 0; axis < 3; ++axis) space.centre[axis] = centre[axis], space.half[axis] = half[axis];
  for (int i = 0; i < n; ++i)
    dac::cube_from_world(space, x + 3 * i);
}

void cells(int size, int n, const float* x, int* cell, float* along) {
  for (int i = 0; i < n; ++i) cell[i] = dac::plane_cell(x[i], size, along + i);
}

void harmonics(int n, const float* x, float* out) {
  for (int i = 0; i < n; ++i)
    dac::spherical_harmonics(x[3 * i], x[3 * i + 1], x[3 * i + 2], out + dac::kHarmonics * i);
}

void density_slopes(int n, const float* sigma, float* out) {
  for (int i = 0; i < n; ++i) out[i] = dac::density_slope(sigma[i]);
}

void weights_backward(int S, const float* alpha, const float* through, const float* to_alpha,
                      const float* to_w, float* to_tau) {
  dac::cpu::volume_weights_backward(S, alpha, through, to_alpha, to_w, to_tau);
}

void resampled(int P, const float* edges, const float* weights, int count, int jittered,
               uint32_t row, float* out) {
  dac::cpu::resample({P, edges, weights}, count, jittered != 0 ? &row : nullptr, out);
}

float distortion(int S, const float* s, const float* w, float scale, float* to_w) {
  return dac::cpu::distortion({S, s, w}, scale, to_w);
}

float histogram(int S, const float* s, const float* w, int P, const float* s_coarse,
                const float* w_coarse, float scale, float* to_coarse, float* steps) {
  return dac::cpu::histogram({S, s, w}, {P, s_coarse, w_coarse}, scale, to_coarse, steps);
}

float adam_step(float* x, float* m, float* v, float g, float beta1, float beta2, float eps,
                float rate, float scale) {
  return dac::adam({beta1, beta2, eps, rate, scale}, g, x, m, v);
}

}  // extern "C"

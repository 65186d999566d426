// What the kernels along rays share. A warp has one ray.
//
// Notation as in common/stages.h. A warp goes along its ray 32 bins at a time, lane by lane, and
// carries running sums from one stretch to the next; the scalar functions of stages.h are the
// meaning. Per-ray arrays that lanes share lie in the warp's part of shared memory.
#pragma once

#include "device.h"
#include "kernels.h"

namespace dac::cuda {

constexpr int kRayWarps = 4;
constexpr int kRayThreads = 32 * kRayWarps;

DEVICE int64_t ray_of_warp() { return static_cast<int64_t>(block()) * kRayWarps + warp(); }

DEVICE float* warp_memory(int floats) {
  return reinterpret_cast<float*>(shared_memory()) + warp() * floats;
}

// f(bin, inside) for all bins in their order, all lanes at once.
template <class F>
DEVICE void forwards(int S, const F& f) {
  for (int first = 0; first < S; first += 32) f(first + lane(), first + lane() < S);
}
template <class F>
DEVICE void backwards(int S, const F& f) {
  for (int first = (S - 1) / 32 * 32; first >= 0; first -= 32)
    f(first + lane(), first + lane() < S);
}

// A running sum over stretches of 32.
struct Running {
  float before = 0;

  // Sum of all values before this lane's. Never by taking away its own, which may be infinite.
  DEVICE float exclusive(float x) {
    float sum = warp_prefix(x), earlier = shuffle_up(sum, 1);
    earlier = before + (lane() == 0 ? 0.0F : earlier);
    before += shuffle(sum, 31);
    return earlier;
  }
  DEVICE float inclusive(float x) {
    float sum = before + warp_prefix(x);
    before = shuffle(sum, 31);
    return sum;
  }
  // Sum of all values after it, where the stretches come last first.
  DEVICE float behind(float x) {
    float sum = warp_suffix(x), later = shuffle_down(sum, 1);
    later = before + (lane() == 31 ? 0.0F : later);
    before += shuffle(sum, 0);
    return later;
  }
};

struct Opacity {
  float alpha, through;
};

DEVICE Opacity opacity(float tau, Running* sum) {
  float before = sum->exclusive(tau);
  return {-expm1f(-tau), expf(-before)};
}

DEVICE float middle_of(const float* t, int i) { return (t[i] + t[i + 1]) * 0.5F; }

// One pass: alpha and weights of a ray into arrays (either may be null), and its composite, which
// every lane ends with; depth is the weighted sum.
DEVICE Composite composite_ray(const Bins& bins, int64_t r, const float* colours, float* alpha,
                               float* weights) {
  const float *t = bins.t + r * (bins.S + 1), *sigma = bins.sigma + r * bins.S;
  const float* c = colours + r * bins.S * 3;
  Running tau_sum;
  Composite sum;
  forwards(bins.S, [&](int i, bool inside) {
    float tau = inside ? sigma[i] * (t[i + 1] - t[i]) : 0.0F;
    Opacity o = opacity(tau, &tau_sum);
    if (!inside) return;
    float w = o.alpha * o.through;
    if (alpha != nullptr) alpha[i] = o.alpha;
    if (weights != nullptr) weights[i] = w;
    for (int channel = 0; channel < 3; ++channel) sum.rgb[channel] += w * c[i * 3 + channel];
    sum.accumulation += w;
    sum.depth += w * middle_of(t, i);
  });
  for (float& channel : sum.rgb) channel = warp_sum(channel);
  sum.accumulation = warp_sum(sum.accumulation);
  sum.depth = warp_sum(sum.depth);
  return sum;
}

// Shared memory of a block.
inline size_t warp_bytes(int floats) { return sizeof(float) * kRayWarps * floats; }

}  // namespace dac::cuda

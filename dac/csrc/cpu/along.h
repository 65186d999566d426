// What happens along one ray, bin by bin. Notation as in common/stages.h; P coarse bins.
#pragma once

#include "stages.h"

namespace dac::cpu {

struct Histogram {
  int S;
  const float *s, *w;  // edges (S+1), weights (S)
};

// dL/dtau from dL/dalpha (or null) and dL/dw; `through` is exp(-sum of the tau before).
inline void volume_weights_backward(int S, const float* alpha, const float* through,
                                    const float* to_alpha, const float* to_w, float* to_tau) {
  double behind = 0;  // sum over the bins behind of w dL/dw
  for (int i = S - 1; i >= 0; --i) {
    float g = to_w[i], open = 1 - alpha[i];
    float direct = g * through[i] + (to_alpha ? to_alpha[i] : 0.0F);
    to_tau[i] = open * direct - static_cast<float>(behind);
    behind += static_cast<double>(alpha[i] * through[i]) * g;
  }
}

// A level's histogram turned into edges of the next: `count` levels u_i = (i + jitter) / count of its
// inverse cumulative distribution. `row` as by jitter_row; null for the strata's middles.
inline void resample(const Histogram& from, int count, const uint32_t* row, float* edges) {
  auto mass = [&](int i) { return static_cast<double>(from.w[i] + kPadding); };
  double total = 0;
  for (int i = 0; i < from.S; ++i) total += mass(i);
  float scale = static_cast<float>(1 / total);
  int bin = 0;
  double sum = mass(0);
  float c0 = 0, c1 = static_cast<float>(sum) * scale;
  for (int i = 0; i < count; ++i) {
    float u = (static_cast<float>(i) + (row != nullptr ? jitter(*row, i) : 0.5F)) /
              static_cast<float>(count);
    while (c1 <= u && bin + 1 < from.S) {
      ++bin;
      c0 = c1;
      sum += mass(bin);
      c1 = static_cast<float>(sum) * scale;
    }
    float e0 = from.s[bin], e1 = from.s[bin + 1];
    edges[i] = smaller(e0 + smaller((u - c0) / (c1 - c0), 1.0F) * (e1 - e0), e1);
  }
}

// ---- Losses; each returns the ray's term, and adds `scale` dterm/dw to the weights' slopes ----

// mip-NeRF 360, Eq. 15.
inline float distortion(const Histogram& of, float scale, float* to_w) {
  const float *s = of.s, *w = of.w;
  double mass = 0, moment = 0, term = 0;
  for (int i = 0; i < of.S; ++i) {
    float length = s[i + 1] - s[i];
    float middle = s[i] + 0.5F * length;
    term += 2 * static_cast<double>(w[i]) * (middle * mass - moment) + w[i] * w[i] * length / 3;
    mass += w[i];
    moment += static_cast<double>(w[i]) * middle;
  }
  double mass_before = 0, moment_before = 0;
  for (int i = 0; i < of.S; ++i) {
    float length = s[i + 1] - s[i];
    float middle = s[i] + 0.5F * length;
    double moment_here = static_cast<double>(w[i]) * middle;
    double mass_behind = mass - mass_before - w[i];
    double moment_behind = moment - moment_before - moment_here;
    double slope =
        2 * (middle * mass_before - moment_before + moment_behind - middle * mass_behind) +
        2 * w[i] * length / 3;
    to_w[i] += scale * static_cast<float>(slope);
    mass_before += w[i];
    moment_before += moment_here;
  }
  return static_cast<float>(term);
}

// How far a fine histogram rises above its coarse bound (mip-NeRF 360, Eq. 12 and 13), summed over
// the fine bins. The coarse weights' slopes go through `steps` (P+1, overwritten): a fine bin that
// spans coarse bins a to b-1 adds its slope at a and takes it away at b.
inline float histogram(const Histogram& fine, const Histogram& coarse, float scale,
                       float* to_coarse, float* steps) {
  const int P = coarse.S;
  for (int p = 0; p <= P; ++p) steps[p] = 0;
  double term = 0;
  double mass_first = 0, mass_last = 0;  // of the coarse bins before `first` and before `last`
  int first = 0, last = 0;               // coarse bins [first, last) overlap the fine bin
  for (int i = 0; i < fine.S; ++i) {
    float low = fine.s[i], high = fine.s[i + 1];
    while (first < P && coarse.s[first + 1] <= low) mass_first += coarse.w[first++];
    while (last < P && coarse.s[last] < high) mass_last += coarse.w[last++];
    // A fine bin of no length at an edge, or below the first edge, overlaps nothing: its bound is
    // M(last) - M(first), which is then zero or negative as in the twin.
    float w = fine.w[i], over = w - static_cast<float>(mass_last - mass_first);
    if (over <= 0) continue;
    term += over * over / (w + kEps);
    float slope = -2 * scale * over / (w + kEps);
    steps[first] += slope;
    steps[last] -= slope;
  }
  double sum = 0;
  for (int p = 0; p < P; ++p) {
    sum += steps[p];
    to_coarse[p] += static_cast<float>(sum);
  }
  return static_cast<float>(term);
}

}  // namespace dac::cpu

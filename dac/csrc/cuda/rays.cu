// What happens along a ray: edges, points, weights, compositing, losses. A warp has one ray.
//
// Notation as in common/stages.h. A warp goes along its ray 32 bins at a time, lane by lane, and
// carries running sums from one stretch to the next; the scalar functions of stages.h are the
// meaning. Per-ray arrays that lanes share lie in the warp's part of shared memory.
#include "device.h"
#include "kernels.h"

namespace dac::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr float kPadding = 0.01F;  // of weights before they are resampled
constexpr float kEps = 1e-7F;      // of the histogram loss
constexpr float kTiny = 1.17549435e-38F;

DEVICE int64_t ray_of_warp() { return static_cast<int64_t>(block()) * kWarps + warp(); }

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
  for (int first = (S - 1) / 32 * 32; first >= 0; first -= 32) f(first + lane(), first + lane() < S);
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

// ---- Edges and points ----

DEVICE void write_point(const RaySet& rays, const float* ray, float middle, float* point) {
  float x[3] = {ray[0] + middle * ray[3], ray[1] + middle * ray[4], ray[2] + middle * ray[5]};
  cube_from_world(rays.space, rays.centre, rays.half, x);
  point[0] = x[0], point[1] = x[1], point[2] = x[2];
}

DEVICE float middle_of(const float* t, int i) { return (t[i] + t[i + 1]) * 0.5F; }

// All of a ray's edges through `edge(i)`, and its points.
template <class Edge>
DEVICE void write_bins(const RaySet& rays, const Bins& bins, int64_t r, const Edge& edge) {
  const float* ray = rays.rays + r * 8;
  float *s = bins.s + r * (bins.S + 1), *t = bins.t + r * (bins.S + 1);
  forwards(bins.S + 1, [&](int i, bool inside) {
    if (!inside) return;
    float here = edge(i);
    s[i] = here;
    t[i] = t_from_s(rays.space, here, ray[6], ray[7]);
  });
  sync_warp();
  forwards(bins.S, [&](int i, bool inside) {
    if (inside) write_point(rays, ray, middle_of(t, i), bins.points + (r * bins.S + i) * 3);
  });
}

DEVICE uint32_t jitter_row_of(const RaySet& rays, int level, int64_t r) {
  return rays.key == nullptr ? 0
                             : jitter_row(static_cast<uint64_t>(*rays.key), level,
                                          rays.first + static_cast<uint32_t>(r));
}

__global__ void __launch_bounds__(kThreads) first_bins_kernel(RaySet rays, Bins bins) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  const uint32_t row = jitter_row_of(rays, 0, r);
  write_bins(rays, bins, r, [&](int i) {
    return first_edge(i, bins.S, rays.key == nullptr ? 0.5F : jitter(row, i));
  });
}

// The last index of an ascending row of P + 1 whose value is at most u, and at most P - 1.
DEVICE int bin_of(const float* row, int P, float u) {
  int low = 0, high = P;  // row[low] <= u < row[high], as far as the row goes
  while (high - low > 1) {
    int middle = (low + high) / 2;
    if (row[middle] <= u)
      low = middle;
    else
      high = middle;
  }
  return low;
}

__global__ void __launch_bounds__(kThreads)
    next_bins_kernel(RaySet rays, Bins before, Bins bins, int level) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  const int P = before.S;
  const float *t = before.t + r * (P + 1), *sigma = before.sigma + r * P;
  const float exponent = *rays.anneal;
  float *cdf = warp_memory(2 * (P + 1)), *edges = cdf + P + 1;
  Running tau_sum, sum;
  forwards(P, [&](int i, bool inside) {
    float tau = inside ? sigma[i] * (t[i + 1] - t[i]) : 0.0F;
    Opacity o = opacity(tau, &tau_sum);
    float w = o.alpha * o.through;
    if (exponent != 1) w = powf(w, exponent);
    float mass = sum.inclusive(inside ? w + kPadding : 0.0F);
    if (inside) cdf[i + 1] = mass;
  });
  if (lane() == 0) cdf[0] = 0;
  forwards(P + 1, [&](int i, bool inside) {
    if (inside) edges[i] = before.s[r * (P + 1) + i];
  });
  sync_warp();
  const float scale = 1 / cdf[P];
  const uint32_t row = jitter_row_of(rays, level, r);
  const float count = static_cast<float>(bins.S + 1);
  write_bins(rays, bins, r, [&](int i) {
    float u = (static_cast<float>(i) + (rays.key == nullptr ? 0.5F : jitter(row, i))) / count;
    int bin = bin_of(cdf, P, u * cdf[P]);
    float c0 = cdf[bin] * scale, c1 = cdf[bin + 1] * scale, e0 = edges[bin], e1 = edges[bin + 1];
    float along = larger(smaller((u - c0) / (c1 - c0), 1.0F), 0.0F);
    return smaller(e0 + along * (e1 - e0), e1);
  });
}

__global__ void __launch_bounds__(kThreads) points_kernel(RaySet rays, Bins bins) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  const float* t = bins.t + r * (bins.S + 1);
  forwards(bins.S, [&](int i, bool inside) {
    if (inside)
      write_point(rays, rays.rays + r * 8, middle_of(t, i), bins.points + (r * bins.S + i) * 3);
  });
}

__global__ void __launch_bounds__(kThreads) harmonics_kernel(RaySet rays, uint16_t* half, float* single) {
  const int64_t r = static_cast<int64_t>(block()) * threads() + thread();
  if (r >= rays.R) return;
  const float* d = rays.rays + r * 8 + 3;
  float values[kHarmonics];
  spherical_harmonics(d[0], d[1], d[2], values);
#pragma unroll
  for (int i = 0; i < kHarmonics; ++i) {
    if (half != nullptr) half[r * kHarmonics + i] = static_cast<uint16_t>(pack_half(values[i], 0));
    if (single != nullptr) single[r * kHarmonics + i] = values[i];
  }
}

// ---- Compositing ----

struct Composite {
  float rgb[3], accumulation, depth;  // depth: the weighted sum

  // Every lane ends with the ray's.
  DEVICE void sum() {
    for (float& channel : rgb) channel = warp_sum(channel);
    accumulation = warp_sum(accumulation);
    depth = warp_sum(depth);
  }
};

// One pass: alpha and weights of a ray into arrays (either may be null), and its composite.
DEVICE Composite composite_ray(const Bins& bins, int64_t r, const float* colours, float* alpha,
                               float* weights) {
  const float *t = bins.t + r * (bins.S + 1), *sigma = bins.sigma + r * bins.S;
  const float* c = colours + r * bins.S * 3;
  Running tau_sum;
  Composite result = {};
  forwards(bins.S, [&](int i, bool inside) {
    float tau = inside ? sigma[i] * (t[i + 1] - t[i]) : 0.0F;
    Opacity o = opacity(tau, &tau_sum);
    if (!inside) return;
    float w = o.alpha * o.through;
    if (alpha != nullptr) alpha[i] = o.alpha;
    if (weights != nullptr) weights[i] = w;
    for (int channel = 0; channel < 3; ++channel) result.rgb[channel] += w * c[i * 3 + channel];
    result.accumulation += w;
    result.depth += w * middle_of(t, i);
  });
  result.sum();
  return result;
}

__global__ void __launch_bounds__(kThreads)
    composite_kernel(RaySet rays, Bins bins, const float* colours, Rendered out) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  Composite sum =
      composite_ray(bins, r, colours, out.alpha == nullptr ? nullptr : out.alpha + r * bins.S,
                    out.weights == nullptr ? nullptr : out.weights + r * bins.S);
  if (lane() != 0) return;
  for (int channel = 0; channel < 3; ++channel) out.rgb[r * 3 + channel] = sum.rgb[channel];
  out.accumulation[r] = sum.accumulation;
  out.depth[r] = sum.depth / larger(sum.accumulation, kTiny);
}

// ---- Losses ----

// The loss's slopes along one ray, in shared memory.
struct FieldRay {
  int S;
  float *alpha, *weights, *to_alpha, *to_weights;  // (S)
  float *mass, *moment;                            // (S): of the bins before

  DEVICE FieldRay(int bins, float* memory)
      : S(bins),
        alpha(memory),
        weights(alpha + S),
        to_alpha(weights + S),
        to_weights(to_alpha + S),
        mass(to_weights + S),
        moment(mass + S) {}
  static constexpr int kArrays = 6;
};

// mip-NeRF 360's distortion: this lane's share of the ray's term; adds its slopes.
DEVICE float distortion_part(const FieldRay& ray, const float* s, float scale) {
  Running mass, moment;
  float term = 0;
  forwards(ray.S, [&](int i, bool inside) {
    float length = inside ? s[i + 1] - s[i] : 0.0F, w = inside ? ray.weights[i] : 0.0F;
    float middle = inside ? s[i] + 0.5F * length : 0.0F;
    float mass_before = mass.exclusive(w), moment_before = moment.exclusive(w * middle);
    if (!inside) return;
    ray.mass[i] = mass_before;
    ray.moment[i] = moment_before;
    term += 2 * w * (middle * mass_before - moment_before) + w * w * length / 3;
  });
  Running mass_after, moment_after;
  backwards(ray.S, [&](int i, bool inside) {
    float length = inside ? s[i + 1] - s[i] : 0.0F, w = inside ? ray.weights[i] : 0.0F;
    float middle = inside ? s[i] + 0.5F * length : 0.0F;
    float mass_behind = mass_after.behind(w), moment_behind = moment_after.behind(w * middle);
    if (!inside) return;
    float slope = 2 * (middle * (ray.mass[i] - mass_behind) - ray.moment[i] + moment_behind) +
                  2 * w * length / 3;
    ray.to_weights[i] += scale * slope;
  });
  return term;
}

// From the slopes of a ray's alpha (may be null) and weights to those of its logits.
DEVICE void logits_backward(int S, const float* sigma, const float* t, const float* alpha,
                            const float* weights, const float* to_alpha, const float* to_weights,
                            float* to_logit) {
  Running tau_sum, later;
  // exp(-sum before) again rather than kept: it can't be had from w / alpha where alpha is 0.
  forwards(S, [&](int i, bool inside) {
    float tau = inside ? sigma[i] * (t[i + 1] - t[i]) : 0.0F;
    float through = expf(-tau_sum.exclusive(tau));
    if (inside)
      to_logit[i] = to_weights[i] * through + (to_alpha == nullptr ? 0.0F : to_alpha[i]);
  });
  backwards(S, [&](int i, bool inside) {
    float behind = later.behind(inside ? weights[i] * to_weights[i] : 0.0F);
    if (!inside) return;
    float to_tau = (1 - alpha[i]) * to_logit[i] - behind;
    to_logit[i] = to_tau * (t[i + 1] - t[i]) * density_slope(sigma[i]);
  });
}

__global__ void __launch_bounds__(kThreads)
    field_losses_kernel(RaySet rays, Bins bins, const float* colours, Lesson lesson,
                        const float* background, TermWeights weights, float* to_logit,
                        float* to_colour_logits, float* field_weights, float* terms) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  const int S = bins.S;
  const bool distils = lesson.s != nullptr;
  const float R = static_cast<float>(rays.R), RS = R * static_cast<float>(S);
  const float *s = (distils ? lesson.s : bins.s) + r * (S + 1), *c = colours + r * S * 3;
  FieldRay ray(S, warp_memory(FieldRay::kArrays * S));
  Composite sum = composite_ray(bins, r, colours, ray.alpha, ray.weights);
  // The rendered colour over the background, against the target's or the expert's.
  float to_rgb[3], to_accumulation = 0, rendered = 0, accumulation_term = 0;
  if (distils) {
    float miss = sum.accumulation - lesson.accumulation[r];
    float weight = lesson.paper ? 0.0F : weights.of[kAccumulation];
    accumulation_term = weight * miss * miss / R;
    to_accumulation = weight * 2 * miss / R;
  }
  for (int channel = 0; channel < 3; ++channel) {
    float behind = background[channel];
    float target = lesson.rgb[r * 3 + channel] +
                   (distils ? (1 - lesson.accumulation[r]) * behind : 0.0F);
    float error = sum.rgb[channel] + (1 - sum.accumulation) * behind - target;
    rendered += error * error;
    to_rgb[channel] = weights.of[kRendered] * 2 * error / (3 * R);
    to_accumulation -= to_rgb[channel] * behind;
  }
  float alpha_term = 0, colour_term = 0;
  forwards(S, [&](int i, bool inside) {
    if (!inside) return;
    const int64_t at = r * S + i;
    float w = ray.weights[i], to_w = to_accumulation, to_alpha = 0, share = 0;
    if (distils) {
      float error = ray.alpha[i] - lesson.alpha[at];
      alpha_term += error * error;
      to_alpha = weights.of[kAlpha] * 2 * error / RS;
      share = lesson.paper ? 1 / RS : lesson.weights[at] / R;
    }
    for (int channel = 0; channel < 3; ++channel) {
      float value = c[i * 3 + channel], to_c = w * to_rgb[channel];
      to_w += to_rgb[channel] * value;
      if (distils) {
        float off = value - lesson.colours[at * 3 + channel];
        colour_term += share * off * off / 3;
        to_c += weights.of[kColour] * 2 * share * off / 3;
      }
      to_colour_logits[at * 3 + channel] = to_c * value * (1 - value);
    }
    ray.to_alpha[i] = to_alpha;
    ray.to_weights[i] = to_w;
    field_weights[at] = w;
  });
  sync_warp();
  const float spread = weights.of[kDistortion];
  float distortion_term = spread == 0 ? 0.0F : distortion_part(ray, s, spread / R);
  sync_warp();
  logits_backward(S, bins.sigma + r * S, bins.t + r * (S + 1), ray.alpha, ray.weights,
                  distils ? ray.to_alpha : nullptr, ray.to_weights, to_logit + r * S);
  alpha_term = warp_sum(alpha_term);
  colour_term = warp_sum(colour_term);
  distortion_term = warp_sum(distortion_term);
  if (lane() != 0) return;
  float* out = terms + r * kTerms;
  out[kAlpha] = weights.of[kAlpha] * alpha_term / RS;
  out[kColour] = weights.of[kColour] * colour_term;
  out[kHistogram] = 0;
  out[kRendered] = weights.of[kRendered] * rendered / (3 * R);
  out[kAccumulation] = accumulation_term;
  out[kDistortion] = spread * distortion_term / R;
  out[kInterlevel] = 0;
}

// A level's ray: its masses, and how its fine bins overlap them.
struct LevelRay {
  float *s, *mass, *alpha, *weights, *to_weights;  // edges and mass (P+1), the others (P)
  float* slope;                                    // (S): of the fine bins' bounds
  int *first, *last;                               // (S): the coarse bins they overlap

  DEVICE LevelRay(int P, int S, float* memory)
      : s(memory),
        mass(s + P + 1),
        alpha(mass + P + 1),
        weights(alpha + P),
        to_weights(weights + P),
        slope(to_weights + P),
        first(reinterpret_cast<int*>(slope + S)),
        last(first + S) {}
  static constexpr int floats(int P, int S) { return 5 * P + 2 + 3 * S; }
};

// How many of an ascending row are less than x, or at most x.
DEVICE int count_below(const float* row, int length, float x, bool or_equal) {
  int low = 0, high = length;
  while (low < high) {
    int middle = (low + high) / 2;
    if (row[middle] < x || (or_equal && row[middle] == x))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

// The histogram loss of one ray, whose bounds' slopes go to the level's weights.
DEVICE float histogram_part(const LevelRay& ray, int P, int S, const float* fine, float scale) {
  float term = 0;
  forwards(S, [&](int i, bool inside) {
    if (!inside) return;
    float bound = ray.mass[ray.last[i]] - ray.mass[ray.first[i]], w = fine[i], over = w - bound;
    bool above = !(over <= 0);  // NaN is above
    term += above ? over * over / (w + kEps) : 0.0F;
    ray.slope[i] = above ? -2 * scale * over / (w + kEps) : 0.0F;
  });
  sync_warp();
  // Fine bin i lowers coarse bins first[i] to last[i] - 1. Both ascend with i, so the fine bins
  // over one coarse bin are neighbours.
  forwards(P, [&](int p, bool inside) {
    if (!inside) return;
    int low = 0, high = S;
    while (low < high) {
      int middle = (low + high) / 2;
      if (ray.last[middle] > p)
        high = middle;
      else
        low = middle + 1;
    }
    float sum = 0;
    for (int i = low; i < S && ray.first[i] <= p; ++i) sum += ray.slope[i];
    ray.to_weights[p] += sum;
  });
  sync_warp();
  return term;
}

__global__ void __launch_bounds__(kThreads)
    level_losses_kernel(RaySet rays, Bins level, Bins field, const float* mass, const float* weights,
                        TermWeights scale, float* to_logit, float* terms) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  const int P = level.S, S = field.S;
  const float *t = level.t + r * (P + 1), *sigma = level.sigma + r * P;
  const float* fine = field.s + r * (S + 1);
  LevelRay ray(P, S, warp_memory(LevelRay::floats(P, S)));
  Running tau_sum, sum;
  forwards(P, [&](int i, bool inside) {
    float tau = inside ? sigma[i] * (t[i + 1] - t[i]) : 0.0F;
    Opacity o = opacity(tau, &tau_sum);
    float w = o.alpha * o.through, total = sum.inclusive(inside ? w : 0.0F);
    if (!inside) return;
    ray.alpha[i] = o.alpha;
    ray.weights[i] = w;
    ray.to_weights[i] = 0;
    ray.mass[i + 1] = total;
  });
  if (lane() == 0) ray.mass[0] = 0;
  forwards(P + 1, [&](int i, bool inside) {
    if (inside) ray.s[i] = level.s[r * (P + 1) + i];
  });
  sync_warp();
  forwards(S, [&](int i, bool inside) {
    if (!inside) return;
    int first = count_below(ray.s, P + 1, fine[i], true) - 1;
    int last = count_below(ray.s, P + 1, fine[i + 1], false);
    ray.first[i] = first < 0 ? 0 : first;
    ray.last[i] = last > P ? P : last;
  });
  sync_warp();
  const float mean = 1 / (static_cast<float>(rays.R) * static_cast<float>(S));
  const float against_mass = scale.of[kHistogram] * mean, against = scale.of[kInterlevel] * mean;
  float first_term = 0, second_term = 0;
  if (mass != nullptr && against_mass != 0)
    first_term = against_mass * warp_sum(histogram_part(ray, P, S, mass + r * S, against_mass));
  if (against != 0)
    second_term = against * warp_sum(histogram_part(ray, P, S, weights + r * S, against));
  logits_backward(P, sigma, t, ray.alpha, ray.weights, nullptr, ray.to_weights, to_logit + r * P);
  if (lane() != 0) return;
  terms[r * kTerms + kHistogram] += first_term;
  terms[r * kTerms + kInterlevel] += second_term;
}

constexpr int kSumThreads = 256;

struct Chosen {
  int of[kTerms];
  int count;
};

// One block; a thread's rays and then the threads' sums in their order.
__global__ void __launch_bounds__(kSumThreads)
    sum_terms_kernel(int64_t R, const float* terms, Chosen chosen, float* out) {
  double* sums = reinterpret_cast<double*>(shared_memory());
  for (int k = 0; k < chosen.count; ++k) {
    double sum = 0;
    for (int64_t r = thread(); r < R; r += kSumThreads) sum += terms[r * kTerms + chosen.of[k]];
    sums[thread()] = sum;
    for (int half = kSumThreads / 2; half > 0; half /= 2) {
      sync_block();
      if (thread() < half) sums[thread()] += sums[thread() + half];
    }
    if (thread() == 0) out[k] = static_cast<float>(sums[0]);
    sync_block();
  }
}

// ---- The same as operations of their own ----

__global__ void __launch_bounds__(kThreads)
    weights_kernel(int64_t R, int S, const float* sigma, const float* delta, float* alpha,
                   float* weights) {
  const int64_t r = ray_of_warp();
  if (r >= R) return;
  Running tau_sum;
  forwards(S, [&](int i, bool inside) {
    const int64_t at = r * S + i;
    Opacity o = opacity(inside ? sigma[at] * delta[at] : 0.0F, &tau_sum);
    if (!inside) return;
    alpha[at] = o.alpha;
    weights[at] = o.alpha * o.through;
  });
}

__global__ void __launch_bounds__(kThreads)
    weights_backward_kernel(int64_t R, int S, const float* to_alpha, const float* to_weights,
                            const float* sigma, const float* delta, float* to_sigma, float* to_delta) {
  const int64_t r = ray_of_warp();
  if (r >= R) return;
  float* through = warp_memory(S);
  Running tau_sum, later;
  forwards(S, [&](int i, bool inside) {
    float value = expf(-tau_sum.exclusive(inside ? sigma[r * S + i] * delta[r * S + i] : 0.0F));
    if (inside) through[i] = value;
  });
  backwards(S, [&](int i, bool inside) {
    const int64_t at = r * S + i;
    float open = inside ? expf(-sigma[at] * delta[at]) : 1.0F;
    float alpha = inside ? -expm1f(-sigma[at] * delta[at]) : 0.0F;
    float behind = later.behind(inside ? alpha * through[i] * to_weights[at] : 0.0F);
    if (!inside) return;
    float to_tau = open * (to_weights[at] * through[i] + to_alpha[at]) - behind;
    to_sigma[at] = to_tau * delta[at];
    if (to_delta != nullptr) to_delta[at] = to_tau * sigma[at];
  });
}

size_t bytes(int floats_a_warp) { return sizeof(float) * kWarps * floats_a_warp; }

}  // namespace

void first_bins(const RaySet& rays, const Bins& bins, Stream stream) {
  launch(first_bins_kernel, ceil_div(rays.R, kWarps), kThreads, 0, stream, rays, bins);
}

void next_bins(const RaySet& rays, const Bins& before, const Bins& bins, int level, Stream stream) {
  launch(next_bins_kernel, ceil_div(rays.R, kWarps), kThreads, bytes(2 * (before.S + 1)), stream,
         rays, before, bins, level);
}

void points_of(const RaySet& rays, const Bins& bins, Stream stream) {
  launch(points_kernel, ceil_div(rays.R, kWarps), kThreads, 0, stream, rays, bins);
}

void harmonics(const RaySet& rays, uint16_t* half, float* single, Stream stream) {
  launch(harmonics_kernel, ceil_div(rays.R, kThreads), kThreads, 0, stream, rays, half, single);
}

void composite(const RaySet& rays, const Bins& bins, const float* colours, const Rendered& out,
               Stream stream) {
  launch(composite_kernel, ceil_div(rays.R, kWarps), kThreads, 0, stream, rays, bins, colours, out);
}

void field_losses(const RaySet& rays, const Bins& bins, const float* colours, const Lesson& lesson,
                  const float* background, const TermWeights& weights, float* to_logit,
                  float* to_colour_logits, float* field_weights, float* terms, Stream stream) {
  launch(field_losses_kernel, ceil_div(rays.R, kWarps), kThreads, bytes(FieldRay::kArrays * bins.S),
         stream, rays, bins, colours, lesson, background, weights, to_logit, to_colour_logits,
         field_weights, terms);
}

void level_losses(const RaySet& rays, const Bins& level, const Bins& field, const float* mass,
                  const float* weights, const TermWeights& scale, float* to_logit, float* terms,
                  Stream stream) {
  launch(level_losses_kernel, ceil_div(rays.R, kWarps), kThreads,
         bytes(LevelRay::floats(level.S, field.S)), stream, rays, level, field, mass, weights, scale,
         to_logit, terms);
}

void sum_terms(int64_t R, const float* terms, const int* chosen, int count, float* out,
               Stream stream) {
  Chosen which = {};
  which.count = count;
  for (int k = 0; k < count; ++k) which.of[k] = chosen[k];
  launch(sum_terms_kernel, 1, kSumThreads, kSumThreads * sizeof(double), stream, R, terms, which, out);
}

void volume_weights(int64_t R, int S, const float* sigma, const float* delta, float* alpha,
                    float* weights, Stream stream) {
  launch(weights_kernel, ceil_div(R, kWarps), kThreads, 0, stream, R, S, sigma, delta, alpha, weights);
}

void volume_weights_backward(int64_t R, int S, const float* to_alpha, const float* to_weights,
                             const float* sigma, const float* delta, float* to_sigma,
                             float* to_delta, Stream stream) {
  launch(weights_backward_kernel, ceil_div(R, kWarps), kThreads, bytes(S), stream, R, S, to_alpha,
         to_weights, sigma, delta, to_sigma, to_delta);
}

}  // namespace dac::cuda

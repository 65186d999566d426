// The losses of the field and of the proposal levels, with their slopes.
#include "along.h"

namespace dac::cuda {
namespace {

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
    if (inside) to_logit[i] = to_weights[i] * through + (to_alpha == nullptr ? 0.0F : to_alpha[i]);
  });
  backwards(S, [&](int i, bool inside) {
    float behind = later.behind(inside ? weights[i] * to_weights[i] : 0.0F);
    if (!inside) return;
    float to_tau = (1 - alpha[i]) * to_logit[i] - behind;
    to_logit[i] = to_tau * (t[i + 1] - t[i]) * density_slope(sigma[i]);
  });
}

__global__ void __launch_bounds__(kRayThreads)
    field_losses_kernel(RaySet rays, Bins bins, const float* colours, Lesson lesson,
                        const float* background, TermWeights weights, ARGUMENT FieldLosses to) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  const int S = bins.S;
  const bool distils = lesson.of_experts();
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
    float target =
        lesson.rgb[r * 3 + channel] + (distils ? (1 - lesson.accumulation[r]) * behind : 0.0F);
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
      to.to_colour_logits[at * 3 + channel] = to_c * value * (1 - value);
    }
    ray.to_alpha[i] = to_alpha;
    ray.to_weights[i] = to_w;
    to.weights[at] = w;
  });
  sync_warp();
  const float spread = weights.of[kDistortion];
  float distortion_term = spread == 0 ? 0.0F : distortion_part(ray, s, spread / R);
  sync_warp();
  logits_backward(S, bins.sigma + r * S, bins.t + r * (S + 1), ray.alpha, ray.weights,
                  distils ? ray.to_alpha : nullptr, ray.to_weights, to.to_logit + r * S);
  alpha_term = warp_sum(alpha_term);
  colour_term = warp_sum(colour_term);
  distortion_term = warp_sum(distortion_term);
  if (lane() != 0) return;
  float* out = to.terms + r * kTerms;
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

__global__ void __launch_bounds__(kRayThreads)
    level_losses_kernel(RaySet rays, Bins level, Bins field, const float* mass,
                        const float* weights, TermWeights scale, float* to_logit, float* terms) {
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
  Term of[kTerms];
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

}  // namespace

void field_losses(const RaySet& rays, const Bins& bins, const float* colours, const LearnCall& call,
                  const FieldLosses& out, Stream stream) {
  launch(field_losses_kernel, ceil_div(rays.R, kRayWarps), kRayThreads,
         warp_bytes(FieldRay::kArrays * bins.S), stream, rays, bins, colours, call.lesson,
         call.background, call.weights, out);
}

void level_losses(const RaySet& rays, const Bins& level, const Bins& field, const LearnCall& call,
                  const FieldLosses& of_field, float* to_logit, Stream stream) {
  launch(level_losses_kernel, ceil_div(rays.R, kRayWarps), kRayThreads,
         warp_bytes(LevelRay::floats(level.S, field.S)), stream, rays, level, field,
         call.lesson.mass(), of_field.weights, call.weights, to_logit, of_field.terms);
}

void sum_terms(int64_t R, const float* terms, const std::vector<Term>& chosen, float* out,
               Stream stream) {
  Chosen which = {};
  for (Term term : chosen) which.of[which.count++] = term;
  launch(sum_terms_kernel, 1, kSumThreads, kSumThreads * sizeof(double), stream, R, terms, which,
         out);
}

}  // namespace dac::cuda

// Weights, losses and histograms along rays.
//
// Notation as in common/stages.h, whose functions these call ray by ray; R rays.
#include <cmath>

#include "stages.h"
#include "tensor.h"
#include "vec.h"

namespace dac::cpu {
namespace {

constexpr int64_t kRayGrain = 16;

// What bins and edges must look like beside each other.
constexpr char kBins[] = "sigma, delta, alpha and weights are (R, S)";
constexpr char kEdges[] = "edges are (R, S+1) where weights are (R, S), S at least 1";
constexpr char kValues[] = "values are (R, S, D) where weights are (R, S)";

// (R, S) of weights beside their edges.
void check_histogram(const Tensor& edges, const Tensor& weights) {
  STD_TORCH_CHECK(weights.dim() == 2 && weights.size(1) > 0, kEdges);
  check_shape(edges, {weights.size(0), weights.size(1) + 1}, kEdges);
}

void check_bins(const Tensor& sigma, const Tensor& delta) {
  STD_TORCH_CHECK(sigma.dim() == 2, kBins);
  check_shape(delta, {sigma.size(0), sigma.size(1)}, kBins);
}

void check_values(const Tensor& weights, const Tensor& values) {
  STD_TORCH_CHECK(values.dim() == 3, kValues);
  check_shape(weights, {values.size(0), values.size(1)}, kValues);
}

int64_t vector_lanes() { return kLanes; }

// alpha and exp(-sum of the tau before) of one ray.
void opacity(int64_t S, const float* sigma, const float* delta, float* alpha, float* through) {
  double before = 0;
  for (int64_t i = 0; i < S; ++i) {
    float tau = sigma[i] * delta[i];
    alpha[i] = tau;
    through[i] = static_cast<float>(before);
    before += tau;
  }
  int64_t i = 0;
  for (; i + kLanes <= S; i += kLanes) {
    store(alpha + i, -expm1(-load(alpha + i)));
    store(through + i, exp(-load(through + i)));
  }
  for (; i < S; ++i) {
    alpha[i] = -expm1(broadcast(-alpha[i]))[0];
    through[i] = exp(broadcast(-through[i]))[0];
  }
}

std::tuple<Tensor, Tensor> volume_weights(const Tensor& sigma_in, const Tensor& delta_in) {
  Tensor sigma = dense(sigma_in), delta = dense(delta_in);
  check_bins(sigma, delta);
  int64_t R = sigma.size(0), S = sigma.size(1);
  Tensor alpha = empty(sigma, {R, S}), weights = empty(sigma, {R, S});
  const float *from_sigma = data(sigma), *from_delta = data(delta);
  float *to_alpha = out(alpha), *to_weights = out(weights);
  parallel(R, kRayGrain, [=](int64_t begin, int64_t end) {
    for (int64_t at = begin * S; at < end * S; at += S) {
      opacity(S, from_sigma + at, from_delta + at, to_alpha + at, to_weights + at);
      for (int64_t i = at; i < at + S; ++i) to_weights[i] *= to_alpha[i];
    }
  });
  return {alpha, weights};
}

std::tuple<Tensor, Tensor> volume_weights_backward(const Tensor& to_alpha_in,
                                                   const Tensor& to_weights_in,
                                                   const Tensor& sigma_in, const Tensor& delta_in,
                                                   bool delta_too) {
  Tensor to_alpha = dense(to_alpha_in), to_weights = dense(to_weights_in);
  Tensor sigma = dense(sigma_in), delta = dense(delta_in);
  check_bins(sigma, delta);
  int64_t R = sigma.size(0), S = sigma.size(1);
  Tensor to_sigma = empty(sigma, {R, S});
  Tensor to_delta = empty(sigma, {delta_too ? R : 0, S});
  const float *from_sigma = data(sigma), *from_delta = data(delta);
  const float *from_alpha = data(to_alpha), *from_weights = data(to_weights);
  float *result = out(to_sigma), *second = out(to_delta);
  parallel(R, kRayGrain, [=](int64_t begin, int64_t end) {
    std::vector<float> alpha(S), through(S);
    for (int64_t at = begin * S; at < end * S; at += S) {
      opacity(S, from_sigma + at, from_delta + at, alpha.data(), through.data());
      dac::volume_weights_backward(static_cast<int>(S), alpha.data(), through.data(),
                                   from_alpha + at, from_weights + at, result + at, 1);
      if (delta_too)
        for (int64_t i = at; i < at + S; ++i) second[i] = result[i] * from_sigma[i];
      for (int64_t i = at; i < at + S; ++i) result[i] *= from_delta[i];
    }
  });
  return {to_sigma, to_delta};
}

// ---- Sums of weights and values ----

Tensor composite(const Tensor& weights_in, const Tensor& values_in) {
  Tensor weights = dense(weights_in), values = dense(values_in);
  check_values(weights, values);
  const int64_t R = values.size(0), S = values.size(1), D = values.size(2);
  Tensor result = zeros(values, {R, D});
  const float *w = data(weights), *v = data(values);
  float* to = out(result);
  parallel(R, kRayGrain, [=](int64_t begin, int64_t end) {
    for (int64_t ray = begin; ray < end; ++ray)
      for (int64_t i = ray * S; i < (ray + 1) * S; ++i)
        for (int64_t d = 0; d < D; ++d) to[ray * D + d] += w[i] * v[i * D + d];
  });
  return result;
}

std::tuple<Tensor, Tensor> composite_backward(const Tensor& grad_in, const Tensor& weights_in,
                                              const Tensor& values_in) {
  Tensor grad = dense(grad_in), weights = dense(weights_in), values = dense(values_in);
  check_values(weights, values);
  const int64_t R = values.size(0), S = values.size(1), D = values.size(2);
  Tensor to_weights = empty(values, {R, S}), to_values = empty(values, {R, S, D});
  const float *g = data(grad), *w = data(weights), *v = data(values);
  float *to_w = out(to_weights), *to_v = out(to_values);
  parallel(R, kRayGrain, [=](int64_t begin, int64_t end) {
    for (int64_t ray = begin; ray < end; ++ray)
      for (int64_t i = ray * S; i < (ray + 1) * S; ++i) {
        float total = 0;
        for (int64_t d = 0; d < D; ++d) {
          total += g[ray * D + d] * v[i * D + d];
          to_v[i * D + d] = g[ray * D + d] * w[i];
        }
        to_w[i] = total;
      }
  });
  return {to_weights, to_values};
}

// ---- Histograms ----

// As resample in common/stages.h, for levels u (R, T) that are given.
Tensor resample(const Tensor& edges_in, const Tensor& weights_in, const Tensor& u_in,
                double padding) {
  Tensor edges = dense(edges_in), weights = dense(weights_in), u = dense(u_in);
  check_histogram(edges, weights);
  STD_TORCH_CHECK(u.dim() == 2 && u.size(0) == weights.size(0), "levels are (R, T)");
  const int64_t R = u.size(0), T = u.size(1), S = weights.size(1);
  Tensor result = empty(u, {R, T});
  const float *from_edges = data(edges), *from_weights = data(weights), *from_u = data(u);
  float* to = out(result);
  const float raise = static_cast<float>(padding);
  parallel(R, kRayGrain, [=](int64_t begin, int64_t end) {
    for (int64_t ray = begin; ray < end; ++ray) {
      const float *w = from_weights + ray * S, *e = from_edges + ray * (S + 1);
      double total = 0;
      for (int64_t i = 0; i < S; ++i) total += w[i] + raise;
      const float whole = static_cast<float>(total);
      double reached = w[0] + raise;
      float c0 = 0, c1 = static_cast<float>(reached) / whole;
      int64_t bin = 0;
      for (int64_t i = ray * T; i < (ray + 1) * T; ++i) {
        while (c1 <= from_u[i] && bin + 1 < S) {
          reached += w[++bin] + raise;
          c0 = c1;
          c1 = static_cast<float>(reached) / whole;
        }
        float part = std::min((from_u[i] - c0) / (c1 - c0), 1.0F);
        to[i] = std::min(e[bin] + part * (e[bin + 1] - e[bin]), e[bin + 1]);
      }
    }
  });
  return result;
}

// The mean of a term that each ray has, added up in the rays' order; `divisor` such terms.
template <class Term>
Tensor mean_over_rays(const Tensor& like, int64_t R, double divisor, const Term& term) {
  std::vector<double> terms(R);
  parallel(R, kRayGrain, [&](int64_t begin, int64_t end) {
    for (int64_t ray = begin; ray < end; ++ray) terms[ray] = term(ray);
  });
  double total = 0;
  for (double each : terms) total += each;
  return scalar(like, total / divisor);
}

Tensor distortion_loss(const Tensor& s_in, const Tensor& weights_in) {
  Tensor s = dense(s_in), weights = dense(weights_in);
  check_histogram(s, weights);
  const int64_t R = weights.size(0), S = weights.size(1);
  const float *edges = data(s), *w = data(weights);
  return mean_over_rays(weights, R, static_cast<double>(R), [=](int64_t ray) {
    return distortion(static_cast<int>(S), edges + ray * (S + 1), w + ray * S, 0, nullptr, 1);
  });
}

Tensor distortion_loss_backward(const Tensor& grad_in, const Tensor& s_in,
                                const Tensor& weights_in) {
  Tensor s = dense(s_in), weights = dense(weights_in), grad = dense(grad_in);
  check_histogram(s, weights);
  const int64_t R = weights.size(0), S = weights.size(1);
  Tensor result = zeros(weights, {R, S});
  const float *edges = data(s), *w = data(weights);
  const float scale = *data(grad) / static_cast<float>(R);
  float* to = out(result);
  parallel(R, kRayGrain, [=](int64_t begin, int64_t end) {
    for (int64_t ray = begin; ray < end; ++ray)
      distortion(static_cast<int>(S), edges + ray * (S + 1), w + ray * S, scale, to + ray * S, 1);
  });
  return result;
}

Tensor histogram_loss(const Tensor& s_in, const Tensor& weights_in, const Tensor& s_coarse_in,
                      const Tensor& coarse_in, double eps) {
  Tensor s = dense(s_in), weights = dense(weights_in);
  Tensor s_coarse = dense(s_coarse_in), coarse = dense(coarse_in);
  check_histogram(s, weights);
  check_histogram(s_coarse, coarse);
  STD_TORCH_CHECK(s.size(0) == s_coarse.size(0), "both histograms have R rays");
  const int64_t R = weights.size(0), S = weights.size(1), P = coarse.size(1);
  const float *edges = data(s), *w = data(weights), *e = data(s_coarse), *c = data(coarse);
  return mean_over_rays(weights, R, static_cast<double>(R * S), [=](int64_t ray) {
    return histogram(static_cast<int>(S), edges + ray * (S + 1), w + ray * S, static_cast<int>(P),
                     e + ray * (P + 1), c + ray * P, static_cast<float>(eps), 0, nullptr, nullptr,
                     1);
  });
}

Tensor histogram_loss_backward(const Tensor& grad_in, const Tensor& s_in, const Tensor& weights_in,
                               const Tensor& s_coarse_in, const Tensor& coarse_in, double eps) {
  Tensor s = dense(s_in), weights = dense(weights_in), grad = dense(grad_in);
  Tensor s_coarse = dense(s_coarse_in), coarse = dense(coarse_in);
  check_histogram(s, weights);
  check_histogram(s_coarse, coarse);
  STD_TORCH_CHECK(s.size(0) == s_coarse.size(0), "both histograms have R rays");
  const int64_t R = weights.size(0), S = weights.size(1), P = coarse.size(1);
  Tensor result = zeros(weights, {R, P});
  const float *edges = data(s), *w = data(weights), *e = data(s_coarse), *c = data(coarse);
  const float scale = *data(grad) / static_cast<float>(R * S);
  float* to = out(result);
  parallel(R, kRayGrain, [=](int64_t begin, int64_t end) {
    std::vector<float> steps(P + 1);
    for (int64_t ray = begin; ray < end; ++ray)
      histogram(static_cast<int>(S), edges + ray * (S + 1), w + ray * S, static_cast<int>(P),
                e + ray * (P + 1), c + ray * P, static_cast<float>(eps), scale, to + ray * P,
                steps.data(), 1);
  });
  return result;
}

// Calls f(i, a, b) for each fine bin i of a ray, which coarse bins a to b - 1 overlap; b < a where
// a fine bin of no length lies on a coarse edge.
template <class F>
void overlaps(int64_t S, const float* s, int64_t P, const float* s_coarse, const F& f) {
  int64_t first = 0, last = 0;
  for (int64_t i = 0; i < S; ++i) {
    while (first < P && s_coarse[first + 1] <= s[i]) ++first;
    while (last < P && s_coarse[last] < s[i + 1]) ++last;
    f(i, first, last);
  }
}

Tensor outer_bound(const Tensor& s_in, const Tensor& s_coarse_in, const Tensor& coarse_in) {
  Tensor s = dense(s_in), s_coarse = dense(s_coarse_in), coarse = dense(coarse_in);
  check_histogram(s_coarse, coarse);
  STD_TORCH_CHECK(s.dim() == 2 && s.size(0) == s_coarse.size(0) && s.size(1) > 0, kEdges);
  const int64_t R = s.size(0), S = s.size(1) - 1, P = coarse.size(1);
  Tensor result = empty(s, {R, S});
  const float *edges = data(s), *e = data(s_coarse), *c = data(coarse);
  float* to = out(result);
  parallel(R, kRayGrain, [=](int64_t begin, int64_t end) {
    std::vector<double> mass(P + 1);
    for (int64_t ray = begin; ray < end; ++ray) {
      for (int64_t p = 0; p < P; ++p) mass[p + 1] = mass[p] + c[ray * P + p];
      auto bound = [&](int64_t i, int64_t a, int64_t b) {
        to[ray * S + i] = static_cast<float>(mass[b] - mass[a]);
      };
      overlaps(S, edges + ray * (S + 1), P, e + ray * (P + 1), bound);
    }
  });
  return result;
}

Tensor outer_bound_backward(const Tensor& grad_in, const Tensor& s_in, const Tensor& s_coarse_in) {
  Tensor s = dense(s_in), s_coarse = dense(s_coarse_in), grad = dense(grad_in);
  const int64_t R = s.size(0), S = s.size(1) - 1, P = s_coarse.size(1) - 1;
  Tensor result = empty(s, {R, P});
  const float *edges = data(s), *e = data(s_coarse), *g = data(grad);
  float* to = out(result);
  parallel(R, kRayGrain, [=](int64_t begin, int64_t end) {
    std::vector<double> steps(P + 1);
    for (int64_t ray = begin; ray < end; ++ray) {
      std::fill(steps.begin(), steps.end(), 0.0);
      auto step = [&](int64_t i, int64_t a, int64_t b) {
        steps[a] += g[ray * S + i];
        steps[b] -= g[ray * S + i];
      };
      overlaps(S, edges + ray * (S + 1), P, e + ray * (P + 1), step);
      double total = 0;
      for (int64_t p = 0; p < P; ++p) to[ray * P + p] = static_cast<float>(total += steps[p]);
    }
  });
  return result;
}

}  // namespace
}  // namespace dac::cpu

STABLE_TORCH_LIBRARY_IMPL(dac, CompositeExplicitAutograd, m) {
  m.impl("vector_lanes", TORCH_BOX(&dac::cpu::vector_lanes));
}

STABLE_TORCH_LIBRARY_IMPL(dac, CPU, m) {
  m.impl("volume_weights", TORCH_BOX(&dac::cpu::volume_weights));
  m.impl("volume_weights_backward", TORCH_BOX(&dac::cpu::volume_weights_backward));
  m.impl("composite", TORCH_BOX(&dac::cpu::composite));
  m.impl("composite_backward", TORCH_BOX(&dac::cpu::composite_backward));
  m.impl("resample", TORCH_BOX(&dac::cpu::resample));
  m.impl("distortion_loss", TORCH_BOX(&dac::cpu::distortion_loss));
  m.impl("distortion_loss_backward", TORCH_BOX(&dac::cpu::distortion_loss_backward));
  m.impl("histogram_loss", TORCH_BOX(&dac::cpu::histogram_loss));
  m.impl("histogram_loss_backward", TORCH_BOX(&dac::cpu::histogram_loss_backward));
  m.impl("outer_bound", TORCH_BOX(&dac::cpu::outer_bound));
  m.impl("outer_bound_backward", TORCH_BOX(&dac::cpu::outer_bound_backward));
}

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

}  // namespace
}  // namespace dac::cpu

STABLE_TORCH_LIBRARY_IMPL(dac, CompositeExplicitAutograd, m) {
  m.impl("vector_lanes", TORCH_BOX(&dac::cpu::vector_lanes));
}

STABLE_TORCH_LIBRARY_IMPL(dac, CPU, m) {
  m.impl("volume_weights", TORCH_BOX(&dac::cpu::volume_weights));
  m.impl("volume_weights_backward", TORCH_BOX(&dac::cpu::volume_weights_backward));
}

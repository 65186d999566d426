// The CUDA kernels on the host (see emulator.h), whole rays with one C name each, for ctypes.
// Compiled by tests/cuda/test_kernels.py.
#include <cstdio>
#include <vector>

#include "device.h"
#include "steps.h"

using namespace dac::cuda;

namespace {

// What describes a call: pointers to float32 arrays of numpy.
struct Call {
  const int64_t* shape;
  int64_t length;
  const double* space;
  const float* const* parameters;
  const int64_t* sizes;
  int float32, deterministic;
  int64_t render_rays;
  int64_t R;
  const float* rays;
  const int64_t* key;
  const float* anneal;
  const uint16_t* half;
};

Parameters parameters_of(const Call& c) {
  Parameters model;
  model.half = c.half;
  model.shape = dac::make_shape(c.shape, c.length, c.space);
  for (int i = 0; i < model.shape.parameters; ++i) {
    model.at[i] = c.parameters[i];
    model.sizes[i] = c.sizes[i];
    model.offsets[i + 1] = model.offsets[i] + ceil_div(c.sizes[i], dac::kAlign) * dac::kAlign;
  }
  return model;
}

RaySet rays_of(const Call& c, const dac::ModelShape& shape) {
  RaySet set;
  set.R = c.R;
  set.rays = c.rays;
  set.key = c.key;
  set.anneal = c.anneal;
  set.space = shape.space;
  std::copy(shape.centre, shape.centre + 3, set.centre);
  std::copy(shape.half, shape.half + 3, set.half);
  return set;
}

Choices choices_of(const Call& c) { return {c.float32 != 0, c.deterministic != 0, c.render_rays}; }

template <class F>
int guarded(const F& f) {
  try {
    Arena counting(nullptr);
    f(counting);
    std::vector<char> memory(counting.used() + 256, static_cast<char>(0xff));
    auto address = (reinterpret_cast<uintptr_t>(memory.data()) + 255) / 256 * 256;
    Arena arena(reinterpret_cast<void*>(address));
    f(arena);
    return arena.used() <= counting.used() ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace

extern "C" {

void set_turns(int order) { turns = order; }

int render(const Call* c, float* rgb, float* accumulation, float* depth, float* s, float* t,
           float* alpha, float* weights, float* colours) {
  const Parameters model = parameters_of(*c);
  RenderCall call;
  call.out = {rgb, accumulation, depth, alpha, weights};
  call.s = s;
  call.t = t;
  call.colours = colours;
  return guarded([&](Arena& arena) {
    render_rays(model, choices_of(*c), rays_of(*c, model.shape), call, arena, nullptr);
  });
}

int train(const Call* c, const float* target, const float* background, int learn,
          const float* weights, float* grads, float* terms) {
  const Parameters model = parameters_of(*c);
  LearnCall call;
  call.lesson.rgb = target;
  call.background = background;
  call.weights.of[kRendered] = weights[0];
  call.weights.of[kDistortion] = weights[1];
  call.weights.of[kInterlevel] = weights[2];
  call.levels_learn = learn != 0;
  call.grads = grads;
  call.terms = {kRendered, kDistortion, kInterlevel};
  call.out = terms;
  return guarded([&](Arena& arena) {
    learn_rays(model, choices_of(*c), rays_of(*c, model.shape), call, arena, nullptr);
  });
}

int distil(const Call* c, const float* const* lesson, int samples, const float* background,
           int paper, const float* weights, float* grads, float* terms) {
  const Parameters model = parameters_of(*c);
  LearnCall call;
  call.s = lesson[0];
  call.t = lesson[1];
  call.samples = samples;
  call.lesson = {lesson[0], lesson[2], lesson[3], lesson[4], lesson[5], lesson[6], paper != 0};
  call.background = background;
  for (int term = 0; term < kTerms; ++term) {
    call.weights.of[term] = weights[term];
    call.terms.push_back(term);
  }
  call.grads = grads;
  call.out = terms;
  return guarded([&](Arena& arena) {
    learn_rays(model, choices_of(*c), rays_of(*c, model.shape), call, arena, nullptr);
  });
}

void weights(int64_t R, int S, const float* sigma, const float* delta, float* alpha, float* w) {
  volume_weights(R, S, sigma, delta, alpha, w, nullptr);
}

void weights_backward(int64_t R, int S, const float* to_alpha, const float* to_w,
                      const float* sigma, const float* delta, float* to_sigma, float* to_delta) {
  volume_weights_backward(R, S, to_alpha, to_w, sigma, delta, to_sigma, to_delta, nullptr);
}

// Single operations, each with its backward pass from `grad`.

void op_composite(int R, int S, int D, const float* weights, const float* values, const float* grad,
                  float* out, float* to_weights, float* to_values) {
  composite_values(R, S, D, weights, values, out, nullptr);
  composite_values_backward(R, S, D, grad, weights, values, to_weights, to_values, nullptr);
}

void op_resample(int R, int S, int T, const float* edges, const float* weights, const float* u,
                 float padding, float* out) {
  resample_at(R, S, T, edges, weights, u, padding, out, nullptr);
}

void op_distortion(int R, int S, const float* s, const float* weights, const float* grad,
                   float* out, float* to_weights) {
  std::vector<float> terms(R, NAN);
  distortion_loss(R, S, s, weights, terms.data(), out, nullptr);
  std::fill_n(to_weights, R * S, 0.0F);
  distortion_loss_backward(R, S, grad, s, weights, to_weights, nullptr);
}

void op_histogram(int R, int S, int P, const float* s, const float* weights, const float* s_coarse,
                  const float* coarse, float eps, const float* grad, float* out,
                  float* to_coarse) {
  const Histograms of{R, S, P, s, weights, s_coarse, coarse};
  std::vector<float> terms(R, NAN), steps(R * (P + 1), NAN);
  histogram_loss(of, eps, terms.data(), out, nullptr);
  std::fill_n(to_coarse, R * P, 0.0F);
  histogram_loss_backward(of, eps, grad, steps.data(), to_coarse, nullptr);
}

void op_outer_bound(int R, int S, int P, const float* s, const float* s_coarse,
                    const float* coarse, const float* grad, float* out, float* to_coarse) {
  outer_bound({R, S, P, s, nullptr, s_coarse, coarse}, out, nullptr);
  outer_bound_backward({R, S, P, s, nullptr, s_coarse, nullptr}, grad, to_coarse, nullptr);
}

void op_plane_tv(int P, int H, int W, int C, const float* planes, const float* grad, float* out,
                 float* to_planes) {
  std::vector<float> scratch(sum_scratch(int64_t{P} * H * W * C), NAN);
  plane_tv(P, H, W, C, planes, scratch.data(), out, nullptr);
  plane_tv_backward(P, H, W, C, grad, planes, to_planes, nullptr);
}

void op_squared(int count, const float* a, const float* b, const float* weights, double divisor,
                const float* grad, float* out, float* to_a) {
  std::vector<float> scratch(sum_scratch(count), NAN);
  squared_loss(count, a, b, weights, divisor, scratch.data(), out, nullptr);
  squared_loss_backward(count, grad, a, b, weights, divisor, to_a, nullptr);
}

// x, m, v, g, half: one pointer a parameter; sizes (count, 4): planes, height, width, channels,
// where planes = 0 means a weight of `width` numbers.
void adam(int count, float* const* x, float* const* m, float* const* v, float* const* g,
          uint16_t* const* half, const int* sizes, const float* tv, const int* active,
          const float* rates, const float* betas_eps, float* values, float* norm) {
  AdamSet set;
  set.count = count;
  set.rates = rates;
  set.beta1 = betas_eps[0];
  set.beta2 = betas_eps[1];
  set.eps = betas_eps[2];
  for (int i = 0; i < count; ++i) {
    AdamParameter& p = set.of[i];
    const int* size = sizes + 4 * i;
    p.x = x[i], p.m = m[i], p.v = v[i], p.g = g[i], p.half = half[i];
    p.planes = size[0], p.height = size[1], p.width = size[2], p.channels = size[3];
    p.count = static_cast<int64_t>(size[0] > 0 ? size[0] * size[1] : 1) * size[2] * size[3];
    p.tv = tv[i];
    p.active = active[i] != 0;
  }
  std::vector<float> scratch(adam_scratch(set) + 4, NAN);
  auto address = (reinterpret_cast<uintptr_t>(scratch.data()) + 15) / 16 * 16;
  adam_tv(set, reinterpret_cast<float*>(address), values, norm, nullptr);
}

}  // extern "C"

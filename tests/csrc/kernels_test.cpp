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
  int64_t part;
  int64_t R;
  const float* rays;
  const int64_t* key;
  const float* anneal;
  const uint16_t* half;
};

dac::Parameters parameters_of(const Call& c) {
  dac::Parameters model;
  model.half = c.half;
  model.shape = dac::make_shape(c.shape, c.length, c.space);
  for (int i = 0; i < model.shape.parameters; ++i) {
    model.at[i] = c.parameters[i];
    model.sizes[i] = c.sizes[i];
    model.offsets[i + 1] = model.offsets[i] + ceil_div(c.sizes[i], dac::kAlign) * dac::kAlign;
  }
  return model;
}

dac::RaySet rays_of(const Call& c) { return {c.R, c.rays, c.key, c.anneal, 0}; }

// `part`: rays rendered, and points looked at, at once.
Choices choices_of(const Call& c) {
  return {c.float32 != 0, c.deterministic != 0, c.part, c.part};
}

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
  const dac::Parameters model = parameters_of(*c);
  const dac::Rendered out{rgb, accumulation, depth, s, t, alpha, weights, colours};
  return guarded([&](Arena& arena) {
    render_rays(model, choices_of(*c), rays_of(*c), out, arena, nullptr);
  });
}

int query(const Call* c, int64_t N, int64_t S, const float* points, const float* directions,
          float* sigma, float* colours) {
  const dac::Parameters model = parameters_of(*c);
  const dac::Query query{N, S, points, directions, sigma, colours};
  return guarded(
      [&](Arena& arena) { query_points(model, choices_of(*c), query, arena, nullptr); });
}

int train(const Call* c, const float* target, const float* background, int learn,
          const float* weights, float* grads, float* terms) {
  const dac::Parameters model = parameters_of(*c);
  dac::LearnCall call;
  call.lesson.rgb = target;
  call.background = background;
  for (dac::Term term : dac::kTrainTerms) {
    call.weights.of[term] = *weights++;
    call.terms.push_back(term);
  }
  call.levels_learn = learn != 0;
  call.grads.data = grads;
  call.out = terms;
  return guarded([&](Arena& arena) {
    learn_rays(model, choices_of(*c), rays_of(*c), call, arena, nullptr);
  });
}

int distil(const Call* c, const float* const* lesson, int samples, const float* background,
           int paper, const float* weights, float* grads, float* terms) {
  const dac::Parameters model = parameters_of(*c);
  dac::LearnCall call;
  call.lesson = {samples,   lesson[0], lesson[1], lesson[2], lesson[3],
                 lesson[4], lesson[5], lesson[6], paper != 0};
  call.background = background;
  for (int term = 0; term < dac::kTerms; ++term) {
    call.weights.of[term] = weights[term];
    call.terms.push_back(static_cast<dac::Term>(term));
  }
  call.grads.data = grads;
  call.out = terms;
  return guarded([&](Arena& arena) {
    learn_rays(model, choices_of(*c), rays_of(*c), call, arena, nullptr);
  });
}

// x, m, v, g, half: one pointer a parameter; sizes (count, 4): planes, height, width, channels,
// where planes = 0 means a weight of `width` numbers.
void adam(int count, float* const* x, float* const* m, float* const* v, float* const* g,
          uint16_t* const* half, const int* sizes, const float* tv, const int* active,
          const float* rates, const float* betas_eps, float* values, float* norm) {
  dac::AdamSet set;
  set.count = count;
  set.rates = rates;
  set.beta1 = betas_eps[0];
  set.beta2 = betas_eps[1];
  set.eps = betas_eps[2];
  for (int i = 0; i < count; ++i) {
    dac::AdamParameter& p = set.of[i];
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

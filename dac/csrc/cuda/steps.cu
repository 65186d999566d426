#include "steps.h"

#include "pass.h"

namespace dac::cuda {
namespace {

float* advance(float* from, int64_t by) { return from == nullptr ? nullptr : from + by; }

}  // namespace

void render_rays(const Parameters& model, const Choices& choices, const RaySet& rays,
                 const RenderCall& call, Arena& arena, Stream stream) {
  const int S = model.shape.samples;
  const size_t start = arena.used();
  for (int64_t first = 0; first < rays.R; first += choices.render_rays) {
    RaySet part = rays;
    part.R = std::min(choices.render_rays, rays.R - first);
    part.rays = rays.rays + first * 8;
    part.first = rays.first + static_cast<uint32_t>(first);
    arena.rewind(start);
    Pass pass(model, choices, part, S, false, arena, stream);
    if (arena.counts()) return;  // the first part is the largest
    if (first == 0) pass.refresh_halves();
    if (call.s != nullptr) {
      pass.field().s = call.s + first * (S + 1);
      pass.field().t = call.t + first * (S + 1);
      pass.give_colours(call.colours + first * S * 3);
    }
    pass.forward_levels();
    pass.sample_field();
    pass.forward_field();
    Rendered out;
    out.rgb = call.out.rgb + first * 3;
    out.accumulation = call.out.accumulation + first;
    out.depth = call.out.depth + first;
    out.alpha = advance(call.out.alpha, first * S);
    out.weights = advance(call.out.weights, first * S);
    composite(part, pass.field(), pass.colours(), out, stream);
  }
}

void learn_rays(const Parameters& model, const Choices& choices, const RaySet& rays,
                const LearnCall& call, Arena& arena, Stream stream) {
  const bool distils = call.s != nullptr;
  const int S = distils ? call.samples : model.shape.samples;
  const int64_t R = rays.R;
  Pass pass(model, choices, rays, S, true, arena, stream);
  float* terms = arena.take<float>(R * kTerms);
  float* weights = arena.take<float>(R * S);
  float* to_logit = arena.take<float>(R * S);
  float* to_colour_logits = arena.take<float>(R * S * 3);
  float* to_level[kLevels];
  for (int level = 0; level < kLevels; ++level)
    to_level[level] = arena.take<float>(R * pass.level(level).S);
  pass.begin_sums(call.grads);
  if (arena.counts()) return;
  pass.refresh_halves();
  pass.forward_levels();
  if (distils) {
    // Kernels read the experts' edges; nobody writes these bins' edges.
    pass.field().s = const_cast<float*>(call.s);
    pass.field().t = const_cast<float*>(call.t);
    points_of(rays, pass.field(), stream);
  } else {
    pass.sample_field();
  }
  pass.forward_field();
  field_losses(rays, pass.field(), pass.colours(), call.lesson, call.background, call.weights,
               to_logit, to_colour_logits, weights, terms, stream);
  pass.backward_field(to_logit, to_colour_logits);
  if (call.levels_learn) {
    const float* mass = call.lesson.paper ? call.lesson.alpha : call.lesson.weights;
    for (int level = 0; level < kLevels; ++level) {
      level_losses(rays, pass.level(level), pass.field(), mass, weights, call.weights,
                   to_level[level], terms, stream);
      pass.backward_level(level, to_level[level]);
    }
  }
  pass.finish(call.grads);
  sum_terms(R, terms, call.terms.data(), static_cast<int>(call.terms.size()), call.out, stream);
}

}  // namespace dac::cuda

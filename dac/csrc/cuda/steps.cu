#include "steps.h"

#include "device.h"
#include "layered.h"

namespace dac::cuda {
namespace {

// One call's pass over rays: its buffers, and the choice between tensor cores and layers.
class Pass {
 public:
  // S bins of the field a ray.
  Pass(const Parameters& model, const Choices& choices, int64_t R, int S, bool learns, Arena& arena,
       Stream stream)
      : m_(model), choices_(choices), R_(R), learns_(learns), arena_(arena), stream_(stream) {
    const ModelShape& shape = m_.shape;
    for (int level = 0; level < kLevels; ++level) {
      Level& l = levels_[level];
      l.shape = {shape.hidden, shape.proposals[level].encoder.features()};
      l.fast = !choices.float32 && density_fits(l.shape);
    }
    field_.shape = {shape.hidden, shape.geometry, shape.colour_layers, shape.encoder.features()};
    field_.fast = !choices.float32 && field_fits(field_.shape, planes(shape.encoder, false));
    // First, so that passes over different numbers of rays find them at one place.
    take_halves();
    take_field(S);
  }

  Bins& field() { return field_.bins; }
  const Bins& level(int level) const { return levels_[level].bins; }
  float*& colours() { return field_.colours; }

  void take_levels() {
    for (int level = 0; level < kLevels; ++level) {
      Level& l = levels_[level];
      l.bins = take_bins(m_.shape.proposals[level].samples);
      const int64_t N = R_ * l.bins.S;
      if (!l.fast) {
        l.layers.take(arena_, m_.shape, level, N, learns_);
      } else if (learns_) {
        l.kept = arena_.take<uint16_t>(N * l.shape.channels);
        l.to_kept = arena_.take<uint16_t>(N * l.shape.channels);
      }
    }
  }

  void forward_levels(const RaySet& rays) {
    for (int level = 0; level < kLevels; ++level) {
      if (level == 0)
        first_bins(rays, m_.shape.space, levels_[0].bins, stream_);
      else
        next_bins(rays, m_.shape.space, levels_[level - 1].bins, levels_[level].bins, level,
                  stream_);
      forward_level(level);
    }
  }

  void sample_field(const RaySet& rays) {
    next_bins(rays, m_.shape.space, levels_[kLevels - 1].bins, field_.bins, kLevels, stream_);
  }

  // directions (R, 3), rows `row` apart; or null.
  void forward_field(const float* directions, int row) {
    const Bins& bins = field_.bins;
    if (!field_.fast) {
      harmonics(R_, directions, row, nullptr, field_.layers.harmonics(), stream_);
      field_.layers.forward(m_, planes(m_.shape.encoder, false), bins.points, bins.sigma,
                            field_.colours, stream_);
      return;
    }
    harmonics(R_, directions, row, field_.harmonics, nullptr, stream_);
    field_forward(field_.shape, planes(m_.shape.encoder, true), field_weights(), field_points(),
                  {bins.sigma, field_.colours, field_.kept}, stream_);
  }

  // From the slopes of a level's logits (R, P).
  void backward_level(int level, const float* to_logit) {
    const Level& l = levels_[level];
    const ProposalShape& p = m_.shape.proposals[level];
    const int64_t N = R_ * l.bins.S;
    if (!l.fast) {
      const float* to_features = l.layers.backward(m_, sums_, to_logit, stream_);
      add_to_planes(p.encoder, false, N, l.bins.points, to_features);
      return;
    }
    void* sums[2] = {sums_.at(p.weights), sums_.at(p.weights + 1)};
    density_backward(l.shape, m_.at + p.weights, sums, choices_.deterministic, N, l.kept, to_logit,
                     l.to_kept, stream_);
    add_to_planes(p.encoder, true, N, l.bins.points, l.to_kept);
  }

  // From the slopes of the density's logits (R, S) and the colours' (R, S, 3).
  void backward_field(const float* to_logit, const float* to_colour_logits) {
    const ModelShape& shape = m_.shape;
    const int64_t N = R_ * field_.bins.S;
    if (!field_.fast) {
      const float* to_features =
          field_.layers.backward(m_, sums_, to_logit, to_colour_logits, stream_);
      add_to_planes(shape.encoder, false, N, field_.bins.points, to_features);
      return;
    }
    FieldSums sums;
    sums.fixed = choices_.deterministic;
    for (int i = 0; i < 2; ++i) sums.density[i] = sums_.at(shape.density + i);
    for (int i = 0; i <= shape.colour_layers; ++i) sums.colours[i] = sums_.at(shape.colours + i);
    field_backward(field_.shape, field_weights(), sums, field_points(),
                   {field_.kept, to_logit, to_colour_logits, field_.to_kept}, stream_);
    add_to_planes(shape.encoder, true, N, field_.bins.points, field_.to_kept);
  }

  // Where gradients go from here on.
  void begin_sums(float* grads) {
    sums_ = {m_.offsets, grads, nullptr};
    if (!choices_.deterministic) return;
    sums_.fixed = arena_.take<int64_t>(total());
    if (!arena_.counts()) clear(sums_.fixed, total() * sizeof(int64_t), stream_);
  }
  void finish() {
    if (choices_.deterministic) add_fixed(sums_.fixed, total(), sums_.floats, stream_);
  }

  // Halves of the encoders, where nobody keeps them.
  void refresh_halves() {
    if (own_half_ == nullptr) return;
    for (const ProposalShape& p : m_.shape.proposals) refresh(p.encoder);
    refresh(m_.shape.encoder);
  }

 private:
  struct Level {
    DensityShape shape;
    bool fast = false;
    Bins bins;
    uint16_t *kept = nullptr, *to_kept = nullptr;  // features and their slopes, where fast
    LayeredLevel layers;                           // where not
  };

  struct Field {
    FieldShape shape;
    bool fast = false;
    Bins bins;
    float* colours = nullptr;
    uint16_t *harmonics = nullptr, *kept = nullptr, *to_kept = nullptr;
    LayeredField layers;
  };

  void forward_level(int level) {
    const Level& l = levels_[level];
    const ProposalShape& p = m_.shape.proposals[level];
    if (l.fast)
      density_forward(l.shape, planes(p.encoder, true), m_.at + p.weights, R_ * l.bins.S,
                      l.bins.points, l.bins.sigma, l.kept, stream_);
    else
      l.layers.forward(m_, planes(p.encoder, false), l.bins.points, l.bins.sigma, stream_);
  }

  void add_to_planes(const TriPlaneShape& shape, bool half, int64_t N, const float* points,
                     const void* to_features) {
    TriPlaneSums sums;
    sums.fixed = choices_.deterministic;
    for (int scale = 0; scale < shape.scales; ++scale)
      sums.to[scale] = sums_.at(shape.parameter + scale);
    add_gradient(planes(shape, half), sums, N, points, to_features, stream_);
  }

  Bins take_bins(int S) {
    Bins bins;
    bins.S = S;
    bins.s = arena_.take<float>(R_ * (S + 1));
    bins.t = arena_.take<float>(R_ * (S + 1));
    bins.sigma = arena_.take<float>(R_ * S);
    bins.points = arena_.take<float>(R_ * S * 3);
    return bins;
  }

  void take_field(int S) {
    field_.bins = take_bins(S);
    field_.colours = arena_.take<float>(R_ * S * 3);
    if (!field_.fast) {
      field_.layers.take(arena_, m_.shape, R_, S, learns_);
      return;
    }
    field_.harmonics = arena_.take<uint16_t>(R_ * kHarmonics);
    if (!learns_) return;
    field_.kept = arena_.take<uint16_t>(R_ * S * field_.shape.features);
    field_.to_kept = arena_.take<uint16_t>(R_ * S * field_.shape.features);
  }

  void take_halves() {
    half_ = m_.half;
    bool any = field_.fast;
    for (const Level& l : levels_) any = any || l.fast;
    if (half_ != nullptr || !any) return;
    own_half_ = arena_.take<uint16_t>(total());
    half_ = own_half_;
  }

  void refresh(const TriPlaneShape& shape) {
    for (int i = shape.parameter; i < shape.parameter + shape.scales; ++i)
      halve(m_.at[i], m_.sizes[i], own_half_ + m_.offsets[i], stream_);
  }

  int64_t total() const { return m_.offsets[m_.shape.parameters]; }

  TriPlanes planes(const TriPlaneShape& shape, bool half) const {
    TriPlanes encoder;
    encoder.scales = shape.scales;
    encoder.channels = shape.channels;
    encoder.half = half;
    for (int scale = 0; scale < shape.scales; ++scale) {
      const int i = shape.parameter + scale;
      encoder.sizes[scale] = shape.sizes[scale];
      encoder.planes[scale] = half ? static_cast<const void*>(half_ + m_.offsets[i])
                                   : static_cast<const void*>(m_.at[i]);
    }
    return encoder;
  }

  FieldPoints field_points() const {
    const Bins& bins = field_.bins;
    return {R_ * bins.S, bins.S, bins.points, field_.harmonics};
  }

  FieldWeights field_weights() const {
    FieldWeights weights;
    for (int i = 0; i < 2; ++i) weights.density[i] = m_.at[m_.shape.density + i];
    for (int i = 0; i <= m_.shape.colour_layers; ++i)
      weights.colours[i] = m_.at[m_.shape.colours + i];
    return weights;
  }

  const Parameters& m_;
  const Choices choices_;
  const int64_t R_;
  const bool learns_;
  Arena& arena_;
  Stream stream_;
  Level levels_[kLevels];
  Field field_;
  const uint16_t* half_ = nullptr;
  uint16_t* own_half_ = nullptr;
  Sums sums_;
};

template <class T>
T* advance(T* from, int64_t by) {
  return from == nullptr ? nullptr : from + by;
}

}  // namespace

void render_rays(const Parameters& model, const Choices& choices, const RaySet& rays,
                 const Rendered& out, Arena& arena, Stream stream) {
  const int S = model.shape.samples;
  const size_t start = arena.used();
  for (int64_t first = 0; first < rays.R; first += choices.render_rays) {
    RaySet part = rays;
    part.R = std::min(choices.render_rays, rays.R - first);
    part.rays = rays.rays + first * kRayFloats;
    part.first = rays.first + static_cast<uint32_t>(first);
    arena.rewind(start);
    Pass pass(model, choices, part.R, S, false, arena, stream);
    pass.take_levels();
    if (arena.counts()) return;  // the first part is the largest
    if (first == 0) pass.refresh_halves();
    if (out.s != nullptr) {
      pass.field().s = out.s + first * (S + 1);
      pass.field().t = out.t + first * (S + 1);
      pass.colours() = out.colours + first * S * 3;
    }
    pass.forward_levels(part);
    pass.sample_field(part);
    pass.forward_field(part.rays + 3, kRayFloats);
    Rendered to;
    to.rgb = out.rgb + first * 3;
    to.accumulation = out.accumulation + first;
    to.depth = out.depth + first;
    to.alpha = advance(out.alpha, first * S);
    to.weights = advance(out.weights, first * S);
    composite(part, pass.field(), pass.colours(), to, stream);
  }
}

void query_points(const Parameters& model, const Choices& choices, const Query& query, Arena& arena,
                  Stream stream) {
  // Whole rays where directions group the points; else a part is one ray.
  const int64_t most = query.directions == nullptr
                           ? choices.query_points
                           : std::max<int64_t>(1, choices.query_points / query.S) * query.S;
  const size_t start = arena.used();
  for (int64_t first = 0; first < query.N; first += most) {
    const int64_t N = std::min(most, query.N - first);
    const int64_t S = query.directions == nullptr ? N : query.S;
    arena.rewind(start);
    Pass pass(model, choices, N / S, static_cast<int>(S), false, arena, stream);
    if (arena.counts()) return;  // the first part is the largest
    if (first == 0) pass.refresh_halves();
    pass.field().sigma = query.sigma + first;
    if (query.colours != nullptr) pass.colours() = query.colours + first * 3;
    cube_points(model.shape.space, N, query.points + first * 3, pass.field().points, stream);
    pass.forward_field(advance(query.directions, first / S * 3), 3);
  }
}

void learn_rays(const Parameters& model, const Choices& choices, const RaySet& rays,
                const LearnCall& call, Arena& arena, Stream stream) {
  const Lesson& lesson = call.lesson;
  const int64_t R = rays.R;
  const int S = lesson.of_experts() ? lesson.S : model.shape.samples;
  Pass pass(model, choices, R, S, true, arena, stream);
  pass.take_levels();
  FieldLosses losses;
  losses.terms = arena.take<float>(R * kTerms);
  losses.weights = arena.take<float>(R * S);
  losses.to_logit = arena.take<float>(R * S);
  losses.to_colour_logits = arena.take<float>(R * S * 3);
  float* to_level[kLevels];
  for (int level = 0; level < kLevels; ++level)
    to_level[level] = arena.take<float>(R * pass.level(level).S);
  pass.begin_sums(call.grads.data);
  if (arena.counts()) return;
  pass.refresh_halves();
  pass.forward_levels(rays);
  if (lesson.of_experts()) {
    // Kernels read the experts' edges; nobody writes these bins' edges.
    pass.field().s = const_cast<float*>(lesson.s);
    pass.field().t = const_cast<float*>(lesson.t);
    points_of(rays, model.shape.space, pass.field(), stream);
  } else {
    pass.sample_field(rays);
  }
  pass.forward_field(advance(rays.rays, 3), kRayFloats);
  field_losses(rays, pass.field(), pass.colours(), call, losses, stream);
  pass.backward_field(losses.to_logit, losses.to_colour_logits);
  for (int level = 0; call.levels_learn && level < kLevels; ++level) {
    level_losses(rays, pass.level(level), pass.field(), call, losses, to_level[level], stream);
    pass.backward_level(level, to_level[level]);
  }
  pass.finish();
  sum_terms(R, losses.terms, call.terms, call.out, stream);
}

}  // namespace dac::cuda

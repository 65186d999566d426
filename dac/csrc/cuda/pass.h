// One pass of a model over rays: its buffers, and the order of its kernels.
#pragma once

#include "device.h"
#include "steps.h"

namespace dac::cuda {

// What one call computes with: its buffers, and the choice between tensor cores and plain layers.
class Pass {
 public:
  Pass(const Parameters& model, const Choices& choices, const RaySet& rays, int samples,
       bool learns, Arena& arena, Stream stream)
      : m_(model), choices_(choices), rays_(rays), learns_(learns), arena_(arena), stream_(stream) {
    const ModelShape& shape = m_.shape;
    for (int level = 0; level < kLevels; ++level) {
      Level& l = levels_[level];
      l.shape = {shape.hidden, shape.proposals[level].planes.channels};
      l.fast = !choices.float32 && density_fits(l.shape);
    }
    field_.shape = {shape.hidden, shape.geometry, shape.colour_layers, shape.features()};
    field_.fast = !choices.float32 && field_fits(field_.shape, field_planes(false));
    // First, so that passes over different numbers of rays find them at one place.
    take_halves();
    for (int level = 0; level < kLevels; ++level) {
      levels_[level].bins = take_bins(shape.proposals[level].samples);
      take_level(levels_[level]);
    }
    field_.bins = take_bins(samples);
    field_.colours = arena_.take<float>(rays.R * samples * 3);
    take_field();
  }

  Bins& field() { return field_.bins; }
  const Bins& level(int level) const { return levels_[level].bins; }
  float* colours() { return field_.colours; }
  void give_colours(float* to) { field_.colours = to; }

  void forward_levels() {
    for (int level = 0; level < kLevels; ++level) {
      if (level == 0)
        first_bins(rays_, levels_[0].bins, stream_);
      else
        next_bins(rays_, levels_[level - 1].bins, levels_[level].bins, level, stream_);
      forward_level(level);
    }
  }

  void sample_field() {
    next_bins(rays_, levels_[kLevels - 1].bins, field_.bins, kLevels, stream_);
  }

  void forward_field() {
    const int64_t N = rays_.R * field_.bins.S;
    harmonics(rays_, field_.fast ? field_.half_harmonics : nullptr,
              field_.fast ? nullptr : field_.harmonics, stream_);
    if (field_.fast) {
      dac::cuda::field_forward(field_.shape, field_planes(true), field_weights(), N, field_.bins.S,
                               field_.bins.points, field_.half_harmonics, field_.bins.sigma,
                               field_.colours, learns_ ? field_.kept : nullptr, stream_);
      return;
    }
    const ModelShape& shape = m_.shape;
    const int H = shape.hidden, G = shape.geometry, F = shape.features(), D = 1 + G;
    const int inputs = kHarmonics + G, S = field_.bins.S;
    gather(field_planes(false), N, field_.bins.points, field_.features, stream_);
    layer_forward(N, F, H, field_.features, F, weight(shape.density), F, nullptr, S, true,
                  field_.hidden, H, stream_);
    layer_forward(N, H, D, field_.hidden, H, weight(shape.density + 1), H, nullptr, S, false,
                  field_.decoded, D, stream_);
    densities(N, field_.decoded, D, field_.bins.sigma, stream_);
    const float* first = weight(shape.colours);
    layer_forward(rays_.R, kHarmonics, H, field_.harmonics, kHarmonics, first, inputs, nullptr, 1,
                  false, field_.shift, H, stream_);
    layer_forward(N, G, H, field_.decoded + 1, D, first + kHarmonics, inputs, field_.shift, S, true,
                  field_.colour_hidden[0], H, stream_);
    for (int layer = 1; layer < shape.colour_layers; ++layer)
      layer_forward(N, H, H, field_.colour_hidden[layer - 1], H, weight(shape.colours + layer), H,
                    nullptr, S, true, field_.colour_hidden[layer], H, stream_);
    layer_forward(N, H, 3, field_.colour_hidden[shape.colour_layers - 1], H,
                  weight(shape.colours + shape.colour_layers), H, nullptr, S, false, field_.logits,
                  3, stream_);
    sigmoids(N * 3, field_.logits, field_.colours, stream_);
  }

  // From the slopes of a level's logits (R, P).
  void backward_level(int level, const float* to_logit) {
    Level& l = levels_[level];
    const ProposalShape& p = m_.shape.proposals[level];
    const int64_t N = rays_.R * p.samples;
    const int H = m_.shape.hidden, C = p.planes.channels;
    const float* weights[2] = {weight(p.weights), weight(p.weights + 1)};
    void* sums[2] = {sum(p.weights), sum(p.weights + 1)};
    PlaneSums planes = {};
    planes.to[0] = sum(p.planes.parameter);
    planes.fixed = choices_.deterministic;
    if (l.fast) {
      density_backward(l.shape, weights, sums, choices_.deterministic, N, l.kept, to_logit,
                       l.to_kept, stream_);
      scatter(level_planes(level, true), planes, N, l.bins.points, l.to_kept, true, stream_);
      return;
    }
    layer_sums(N, H, 1, to_logit, 1, l.hidden, H, sums[1], H, choices_.deterministic, stream_);
    layer_backward(N, H, 1, to_logit, 1, weights[1], H, l.hidden, l.to_hidden, H, stream_);
    layer_sums(N, C, H, l.to_hidden, H, l.features, C, sums[0], C, choices_.deterministic, stream_);
    layer_backward(N, C, H, l.to_hidden, H, weights[0], C, nullptr, l.to_features, C, stream_);
    scatter(level_planes(level, false), planes, N, l.bins.points, l.to_features, false, stream_);
  }

  // From the slopes of the density's logits (R, S) and the colours' (R, S, 3).
  void backward_field(const float* to_logit, const float* to_colour_logits) {
    const ModelShape& shape = m_.shape;
    const int64_t N = rays_.R * field_.bins.S;
    PlaneSums planes = {};
    planes.fixed = choices_.deterministic;
    for (int scale = 0; scale < shape.scales; ++scale)
      planes.to[scale] = sum(shape.planes[scale].parameter);
    if (field_.fast) {
      FieldSums sums;
      sums.fixed = choices_.deterministic;
      for (int i = 0; i < 2; ++i) sums.density[i] = sum(shape.density + i);
      for (int i = 0; i <= shape.colour_layers; ++i) sums.colours[i] = sum(shape.colours + i);
      dac::cuda::field_backward(field_.shape, field_weights(), sums, N, field_.bins.S,
                                field_.half_harmonics, field_.kept, to_logit, to_colour_logits,
                                field_.to_kept, stream_);
      scatter(field_planes(true), planes, N, field_.bins.points, field_.to_kept, true, stream_);
      return;
    }
    backward_layers(N, to_logit, to_colour_logits);
    scatter(field_planes(false), planes, N, field_.bins.points, field_.to_features, false, stream_);
  }

  void finish(float* grads) {
    if (choices_.deterministic) add_fixed(fixed_, total(), grads, stream_);
  }
  // Where gradients go from here on.
  void begin_sums(float* grads) {
    grads_ = grads;
    if (!choices_.deterministic) return;
    fixed_ = arena_.take<int64_t>(total());
    if (!arena_.counts()) clear(fixed_, total() * sizeof(int64_t), stream_);
  }

  // Halves of the planes, where nobody keeps them.
  void refresh_halves() {
    if (own_half_ == nullptr) return;
    for (int i = 0; i < m_.shape.parameters; ++i)
      if (is_plane(i)) halve(m_.at[i], m_.sizes[i], own_half_ + m_.offsets[i], stream_);
  }

 private:
  struct Level {
    DensityShape shape;
    bool fast = false;
    Bins bins;
    uint16_t *kept = nullptr, *to_kept = nullptr;
    float *features = nullptr, *hidden = nullptr, *logits = nullptr;
    float *to_features = nullptr, *to_hidden = nullptr;
  };

  struct Field {
    FieldShape shape;
    bool fast = false;
    Bins bins;
    float* colours = nullptr;
    uint16_t *half_harmonics = nullptr, *kept = nullptr, *to_kept = nullptr;
    float *harmonics = nullptr, *features = nullptr, *hidden = nullptr, *decoded = nullptr;
    float *shift = nullptr, *colour_hidden[kMaxColourLayers] = {}, *logits = nullptr;
    float *to_hidden[2] = {}, *to_decoded = nullptr, *to_shift = nullptr, *to_features = nullptr;
  };

  void forward_level(int level) {
    Level& l = levels_[level];
    const ProposalShape& p = m_.shape.proposals[level];
    const int64_t N = rays_.R * p.samples;
    const int H = m_.shape.hidden, C = p.planes.channels;
    const float* weights[2] = {weight(p.weights), weight(p.weights + 1)};
    if (l.fast) {
      density_forward(l.shape, level_planes(level, true), weights, N, l.bins.points, l.bins.sigma,
                      learns_ ? l.kept : nullptr, stream_);
      return;
    }
    gather(level_planes(level, false), N, l.bins.points, l.features, stream_);
    layer_forward(N, C, H, l.features, C, weights[0], C, nullptr, 1, true, l.hidden, H, stream_);
    layer_forward(N, H, 1, l.hidden, H, weights[1], H, nullptr, 1, false, l.logits, 1, stream_);
    densities(N, l.logits, 1, l.bins.sigma, stream_);
  }

  void backward_layers(int64_t N, const float* to_logit, const float* to_colour_logits) {
    const ModelShape& shape = m_.shape;
    const int H = shape.hidden, G = shape.geometry, F = shape.features(), D = 1 + G;
    const int inputs = kHarmonics + G, last = shape.colour_layers;
    const bool fixed = choices_.deterministic;
    const float* above = to_colour_logits;
    int width = 3;
    for (int layer = last; layer >= 1; --layer) {
      const float* x = field_.colour_hidden[layer - 1];
      float* to_x = field_.to_hidden[layer % 2];
      layer_sums(N, H, width, above, width, x, H, sum(shape.colours + layer), H, fixed, stream_);
      layer_backward(N, H, width, above, width, weight(shape.colours + layer), H, x, to_x, H,
                     stream_);
      above = to_x;
      width = H;
    }
    const float* first = weight(shape.colours);
    sum_rows(rays_.R, field_.bins.S, H, above, field_.to_shift, stream_);
    layer_sums(rays_.R, kHarmonics, H, field_.to_shift, H, field_.harmonics, kHarmonics,
               sum(shape.colours), inputs, fixed, stream_);
    layer_sums(N, G, H, above, H, field_.decoded + 1, D, sum(shape.colours, kHarmonics), inputs,
               fixed, stream_);
    layer_backward(N, G, H, above, H, first + kHarmonics, inputs, nullptr, field_.to_decoded + 1, D,
                   stream_);
    spread(N, to_logit, field_.to_decoded, D, stream_);
    float* to_hidden = field_.to_hidden[0];
    layer_sums(N, H, D, field_.to_decoded, D, field_.hidden, H, sum(shape.density + 1), H, fixed,
               stream_);
    layer_backward(N, H, D, field_.to_decoded, D, weight(shape.density + 1), H, field_.hidden,
                   to_hidden, H, stream_);
    layer_sums(N, F, H, to_hidden, H, field_.features, F, sum(shape.density), F, fixed, stream_);
    layer_backward(N, F, H, to_hidden, H, weight(shape.density), F, nullptr, field_.to_features, F,
                   stream_);
  }

  Bins take_bins(int S) {
    Bins bins;
    bins.S = S;
    bins.s = arena_.take<float>(rays_.R * (S + 1));
    bins.t = arena_.take<float>(rays_.R * (S + 1));
    bins.sigma = arena_.take<float>(rays_.R * S);
    bins.points = arena_.take<float>(rays_.R * S * 3);
    return bins;
  }

  void take_level(Level& l) {
    const int64_t N = rays_.R * l.bins.S;
    const int H = l.shape.hidden, C = l.shape.channels;
    if (l.fast) {
      if (!learns_) return;
      l.kept = arena_.take<uint16_t>(N * C);
      l.to_kept = arena_.take<uint16_t>(N * C);
      return;
    }
    l.features = arena_.take<float>(N * C);
    l.hidden = arena_.take<float>(N * H);
    l.logits = arena_.take<float>(N);
    if (!learns_) return;
    l.to_features = arena_.take<float>(N * C);
    l.to_hidden = arena_.take<float>(N * H);
  }

  void take_field() {
    const ModelShape& shape = m_.shape;
    const int64_t R = rays_.R, N = R * field_.bins.S;
    const int H = shape.hidden, F = shape.features(), D = 1 + shape.geometry;
    if (field_.fast) {
      field_.half_harmonics = arena_.take<uint16_t>(R * kHarmonics);
      if (!learns_) return;
      field_.kept = arena_.take<uint16_t>(N * F);
      field_.to_kept = arena_.take<uint16_t>(N * F);
      return;
    }
    field_.harmonics = arena_.take<float>(R * kHarmonics);
    field_.features = arena_.take<float>(N * F);
    field_.hidden = arena_.take<float>(N * H);
    field_.decoded = arena_.take<float>(N * D);
    field_.shift = arena_.take<float>(R * H);
    for (int layer = 0; layer < shape.colour_layers; ++layer)
      field_.colour_hidden[layer] = arena_.take<float>(N * H);
    field_.logits = arena_.take<float>(N * 3);
    if (!learns_) return;
    for (float*& buffer : field_.to_hidden) buffer = arena_.take<float>(N * H);
    field_.to_decoded = arena_.take<float>(N * D);
    field_.to_shift = arena_.take<float>(R * H);
    field_.to_features = arena_.take<float>(N * F);
  }

  void take_halves() {
    half_ = m_.half;
    bool any = field_.fast;
    for (const Level& l : levels_) any = any || l.fast;
    if (half_ != nullptr || !any) return;
    own_half_ = arena_.take<uint16_t>(total());
    half_ = own_half_;
  }

  bool is_plane(int i) const {
    for (const ProposalShape& p : m_.shape.proposals)
      if (p.planes.parameter == i) return true;
    return i >= m_.shape.planes[0].parameter && i < m_.shape.density;
  }

  int64_t total() const { return m_.offsets[m_.shape.parameters]; }

  const float* weight(int i) const { return m_.at[i]; }

  void* sum(int i, int64_t further = 0) const {
    int64_t at = m_.offsets[i] + further;
    return choices_.deterministic ? static_cast<void*>(fixed_ + at)
                                  : static_cast<void*>(grads_ + at);
  }

  const void* plane(const Planes& planes, bool half) const {
    return half ? static_cast<const void*>(half_ + m_.offsets[planes.parameter])
                : static_cast<const void*>(m_.at[planes.parameter]);
  }

  PlaneSet level_planes(int level, bool half) const {
    const Planes& p = m_.shape.proposals[level].planes;
    PlaneSet set;
    set.scales = 1;
    set.channels = p.channels;
    set.sizes[0] = p.size;
    set.planes[0] = plane(p, half);
    set.half = half;
    return set;
  }

  PlaneSet field_planes(bool half) const {
    PlaneSet set;
    set.scales = m_.shape.scales;
    set.channels = m_.shape.planes[0].channels;
    for (int scale = 0; scale < set.scales; ++scale) {
      set.sizes[scale] = m_.shape.planes[scale].size;
      set.planes[scale] = plane(m_.shape.planes[scale], half);
    }
    set.half = half;
    return set;
  }

  FieldWeights field_weights() const {
    FieldWeights weights;
    for (int i = 0; i < 2; ++i) weights.density[i] = weight(m_.shape.density + i);
    for (int i = 0; i <= m_.shape.colour_layers; ++i)
      weights.colours[i] = weight(m_.shape.colours + i);
    return weights;
  }

  const Parameters& m_;
  const Choices choices_;
  const RaySet rays_;
  const bool learns_;
  Arena& arena_;
  Stream stream_;
  Level levels_[kLevels];
  Field field_;
  const uint16_t* half_ = nullptr;
  uint16_t* own_half_ = nullptr;
  float* grads_ = nullptr;
  int64_t* fixed_ = nullptr;
};

}  // namespace dac::cuda

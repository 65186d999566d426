#include "block.h"

#include <algorithm>
#include <cstring>

namespace dac::cpu {

Bins::Bins(Arena& arena, int rays, int bins) : S(bins), row(padded(bins + 1)) {
  size_t size = static_cast<size_t>(rays) * row;
  for (float** array : {&s, &t, &alpha, &through, &weights, &slope, &to_alpha, &to_weights, &to_tau})
    *array = arena.floats(size);
  x = arena.floats(3 * static_cast<size_t>(row));
}

template <class Encoder>
int Block<Encoder>::best_rays(const ModelShape& m) {
  constexpr int kRows = 192;
  return std::max(1, kRows / m.samples);
}

template <class Encoder>
Block<Encoder>::Block(const Parameters& model, const Networks& networks, int rays, bool learn)
    : model_(model), m_(model.shape), networks_(networks) {
  const int H = padded(m_.hidden), D = padded(1 + m_.geometry);
  const size_t rows = static_cast<size_t>(rays) * m_.samples;
  size_t most_rows = rows;
  int widest = padded(m_.encoder.features());
  for (int level = 0; level < kLevels; ++level) {
    const ProposalShape& p = m_.proposals[level];
    const size_t level_rows = static_cast<size_t>(rays) * p.samples;
    most_rows = std::max(most_rows, level_rows);
    widest = std::max(widest, padded(p.encoder.features()));
    levels[level] = Bins(arena_, rays, p.samples);
    level_encoders_[level] = Encoder(arena_, p.encoder, rays, p.samples, learn);
    level_features_[level] = arena_.floats(level_rows * p.encoder.features());
    level_hidden_[level] = arena_.floats(level_rows * H);
  }
  field = Bins(arena_, rays, m_.samples);
  field_encoder_ = Encoder(arena_, m_.encoder, rays, m_.samples, learn);
  colour_row = padded(3);
  features_ = arena_.floats(rows * padded(m_.encoder.features()));
  hidden_ = arena_.floats(rows * H);
  decoded_ = arena_.floats(rows * D);
  code_ = arena_.floats(static_cast<size_t>(rays) * (kHarmonics + H));
  for (int layer = 0; layer < m_.colour_layers; ++layer)
    colour_hidden_[layer] = arena_.floats(rows * H);
  colours = arena_.floats(rows * colour_row);
  to_colours = arena_.floats(rows * colour_row);
  densities = arena_.floats(most_rows);
  for (float*& buffer : to_hidden_) buffer = arena_.floats(rows * H);
  to_decoded_ = arena_.floats(rows * D);
  to_features_ = arena_.floats(most_rows * widest);
  to_code_ = arena_.floats(H);
}

template <class Encoder>
void Block<Encoder>::begin(const RaySet& rays, int64_t first, int block_rays) {
  rays_ = rays;
  first_ = first;
  count = block_rays;
}

template <class Encoder>
void Block<Encoder>::distances(Bins& bins) {
  for (int r = 0; r < count; ++r) {
    const float* s = bins.s + r * bins.row;
    float* t = bins.t + r * bins.row;
    float near = ray(r)[6], far = ray(r)[7];
    for (int i = 0; i <= bins.S; ++i) t[i] = t_from_s(m_.space.kind, s[i], near, far);
  }
}

template <class Encoder>
void Block<Encoder>::edges(Bins& bins, int level) {
  const float anneal = *rays_.anneal;
  for (int r = 0; r < count; ++r) {
    float* s = bins.s + r * bins.row;
    uint32_t key = 0;
    const uint32_t* row = rays_.key == nullptr ? nullptr : &key;
    if (row != nullptr)
      key = jitter_row(static_cast<uint64_t>(*rays_.key), level,
                       rays_.first + static_cast<uint32_t>(first_ + r));
    if (level == 0) {
      for (int i = 0; i <= bins.S; ++i)
        s[i] = first_edge(i, bins.S, row == nullptr ? 0.5F : jitter(*row, i));
      continue;
    }
    const Bins& before = levels[level - 1];
    float* weights = before.to_tau + r * before.row;  // free until the backward pass
    std::memcpy(weights, before.weights + r * before.row, before.S * sizeof(float));
    if (anneal != 1)
      for (int i = 0; i < before.S; ++i) weights[i] = powf(weights[i], anneal);
    resample({before.S, before.s + r * before.row, weights}, bins.S + 1, row, s);
  }
  distances(bins);
}

template <class Encoder>
void Block<Encoder>::find_midpoints(Bins& bins, int r) {
  const float *o = ray(r), *d = o + 3, *t = bins.t + r * bins.row;
  float *x = bins.x, *y = x + bins.row, *z = y + bins.row;
  // Copies, which stores into x, y and z can't change.
  const Space space = m_.space;
  const float o0 = o[0], o1 = o[1], o2 = o[2], d0 = d[0], d1 = d[1], d2 = d[2];
#pragma GCC ivdep
  for (int i = 0; i < bins.S; ++i) {
    float middle = (t[i] + t[i + 1]) * 0.5F;
    float p[3] = {o0 + middle * d0, o1 + middle * d1, o2 + middle * d2};
    cube_from_world(space, p);
    x[i] = p[0];
    y[i] = p[1];
    z[i] = p[2];
  }
}

// The features of ray r's midpoints, or whatever lies in bins.x.
template <class Encoder>
void Block<Encoder>::encode(const Bins& bins, Encoder& encoder, int r, float* features, int row) {
  const float* x[3] = {bins.x, bins.x + bins.row, bins.x + 2 * bins.row};
  encoder.encode(model_.at, r, x, features + static_cast<ptrdiff_t>(r) * bins.S * row, row);
}

// From logits (S of them, `stride` apart) of one ray to opacities and weights.
template <class Encoder>
void Block<Encoder>::volume(Bins& bins, int r, const float* logits, int stride) {
  const int S = bins.S, at = r * bins.row;
  const float* t = bins.t + at;
  float *alpha = bins.alpha + at, *through = bins.through + at, *w = bins.weights + at;
  float *slope = bins.slope + at, *tau = w;
  for (int i = 0; i < S; ++i) tau[i] = logits[i * stride] - kShift;
  for (int i = 0; i < S; i += kLanes) {
    Vec sigma = exp(load(tau + i)), delta = load(t + i + 1) - load(t + i);
    store(tau + i, sigma * delta);
    store(slope + i, clamp(sigma, kLeastSlope, kMostSlope) * delta);
  }
  double sum = 0;
  for (int i = 0; i < S; ++i) {
    through[i] = static_cast<float>(-sum);
    sum += tau[i];
  }
  for (int i = 0; i < S; i += kLanes) {
    Vec open = exp(load(through + i)), closed = -expm1(-load(tau + i));
    store(through + i, open);
    store(alpha + i, closed);
    store(w + i, open * closed);
  }
}

template <class Encoder>
void Block<Encoder>::forward_level(int level, bool keep) {
  Bins& bins = levels[level];
  const ProposalShape& p = m_.proposals[level];
  const Networks::Proposal& network = networks_.proposals[level];
  const int C = p.encoder.features(), H = padded(m_.hidden), rows = count * p.samples;
  float* logits = densities;
  edges(bins, level);
  for (int r = 0; r < count; ++r) {
    find_midpoints(bins, r);
    encode(bins, level_encoders_[level], r, level_features_[level], C);
  }
  Product product{C, level_features_[level], C, 1, network.first.t.data(), H, nullptr, H};
  if (keep) {
    float* hidden = product.c = level_hidden_[level];
    multiply<Finish::kRelu>(rows, H, product);
    for (int row = 0; row < rows; ++row) {
      Vec total = {};
      for (int j = 0; j < H; j += kLanes)
        total += load(hidden + static_cast<ptrdiff_t>(row) * H + j) * load(network.last.data() + j);
      logits[row] = sum(total);
    }
  } else {
    std::fill_n(logits, rows, 0.0F);
    product.c = logits;
    product.extra = network.last.data();
    multiply<Finish::kDot>(rows, H, product);
  }
  for (int r = 0; r < count; ++r) volume(bins, r, logits + r * p.samples, 1);
}

template <class Encoder>
void Block<Encoder>::backward_level(int level, Networks& to_networks, float* grads) {
  Bins& bins = levels[level];
  const ProposalShape& p = m_.proposals[level];
  const Networks::Proposal& network = networks_.proposals[level];
  Networks::Proposal& to_network = to_networks.proposals[level];
  const int C = p.encoder.features(), H = padded(m_.hidden), rows = count * p.samples;
  float* hidden = level_hidden_[level];
  for (int r = 0; r < count; ++r) {
    const int at = r * bins.row;
    float* to_tau = bins.to_tau + at;
    volume_weights_backward(p.samples, bins.alpha + at, bins.through + at, nullptr,
                            bins.to_weights + at, to_tau);
    for (int i = 0; i < p.samples; ++i) {
      float to_logit = to_tau[i] * bins.slope[at + i];
      float* h = hidden + (static_cast<ptrdiff_t>(r) * p.samples + i) * H;
      for (int j = 0; j < H; j += kLanes) {
        Vec value = load(h + j);
        float* to_last = to_network.last.data() + j;
        store(to_last, load(to_last) + value * to_logit);
        store(h + j, value > 0.0F ? load(network.last.data() + j) * to_logit : Vec{});
      }
    }
  }
  const float* x = level_features_[level];
  multiply<Finish::kAdd>(C, H, {rows, x, 1, C, hidden, H, to_network.first.t.data(), H});
  const int row = padded(C);
  multiply<Finish::kStore>(rows, row, {m_.hidden, hidden, H, 1, network.first.plain.data(), row,
                                       to_features_, row});
  level_encoders_[level].add_gradient(count, to_features_, row, model_.offsets, grads);
}

template <class Encoder>
void Block<Encoder>::sample_field() {
  edges(field, kLevels);
}

template <class Encoder>
void Block<Encoder>::take_samples(const float* s, const float* t) {
  const int edges_count = field.S + 1;
  for (int r = 0; r < count; ++r) {
    std::memcpy(field.s + r * field.row, s + (first_ + r) * edges_count,
                edges_count * sizeof(float));
    std::memcpy(field.t + r * field.row, t + (first_ + r) * edges_count,
                edges_count * sizeof(float));
  }
}

// From the features of all rows.
template <class Encoder>
void Block<Encoder>::decode_density() {
  const int rows = count * field.S, H = padded(m_.hidden), D = padded(1 + m_.geometry);
  const int F = m_.encoder.features();
  multiply<Finish::kRelu>(rows, H, {F, features_, padded(F), 1, networks_.density[0].t.data(), H,
                                    hidden_, H});
  multiply<Finish::kStore>(rows, D, {m_.hidden, hidden_, H, 1, networks_.density[1].t.data(), D,
                                     decoded_, D});
}

// Ray r through the colour network's first layer, where the direction enters.
template <class Encoder>
void Block<Encoder>::decode_colours(int r, const float* direction) {
  const int S = field.S, H = padded(m_.hidden), G = m_.geometry, D = padded(1 + G);
  float *harmonics = code_ + static_cast<ptrdiff_t>(r) * (kHarmonics + H);
  float* code = harmonics + kHarmonics;
  spherical_harmonics(direction[0], direction[1], direction[2], harmonics);
  multiply<Finish::kStore>(1, H, {kHarmonics, harmonics, kHarmonics, 1,
                                  networks_.harmonics.t.data(), H, code, H});
  const ptrdiff_t first = static_cast<ptrdiff_t>(r) * S;
  multiply<Finish::kRelu>(S, H, {G, decoded_ + first * D, D, 1, networks_.geometry.t.data(), H,
                                 colour_hidden_[0] + first * H, H, code});
}

// All rows through its others.
template <class Encoder>
void Block<Encoder>::finish_colours() {
  const int rows = count * field.S, H = padded(m_.hidden), last = m_.colour_layers - 1;
  const std::vector<Layer>& layers = networks_.colours;
  for (int layer = 0; layer < last; ++layer)
    multiply<Finish::kRelu>(rows, H, {m_.hidden, colour_hidden_[layer], H, 1,
                                      layers[layer].t.data(), H, colour_hidden_[layer + 1], H});
  multiply<Finish::kStore>(rows, colour_row, {m_.hidden, colour_hidden_[last], H, 1,
                                              layers[last].t.data(), colour_row, colours,
                                              colour_row});
  for (ptrdiff_t i = 0; i < static_cast<ptrdiff_t>(rows) * colour_row; i += colour_row)
    store(colours + i, sigmoid(load(colours + i)));
}

template <class Encoder>
void Block<Encoder>::forward_field() {
  const int G = m_.geometry, D = padded(1 + G), F = padded(m_.encoder.features());
  for (int r = 0; r < count; ++r) {
    find_midpoints(field, r);
    encode(field, field_encoder_, r, features_, F);
  }
  decode_density();
  for (int r = 0; r < count; ++r) {
    decode_colours(r, ray(r) + 3);
    volume(field, r, decoded_ + static_cast<ptrdiff_t>(r) * field.S * D + G, D);
  }
  finish_colours();
}

template <class Encoder>
void Block<Encoder>::look_at(const Query& query, int64_t first, int n) {
  const int S = field.S, G = m_.geometry, D = padded(1 + G);
  count = (n + S - 1) / S;
  for (int r = 0; r < count; ++r) {
    for (int i = 0; i < S; ++i) {
      const float* at = query.points + (first + std::min(r * S + i, n - 1)) * 3;
      float p[3] = {at[0], at[1], at[2]};
      cube_from_world(m_.space, p);
      for (int axis = 0; axis < 3; ++axis) field.x[axis * field.row + i] = p[axis];
    }
    encode(field, field_encoder_, r, features_, padded(m_.encoder.features()));
  }
  decode_density();
  for (int i = 0; i < n; ++i) densities[i] = decoded_[static_cast<ptrdiff_t>(i) * D + G] - kShift;
  for (int i = 0; i < n; i += kLanes) store(densities + i, exp(load(densities + i)));
  if (query.directions == nullptr) return;
  for (int r = 0; r < count; ++r) decode_colours(r, query.directions + (first / S + r) * 3);
  finish_colours();
}

template <class Encoder>
void Block<Encoder>::backward_field(bool with_alpha, Networks& to_networks, float* grads) {
  const int S = field.S, rows = count * S, H = padded(m_.hidden), G = m_.geometry;
  const int F = padded(m_.encoder.features()), D = padded(1 + G), C = colour_row;
  const Networks& n = networks_;
  for (ptrdiff_t i = 0; i < static_cast<ptrdiff_t>(rows) * C; i += C) {
    Vec c = load(colours + i);
    store(to_colours + i, load(to_colours + i) * c * (1.0F - c));
  }
  // Down the colour network: the slopes of a layer's outputs alternate between two buffers.
  const float* above = to_colours;
  int above_row = C, above_width = 3;
  for (int layer = m_.colour_layers - 1; layer >= 0; --layer) {
    const float* h = colour_hidden_[layer];
    multiply<Finish::kAdd>(m_.hidden, above_row, {rows, h, 1, H, above, above_row,
                                                  to_networks.colours[layer].t.data(), above_row});
    float* below = to_hidden_[layer % 2];
    multiply<Finish::kMask>(rows, H, {above_width, above, above_row, 1,
                                      n.colours[layer].plain.data(), H, below, H, h, H});
    above = below;
    above_row = H;
    above_width = m_.hidden;
  }
  multiply<Finish::kAdd>(G, H, {rows, decoded_, 1, D, above, H, to_networks.geometry.t.data(), H});
  multiply<Finish::kStore>(rows, padded(G), {m_.hidden, above, H, 1, n.geometry.plain.data(),
                                             padded(G), to_decoded_, D});
  for (int r = 0; r < count; ++r) {
    const ptrdiff_t first = static_cast<ptrdiff_t>(r) * S, at = static_cast<ptrdiff_t>(r) * field.row;
    for (int j = 0; j < H; j += kLanes) {
      Vec total = {};
      for (int i = 0; i < S; ++i) total += load(above + (first + i) * H + j);
      store(to_code_ + j, total);
    }
    const float* harmonics = code_ + static_cast<ptrdiff_t>(r) * (kHarmonics + H);
    multiply<Finish::kAdd>(kHarmonics, H, {1, harmonics, 1, kHarmonics, to_code_, H,
                                           to_networks.harmonics.t.data(), H});
    volume_weights_backward(S, field.alpha + at, field.through + at,
                            with_alpha ? field.to_alpha + at : nullptr, field.to_weights + at,
                            field.to_tau + at);
    for (int i = 0; i < S; ++i)
      to_decoded_[(first + i) * D + G] = field.to_tau[at + i] * field.slope[at + i];
  }
  multiply<Finish::kAdd>(m_.hidden, D, {rows, hidden_, 1, H, to_decoded_, D,
                                        to_networks.density[1].t.data(), D});
  float* to_hidden = to_hidden_[1];
  multiply<Finish::kMask>(rows, H, {1 + G, to_decoded_, D, 1, n.density[1].plain.data(), H,
                                    to_hidden, H, hidden_, H});
  multiply<Finish::kAdd>(m_.encoder.features(), H, {rows, features_, 1, F, to_hidden, H,
                                            to_networks.density[0].t.data(), H});
  multiply<Finish::kStore>(rows, F, {m_.hidden, to_hidden, H, 1, n.density[0].plain.data(), F,
                                     to_features_, F});
  field_encoder_.add_gradient(count, to_features_, F, model_.offsets, grads);
}

template class Block<TriPlanes>;

}  // namespace dac::cpu

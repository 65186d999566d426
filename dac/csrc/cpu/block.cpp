#include "block.h"

#include <algorithm>
#include <cstring>

namespace dac {

float* Arena::floats(size_t count) {
  constexpr size_t kLine = 16;
  parts_.emplace_back(count + 2 * kLine, 0.0F);
  auto address = reinterpret_cast<uintptr_t>(parts_.back().data());
  return reinterpret_cast<float*>((address + 63) / 64 * 64);
}

Samples::Samples(Arena& arena, int rays, int samples) : S(samples), row(padded(samples + 1)) {
  size_t size = static_cast<size_t>(rays) * row;
  for (float** array : {&s, &t, &alpha, &through, &weights, &slope, &to_alpha, &to_weights, &to_tau})
    *array = arena.floats(size);
  places = arena.floats(3 * static_cast<size_t>(row));
}

Lookup::Lookup(Arena& arena, int rays, int samples, const Planes& planes, bool keep)
    : grid{planes.size, planes.size, planes.channels}, parameter(planes.parameter) {
  const size_t points = static_cast<size_t>(rays) * kPlanes * samples;
  first = arena.ints(points);
  weight = arena.floats(4 * points);
  if (keep) values = arena.floats(points * planes.channels);
}

int Block::best_rays(const ModelShape& m) {
  constexpr int kRows = 192;
  return std::max(1, kRows / m.samples);
}

Block::Block(const ModelShape& model, const float* const* parameters, const Networks& networks,
             int rays, bool learn)
    : m_(model), parameters_(parameters), networks_(networks) {
  const int H = padded(m_.hidden);
  size_t most_rows = static_cast<size_t>(rays) * m_.samples;
  for (int level = 0; level < kLevels; ++level) {
    const ProposalShape& p = m_.proposals[level];
    size_t rows = static_cast<size_t>(rays) * p.samples;
    most_rows = std::max(most_rows, rows);
    levels[level] = Samples(arena_, rays, p.samples);
    level_lookup_[level] = Lookup(arena_, rays, p.samples, p.planes, learn);
    level_features_[level] = arena_.floats(rows * p.planes.channels);
    level_hidden_[level] = arena_.floats(rows * H);
  }
  field = Samples(arena_, rays, m_.samples);
  for (int scale = 0; scale < m_.scales; ++scale)
    field_lookup_[scale] = Lookup(arena_, rays, m_.samples, m_.planes[scale], learn);
  size_t rows = static_cast<size_t>(rays) * m_.samples;
  colour_row = padded(3);
  features_ = arena_.floats(rows * padded(m_.features()));
  hidden_ = arena_.floats(rows * H);
  decoded_ = arena_.floats(rows * padded(1 + m_.geometry));
  code_ = arena_.floats(static_cast<size_t>(rays) * (kHarmonics + H));
  for (int layer = 0; layer < m_.colour_layers; ++layer)
    colour_hidden_[layer] = arena_.floats(rows * H);
  colours = arena_.floats(rows * colour_row);
  to_colours = arena_.floats(rows * colour_row);
  logits_ = arena_.floats(most_rows);
  for (float*& buffer : to_hidden_) buffer = arena_.floats(rows * H);
  to_decoded_ = arena_.floats(rows * padded(1 + m_.geometry));
  int widest = padded(m_.features());
  for (const ProposalShape& p : m_.proposals) widest = std::max(widest, padded(p.planes.channels));
  to_features_ = arena_.floats(most_rows * widest);
  to_code_ = arena_.floats(H);
}

void Block::begin(const float* rays, int64_t first, int block_rays, const int64_t* key,
                  int64_t before, float anneal) {
  rays_ = rays + first * kRayFloats;
  first_ = first;
  count = block_rays;
  key_ = key;
  before_ = before;
  anneal_ = anneal;
}

void Block::distances(Samples& samples) {
  for (int r = 0; r < count; ++r) {
    const float* s = samples.s + r * samples.row;
    float* t = samples.t + r * samples.row;
    float near = ray(r)[6], far = ray(r)[7];
    for (int i = 0; i <= samples.S; ++i) t[i] = t_from_s(m_.space, s[i], near, far);
  }
}

void Block::edges(Samples& samples, int level) {
  for (int r = 0; r < count; ++r) {
    float* s = samples.s + r * samples.row;
    uint32_t row = key_ == nullptr ? 0
                                   : jitter_row(static_cast<uint64_t>(*key_), level,
                                                static_cast<uint32_t>(before_ + first_ + r));
    if (level == 0) {
      for (int i = 0; i <= samples.S; ++i)
        s[i] = first_edge(i, samples.S, key_ == nullptr ? 0.5F : jitter(row, i));
      continue;
    }
    const Samples& before = levels[level - 1];
    float* weights = before.to_tau + r * before.row;  // free until the backward pass
    std::memcpy(weights, before.weights + r * before.row, before.S * sizeof(float));
    if (anneal_ != 1)
      for (int i = 0; i < before.S; ++i) weights[i] = powf(weights[i], anneal_);
    resample(before.S, before.s + r * before.row, [&](int i) { return weights[i]; }, kPadding,
             samples.S + 1, key_ != nullptr, row, s, 1);
  }
  distances(samples);
}

void Block::find_places(Samples& samples, int r) {
  const float *o = ray(r), *d = o + 3, *t = samples.t + r * samples.row;
  float *x = samples.places, *y = x + samples.row, *z = y + samples.row;
  // Copies, which stores into x, y and z can't change.
  const SpaceKind kind = m_.space;
  const float centre[3] = {m_.centre[0], m_.centre[1], m_.centre[2]};
  const float half[3] = {m_.half[0], m_.half[1], m_.half[2]};
  const float o0 = o[0], o1 = o[1], o2 = o[2], d0 = d[0], d1 = d[1], d2 = d[2];
#pragma GCC ivdep
  for (int i = 0; i < samples.S; ++i) {
    float middle = (t[i] + t[i + 1]) * 0.5F;
    float p[3] = {o0 + middle * d0, o1 + middle * d1, o2 + middle * d2};
    cube_from_world(kind, centre, half, p);
    x[i] = p[0];
    y[i] = p[1];
    z[i] = p[2];
  }
}

void Block::look_up(const Samples& samples, const Lookup& lookup, int r, float* features,
                    int features_row) {
  const float* places[3] = {samples.places, samples.places + samples.row,
                            samples.places + 2 * samples.row};
  const Corners corners = lookup.corners(r, samples.S);
  find_corners(samples.S, places, lookup.grid, corners);
  gather(samples.S, parameters_[lookup.parameter], lookup.grid, corners,
         lookup.values_of(r, samples.S), features, features_row);
}

// From logits (S of them, `stride` apart) of one ray to opacities and weights.
void Block::volume(Samples& samples, int r, const float* logits, int stride) {
  const int S = samples.S, at = r * samples.row;
  const float* t = samples.t + at;
  float *alpha = samples.alpha + at, *through = samples.through + at, *w = samples.weights + at;
  float *slope = samples.slope + at, *tau = w;
  for (int i = 0; i < S; ++i) tau[i] = logits[i * stride] - kShift;
  for (int i = 0; i < S; i += kLanes) {
    Vec sigma = exp(load(tau + i)), delta = load(t + i + 1) - load(t + i);
    store(tau + i, sigma * delta);
    store(slope + i, clamp(sigma, 3.0590232e-07F, 3269017.4F) * delta);  // e^-15, e^15
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

void Block::forward_level(int level, bool keep) {
  Samples& samples = levels[level];
  const ProposalShape& p = m_.proposals[level];
  const Networks::Proposal& network = networks_.proposals[level];
  const int C = p.planes.channels, H = padded(m_.hidden), rows = count * p.samples;
  edges(samples, level);
  for (int r = 0; r < count; ++r) {
    find_places(samples, r);
    look_up(samples, level_lookup_[level], r,
            level_features_[level] + static_cast<ptrdiff_t>(r) * p.samples * C, C);
  }
  Product product{C, level_features_[level], C, 1, network.first.t.data(), H, nullptr, H};
  if (keep) {
    float* hidden = product.c = level_hidden_[level];
    multiply<Finish::kRelu>(rows, H, product);
    for (int row = 0; row < rows; ++row) {
      Vec total = {};
      for (int j = 0; j < H; j += kLanes)
        total += load(hidden + static_cast<ptrdiff_t>(row) * H + j) * load(network.last.data() + j);
      logits_[row] = sum(total);
    }
  } else {
    std::fill_n(logits_, rows, 0.0F);
    product.c = logits_;
    product.extra = network.last.data();
    multiply<Finish::kDot>(rows, H, product);
  }
  for (int r = 0; r < count; ++r) volume(samples, r, logits_ + r * p.samples, 1);
}

void Block::backward_level(int level, Networks& to_networks, const int64_t* offsets, float* grads) {
  Samples& samples = levels[level];
  const ProposalShape& p = m_.proposals[level];
  const Networks::Proposal& network = networks_.proposals[level];
  Networks::Proposal& to_network = to_networks.proposals[level];
  const int C = p.planes.channels, H = padded(m_.hidden), rows = count * p.samples;
  float* hidden = level_hidden_[level];
  for (int r = 0; r < count; ++r) {
    const int at = r * samples.row;
    float* to_tau = samples.to_tau + at;
    volume_weights_backward(p.samples, samples.alpha + at, samples.through + at, nullptr,
                            samples.to_weights + at, to_tau, 1);
    for (int i = 0; i < p.samples; ++i) {
      float to_logit = to_tau[i] * samples.slope[at + i];
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
  scatter_planes(samples, level_lookup_[level], to_features_, row,
                 grads + offsets[p.planes.parameter]);
}

void Block::sample_field() { edges(field, kLevels); }

void Block::take_samples(const float* s, const float* t) {
  const int edges_count = field.S + 1;
  for (int r = 0; r < count; ++r) {
    std::memcpy(field.s + r * field.row, s + (first_ + r) * edges_count,
                edges_count * sizeof(float));
    std::memcpy(field.t + r * field.row, t + (first_ + r) * edges_count,
                edges_count * sizeof(float));
  }
}

void Block::forward_field() {
  const int S = field.S, rows = count * S, H = padded(m_.hidden), G = m_.geometry;
  const int F = padded(m_.features()), D = padded(1 + G);
  for (int r = 0; r < count; ++r) {
    find_places(field, r);
    for (int scale = 0; scale < m_.scales; ++scale)
      look_up(field, field_lookup_[scale], r,
              features_ + static_cast<ptrdiff_t>(r) * S * F + scale * m_.planes[0].channels, F);
  }
  const Networks& n = networks_;
  multiply<Finish::kRelu>(rows, H, {m_.features(), features_, F, 1, n.density[0].t.data(), H,
                                    hidden_, H});
  multiply<Finish::kStore>(rows, D, {m_.hidden, hidden_, H, 1, n.density[1].t.data(), D,
                                     decoded_, D});
  for (int r = 0; r < count; ++r) {
    float *harmonics = code_ + static_cast<ptrdiff_t>(r) * (kHarmonics + H);
    float* code = harmonics + kHarmonics;
    const float* d = ray(r) + 3;
    spherical_harmonics(d[0], d[1], d[2], harmonics);
    multiply<Finish::kStore>(1, H, {kHarmonics, harmonics, kHarmonics, 1, n.harmonics.t.data(), H,
                                    code, H});
    const ptrdiff_t first = static_cast<ptrdiff_t>(r) * S;
    multiply<Finish::kRelu>(S, H, {G, decoded_ + first * D, D, 1, n.geometry.t.data(), H,
                                   colour_hidden_[0] + first * H, H, code});
    volume(field, r, decoded_ + first * D + G, D);
  }
  for (int layer = 0; layer + 1 < m_.colour_layers; ++layer)
    multiply<Finish::kRelu>(rows, H, {m_.hidden, colour_hidden_[layer], H, 1,
                                      n.colours[layer].t.data(), H, colour_hidden_[layer + 1], H});
  const int last = m_.colour_layers - 1;
  multiply<Finish::kStore>(rows, colour_row, {m_.hidden, colour_hidden_[last], H, 1,
                                              n.colours[last].t.data(), colour_row, colours,
                                              colour_row});
  for (ptrdiff_t i = 0; i < static_cast<ptrdiff_t>(rows) * colour_row; i += colour_row)
    store(colours + i, sigmoid(load(colours + i)));
}

void Block::backward_field(bool with_alpha, Networks& to_networks, const int64_t* offsets,
                           float* grads) {
  const int S = field.S, rows = count * S, H = padded(m_.hidden), G = m_.geometry;
  const int F = padded(m_.features()), D = padded(1 + G), C = colour_row;
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
                            field.to_tau + at, 1);
    for (int i = 0; i < S; ++i)
      to_decoded_[(first + i) * D + G] = field.to_tau[at + i] * field.slope[at + i];
  }
  multiply<Finish::kAdd>(m_.hidden, D, {rows, hidden_, 1, H, to_decoded_, D,
                                        to_networks.density[1].t.data(), D});
  float* to_hidden = to_hidden_[1];
  multiply<Finish::kMask>(rows, H, {1 + G, to_decoded_, D, 1, n.density[1].plain.data(), H,
                                    to_hidden, H, hidden_, H});
  multiply<Finish::kAdd>(m_.features(), H, {rows, features_, 1, F, to_hidden, H,
                                            to_networks.density[0].t.data(), H});
  multiply<Finish::kStore>(rows, F, {m_.hidden, to_hidden, H, 1, n.density[0].plain.data(), F,
                                     to_features_, F});
  for (int scale = 0; scale < m_.scales; ++scale)
    scatter_planes(field, field_lookup_[scale],
                   to_features_ + scale * m_.planes[0].channels, F,
                   grads + offsets[m_.planes[scale].parameter]);
}

void Block::scatter_planes(const Samples& samples, const Lookup& lookup, const float* to_features,
                           int features_row, float* to_planes) {
  const int S = samples.S;
  for (int r = 0; r < count; ++r)
    scatter(S, lookup.grid, lookup.corners(r, S), lookup.values_of(r, S),
            to_features + static_cast<ptrdiff_t>(r) * S * features_row, features_row, to_planes);
}

}  // namespace dac

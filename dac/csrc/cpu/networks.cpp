#include "networks.h"

namespace dac::cpu {

void Layer::resize(int in_width, int out_width) {
  in = in_width;
  out = out_width;
  t.assign(static_cast<size_t>(in) * t_row(), 0.0F);
  plain.assign(static_cast<size_t>(out) * plain_row(), 0.0F);
}

void Layer::read(const float* parameter, int width, int skip) {
  for (int o = 0; o < out; ++o)
    for (int i = 0; i < in; ++i)
      t[i * t_row() + o] = plain[o * plain_row() + i] = parameter[o * width + skip + i];
}

namespace {

// Adds a layer's gradient (its `t` form) to the columns from `skip` of a parameter (out, width).
void add_layer(const Layer& layer, int width, int skip, float* to) {
  for (int o = 0; o < layer.out; ++o)
    for (int i = 0; i < layer.in; ++i) to[o * width + skip + i] += layer.t[i * layer.t_row() + o];
}

// Row o of the density network's last parameter is row `reordered(o)` here: logit last.
int reordered(int o, int geometry) { return o == 0 ? geometry : o - 1; }

}  // namespace

Networks::Networks(const ModelShape& m) : colours(m.colour_layers) {
  for (int level = 0; level < kLevels; ++level) {
    proposals[level].first.resize(m.proposals[level].encoder.features(), m.hidden);
    proposals[level].last.assign(padded(m.hidden), 0.0F);
  }
  density[0].resize(m.encoder.features(), m.hidden);
  density[1].resize(m.hidden, 1 + m.geometry);
  harmonics.resize(kHarmonics, m.hidden);
  geometry.resize(m.geometry, m.hidden);
  for (int layer = 0; layer < m.colour_layers; ++layer)
    colours[layer].resize(m.hidden, layer + 1 < m.colour_layers ? m.hidden : 3);
}

Networks::Networks(const ModelShape& m, const float* const* parameters) : Networks(m) {
  for (int level = 0; level < kLevels; ++level) {
    const ProposalShape& shape = m.proposals[level];
    proposals[level].first.read(parameters[shape.weights], shape.encoder.features(), 0);
    const float* last = parameters[shape.weights + 1];
    for (int i = 0; i < m.hidden; ++i) proposals[level].last[i] = last[i];
  }
  density[0].read(parameters[m.density], m.encoder.features(), 0);
  const float* last = parameters[m.density + 1];
  Layer& second = density[1];
  for (int o = 0; o <= m.geometry; ++o)
    for (int i = 0; i < m.hidden; ++i) {
      int row = reordered(o, m.geometry);
      second.t[i * second.t_row() + row] = second.plain[row * second.plain_row() + i] =
          last[o * m.hidden + i];
    }
  harmonics.read(parameters[m.colours], kHarmonics + m.geometry, 0);
  geometry.read(parameters[m.colours], kHarmonics + m.geometry, kHarmonics);
  for (int layer = 0; layer < m.colour_layers; ++layer)
    colours[layer].read(parameters[m.colours + 1 + layer], m.hidden, 0);
}

void Networks::add_to(const ModelShape& m, const int64_t* offsets, bool proposals_too,
                      float* grads) const {
  for (int level = 0; proposals_too && level < kLevels; ++level) {
    const ProposalShape& shape = m.proposals[level];
    add_layer(proposals[level].first, shape.encoder.features(), 0, grads + offsets[shape.weights]);
    float* last = grads + offsets[shape.weights + 1];
    for (int i = 0; i < m.hidden; ++i) last[i] += proposals[level].last[i];
  }
  add_layer(density[0], m.encoder.features(), 0, grads + offsets[m.density]);
  float* last = grads + offsets[m.density + 1];
  for (int o = 0; o <= m.geometry; ++o)
    for (int i = 0; i < m.hidden; ++i)
      last[o * m.hidden + i] += density[1].t[i * density[1].t_row() + reordered(o, m.geometry)];
  float* first = grads + offsets[m.colours];
  add_layer(harmonics, kHarmonics + m.geometry, 0, first);
  add_layer(geometry, kHarmonics + m.geometry, kHarmonics, first);
  for (int layer = 0; layer < m.colour_layers; ++layer)
    add_layer(colours[layer], m.hidden, 0, grads + offsets[m.colours + 1 + layer]);
}

}  // namespace dac::cpu

// The shape of a K-Planes model (hybrid decoder, two proposal levels), and where its parameters lie.
//
// Parameters come in the order of `list(model.parameters())`: for each proposal level its encoder's
// and its two decoder weights; the field's encoder's; the density network's two weights; the colour
// network's weights. A weight is (out, in). In the flat gradient they lie in the same order, each
// start rounded up to kAlign floats.
#pragma once

#include <cstdint>

#include "stages.h"

namespace dac {

constexpr int kMaxScales = 8;
constexpr int kMaxColourLayers = 8;
constexpr int kLevels = 2;
constexpr int kMaxParameters = 3 * kLevels + kMaxScales + 2 + kMaxColourLayers + 1;
constexpr int64_t kAlign = 16;

// Planes of several scales, coarse to fine, each a parameter (3, size, size, channels).
struct TriPlaneShape {
  int scales = 0, channels = 0;
  int sizes[kMaxScales] = {};
  int parameter = 0;  // index of the first in the list

  HD int features() const { return scales * channels; }
  int64_t floats(int scale) const {
    return int64_t{kPlanes} * sizes[scale] * sizes[scale] * channels;
  }
};

struct ProposalShape {
  TriPlaneShape encoder;
  int samples = 0;
  int weights = 0;  // index of its first weight in the list; (hidden, C) and (1, hidden)
};

struct ModelShape {
  ProposalShape proposals[kLevels];
  TriPlaneShape encoder;
  int samples = 0;        // of the field, a ray
  int hidden = 0;         // width of every hidden layer
  int geometry = 0;       // features from the density to the colour network
  int colour_layers = 0;  // hidden layers of the colour network
  int density = 0;        // index of its first weight: (hidden, F), (1 + geometry, hidden)
  int colours = 0;  // index of its first weight: (hidden, 16 + geometry), (hidden, hidden)..., (3, hidden)
  int parameters = 0;  // length of the list
  Space space;
};

// From what Python gives (dac/ops/rays.py): shape = [space kind, samples of level 0, of level 1, of
// the field, hidden, geometry, colour layers, proposal channels, side of level 0, of level 1, field
// channels, sides of the field's planes ...], space = [centre (3), half lengths (3)].
inline ModelShape make_shape(const int64_t* shape, int64_t length, const double* space) {
  auto whole = [&](int64_t i) { return static_cast<int>(shape[i]); };
  ModelShape m;
  m.samples = whole(3);
  m.hidden = whole(4);
  m.geometry = whole(5);
  m.colour_layers = whole(6);
  int next = 0;
  for (int level = 0; level < kLevels; ++level) {
    m.proposals[level] = {{1, whole(7), {whole(8 + level)}, next}, whole(1 + level), next + 1};
    next += 3;
  }
  m.encoder = {static_cast<int>(length - 11), whole(10), {}, next};
  for (int scale = 0; scale < m.encoder.scales; ++scale) m.encoder.sizes[scale] = whole(11 + scale);
  m.density = next + m.encoder.scales;
  m.colours = m.density + 2;
  m.parameters = m.colours + m.colour_layers + 1;
  m.space.kind = static_cast<SpaceKind>(shape[0]);
  for (int axis = 0; axis < 3; ++axis) {
    m.space.centre[axis] = static_cast<float>(space[axis]);
    m.space.half[axis] = static_cast<float>(space[3 + axis]);
  }
  return m;
}

// A model's parameters, and where they lie in the flat gradient.
struct Parameters {
  ModelShape shape;
  const float* at[kMaxParameters] = {};
  int64_t sizes[kMaxParameters] = {};
  int64_t offsets[kMaxParameters + 1] = {};
  const uint16_t* half = nullptr;  // on a GPU: all of them as halves at the same offsets, or null
};

}  // namespace dac

// The shape of a K-Planes model (hybrid decoder, two proposal levels), and where its parameters lie.
//
// Parameters come in the order of `list(model.parameters())`: for each proposal level its planes and
// its two decoder weights; the field's planes, coarse to fine; the density network's two weights; the
// colour network's weights. A plane tensor is (3, N, N, C), channels last; a weight is (out, in).
// In the flat gradient buffer they lie in the same order, each start rounded up to kAlign floats.
#pragma once

#include <cstdint>

#include "stages.h"

namespace dac {

constexpr int kMaxScales = 8;
constexpr int kMaxColourLayers = 8;
constexpr int kLevels = 2;
constexpr int64_t kAlign = 16;

struct Planes {
  int size = 0;      // N
  int channels = 0;  // C
  int parameter = 0;  // index in the list
};

struct ProposalShape {
  Planes planes;
  int samples = 0;
  int weights = 0;  // index of its first weight in the list; (hidden, C) and (1, hidden)
};

struct ModelShape {
  ProposalShape proposals[kLevels];
  int scales = 0;
  Planes planes[kMaxScales];
  int samples = 0;        // of the field, a ray
  int hidden = 0;         // width of every hidden layer
  int geometry = 0;       // features from the density to the colour network
  int colour_layers = 0;  // hidden layers of the colour network
  int density = 0;        // index of its first weight: (hidden, F), (1 + geometry, hidden)
  int colours = 0;  // index of its first weight: (hidden, 16 + geometry), (hidden, hidden)..., (3, hidden)
  int parameters = 0;  // length of the list
  SpaceKind space = SpaceKind::kBox;
  float centre[3] = {0, 0, 0}, half[3] = {1, 1, 1};

  HD int features() const { return scales * planes[0].channels; }
};

// From what Python gives (dac/ops/rays.py): shape = [space kind, samples of level 0, of level 1, of
// the field, hidden, geometry, colour layers, proposal channels, side of level 0, of level 1, field
// channels, sides of the field's planes ...], space = [centre (3), half lengths (3)].
inline ModelShape make_shape(const int64_t* shape, int64_t length, const double* space) {
  ModelShape m;
  m.space = static_cast<SpaceKind>(shape[0]);
  m.samples = static_cast<int>(shape[3]);
  m.hidden = static_cast<int>(shape[4]);
  m.geometry = static_cast<int>(shape[5]);
  m.colour_layers = static_cast<int>(shape[6]);
  int next = 0;
  for (int level = 0; level < kLevels; ++level) {
    ProposalShape& p = m.proposals[level];
    p.samples = static_cast<int>(shape[1 + level]);
    p.planes = {static_cast<int>(shape[8 + level]), static_cast<int>(shape[7]), next};
    p.weights = next + 1;
    next += 3;
  }
  m.scales = static_cast<int>(length - 11);
  for (int scale = 0; scale < m.scales; ++scale)
    m.planes[scale] = {static_cast<int>(shape[11 + scale]), static_cast<int>(shape[10]), next++};
  m.density = next;
  m.colours = next + 2;
  m.parameters = m.colours + m.colour_layers + 1;
  for (int axis = 0; axis < 3; ++axis) {
    m.centre[axis] = static_cast<float>(space[axis]);
    m.half[axis] = static_cast<float>(space[3 + axis]);
  }
  return m;
}

}  // namespace dac

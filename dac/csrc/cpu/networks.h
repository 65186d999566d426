// A model's small networks as the products want them, and room for their gradients.
//
// Notation: H hidden width, F field features, G geometry features, C proposal channels; a trailing
// "_t" marks (in, out), the transpose of the parameter. All rows are padded to whole vectors with
// zeros, so that padding stays zero in every product. The density network's outputs are reordered:
// geometry first, the density's logit last, so that the colour network reads a row's start.
#pragma once

#include <vector>

#include "gemm.h"
#include "model.h"

namespace dac::cpu {

// One layer both ways round.
struct Layer {
  int in = 0, out = 0;
  std::vector<float> t;      // (in, padded out)
  std::vector<float> plain;  // (out, padded in)

  int t_row() const { return padded(out); }
  int plain_row() const { return padded(in); }
  void resize(int in_width, int out_width);
  // From `in` columns, the first at `skip`, of a parameter (out, width).
  void read(const float* parameter, int width, int skip);
};

struct Networks {
  struct Proposal {
    Layer first;
    std::vector<float> last;  // (padded H)
  };
  Proposal proposals[kLevels];
  Layer density[2];
  Layer harmonics, geometry;  // the colour network's first layer, by input
  std::vector<Layer> colours;  // its others

  // Sizes only, all zero: an accumulator for gradients in the `t` forms.
  explicit Networks(const ModelShape& model);
  Networks(const ModelShape& model, const float* const* parameters);
  // Adds the `t` forms to the flat gradient; `offsets` are the parameters' starts in it.
  void add_to(const ModelShape& model, const int64_t* offsets, bool proposals_too,
              float* grads) const;
};

}  // namespace dac::cpu

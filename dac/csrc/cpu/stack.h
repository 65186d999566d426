// A network without biases, of any widths, with ReLU between its layers.
//
// Notation: n rows of a chunk; layer widths D_0 ... D_L. Hidden rows are padded to whole vectors.
#pragma once

#include <vector>

#include "networks.h"
#include "tensor.h"

namespace dac {

// The weights, and a chunk's activations; one a thread.
class Stack {
 public:
  // `weights` (D_{l+1}, D_l), contiguous. `rows` of a chunk at most.
  Stack(const std::vector<Tensor>& weights, int rows);

  int in() const { return layers_.front().in; }
  int out() const { return layers_.back().out; }
  int out_row() const { return layers_.back().t_row(); }

  // Rows x (`x_row` floats apart), run through all layers; row i starts in the first layer from row
  // i / S of `shift` (padded(D_1) floats each) unless it is null, where row `first` counts as i of
  // the first one. Result: rows of out_row() floats, valid until the next call.
  const float* forward(int n, const float* x, int64_t x_row, const float* shift, int64_t first,
                       int64_t S);
  // The slope of the same chunk: adds the weights' to `to_weights` (the `t` forms), the shift's to
  // rows of `to_shift` unless null. `grad` has rows of out_row() floats, zero in the padding; what
  // returns is the slope of x in rows of padded(D_0), valid until the next call, null if not
  // wanted.
  const float* backward(int n, const float* x, int64_t x_row, const float* grad, int64_t first,
                        int64_t S, float* to_shift, bool to_x, std::vector<Layer>& to_weights);

 private:
  int rows_;
  std::vector<Layer> layers_;
  std::vector<std::vector<float>> outputs_;  // of each layer, rows x padded(D_{l+1})
  std::vector<float> slopes_[2];             // rows x the widest layer
};

// Gradients of all groups, added up in their order, as parameters (D_{l+1}, D_l).
std::vector<std::vector<Layer>> make_gradients(const std::vector<Tensor>& weights, int groups);
std::vector<Tensor> sum_gradients(const std::vector<std::vector<Layer>>& groups,
                                  const std::vector<Tensor>& weights);

}  // namespace dac

// What the kernels ask of the tensors they are given.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <vector>

#include "model.h"

namespace dac {

using torch::stable::Tensor;

inline const float* floats(const Tensor& tensor, const char* name) {
  STD_TORCH_CHECK(tensor.scalar_type() == torch::headeronly::ScalarType::Float &&
                      tensor.is_contiguous(),
                  name, " must be contiguous float32");
  return static_cast<const float*>(tensor.data_ptr());
}

inline float* mutable_floats(const Tensor& tensor, const char* name) {
  return const_cast<float*>(floats(tensor, name));
}

inline Tensor new_floats(const Tensor& like, std::vector<int64_t> size) {
  return torch::stable::new_empty(like, size, torch::headeronly::ScalarType::Float);
}

inline ModelShape checked_shape(const std::vector<Tensor>& parameters,
                                const std::vector<int64_t>& shape,
                                const std::vector<double>& space) {
  STD_TORCH_CHECK(shape.size() > 11 && shape.size() <= 11 + kMaxScales && space.size() == 6,
                  "shape and space describe no model");
  ModelShape model = make_shape(shape.data(), static_cast<int64_t>(shape.size()), space.data());
  STD_TORCH_CHECK(model.colour_layers >= 1 && model.colour_layers <= kMaxColourLayers,
                  "the colour network may have 1 to ", kMaxColourLayers, " hidden layers");
  STD_TORCH_CHECK(static_cast<size_t>(model.parameters) == parameters.size(),
                  "the model has ", model.parameters, " parameters, not ", parameters.size());
  return model;
}

// Starts of the parameters in a flat buffer; the last entry is its length.
inline std::vector<int64_t> flat_offsets(const std::vector<Tensor>& parameters) {
  std::vector<int64_t> offsets{0};
  for (const Tensor& parameter : parameters)
    offsets.push_back(offsets.back() + (parameter.numel() + kAlign - 1) / kAlign * kAlign);
  return offsets;
}

}  // namespace dac

// A model's parameters as tensors: what they must be, and where they lie in a flat buffer.
#pragma once

#include <vector>

#include "model.h"
#include "tensor.h"

namespace dac {

inline const float* floats(const Tensor& tensor, const char* name) {
  STD_TORCH_CHECK(tensor.scalar_type() == kFloat && tensor.is_contiguous(), name,
                  " must be contiguous float32");
  return data(tensor);
}

inline float* mutable_floats(const Tensor& tensor, const char* name) {
  return const_cast<float*>(floats(tensor, name));
}

// Floats of each parameter.
inline std::vector<int64_t> parameter_floats(const ModelShape& m) {
  auto planes = [](const Planes& p) { return int64_t{3} * p.size * p.size * p.channels; };
  const int64_t H = m.hidden;
  std::vector<int64_t> sizes;
  for (const ProposalShape& p : m.proposals)
    sizes.insert(sizes.end(), {planes(p.planes), H * p.planes.channels, H});
  for (int scale = 0; scale < m.scales; ++scale) sizes.push_back(planes(m.planes[scale]));
  sizes.insert(sizes.end(), {H * m.features(), (1 + m.geometry) * H});
  sizes.push_back(H * (kHarmonics + m.geometry));
  for (int layer = 1; layer < m.colour_layers; ++layer) sizes.push_back(H * H);
  sizes.push_back(3 * H);
  return sizes;
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
  const std::vector<int64_t> sizes = parameter_floats(model);
  for (size_t i = 0; i < sizes.size(); ++i)
    STD_TORCH_CHECK(parameters[i].numel() == sizes[i], "parameter ", i, " has ",
                    parameters[i].numel(), " numbers, not ", sizes[i]);
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

// What operations need of torch: contiguous float32 memory.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace dac {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// A new tensor. Torch's stable ABI does not say why one can't be had: it is memory, or a kernel before
// that failed, whose error the next call meets again. dac/ops/memory.py knows these words.
inline Tensor new_memory(const Tensor& like, const std::vector<int64_t>& sizes, ScalarType type) {
  try {
    return torch::stable::new_empty(like, sizes, type);
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string("out of memory: ") + error.what());
  }
}

inline Tensor new_floats(const Tensor& like, const std::vector<int64_t>& sizes) {
  return new_memory(like, sizes, ScalarType::Float);
}

inline float* out(const Tensor& x) { return static_cast<float*>(x.data_ptr()); }

}  // namespace dac

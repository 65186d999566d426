// What operations need of torch: contiguous float32 memory, and its pool of threads.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace dac {

using torch::stable::Tensor;

constexpr auto kFloat = torch::headeronly::ScalarType::Float;

// A tensor's values in order; a copy where they don't lie so.
inline Tensor dense(const Tensor& x) {
  STD_TORCH_CHECK(x.scalar_type() == kFloat, "the native kernels compute in float32");
  return x.is_contiguous() ? x : torch::stable::contiguous(x);
}

inline void check_shape(const Tensor& x, std::initializer_list<int64_t> sizes, const char* what) {
  bool fits = x.dim() == static_cast<int64_t>(sizes.size());
  int64_t dim = 0;
  for (int64_t size : sizes) fits = fits && x.size(dim++) == size;
  STD_TORCH_CHECK(fits, what);
}

inline const float* data(const Tensor& x) { return x.const_data_ptr<float>(); }

inline float* out(Tensor& x) { return x.mutable_data_ptr<float>(); }

// A new tensor. Torch's stable ABI does not say why one can't be had: it is memory, or a kernel before
// that failed, whose error the next call meets again. dac/ops/memory.py knows these words.
inline Tensor new_memory(const Tensor& like, std::vector<int64_t> sizes,
                         torch::headeronly::ScalarType type) {
  try {
    return torch::stable::new_empty(like, sizes, type);
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string("out of memory: ") + error.what());
  }
}

inline Tensor new_floats(const Tensor& like, std::vector<int64_t> sizes) {
  return new_memory(like, std::move(sizes), kFloat);
}

inline Tensor empty(const Tensor& like, std::initializer_list<int64_t> sizes) {
  return new_floats(like, sizes);
}

inline Tensor zeros(const Tensor& like, std::vector<int64_t> sizes) {
  Tensor result = new_floats(like, std::move(sizes));
  torch::stable::zero_(result);
  return result;
}

inline Tensor scalar(const Tensor& like, double value) {
  Tensor result = empty(like, {});
  *out(result) = static_cast<float>(value);
  return result;
}

// f(begin, end) over parts of [0, count); a part has `grain` items at least, and the parts' borders
// follow from the number of threads alone.
template <class F>
void parallel(int64_t count, int64_t grain, const F& f) {
  if (count > 0) torch::stable::parallel_for(0, count, grain, f);
}

}  // namespace dac

// What the CUDA operations need of torch, written against its stable ABI.
#pragma once

#include <string>

#include "kernels.h"
#include "parameters.h"

#include <torch/csrc/stable/accelerator.h>

// Absent from a torch without CUDA, beside which the library must load as well.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t, void**);

namespace dac::cuda {

// The device of a tensor, current as long as this lives, and torch's stream on it.
class OnDevice {
 public:
  explicit OnDevice(const Tensor& tensor) : guard_(tensor.get_device_index()) {
    void* stream = nullptr;
    STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream != nullptr &&
                        aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream) == 0,
                    "this torch has no CUDA stream");
    stream_ = static_cast<Stream>(stream);
  }
  Stream stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  Stream stream_ = nullptr;
};

inline float* on_gpu(const Tensor& tensor, const char* name) {
  STD_TORCH_CHECK(tensor.is_cuda(), name, " must be on the GPU");
  return mutable_floats(tensor, name);
}

}  // namespace dac::cuda

// The GPU's operations as torch sees them.
//
// A list of parameters may end with one tensor more: all of them as halves in one flat buffer, each
// at the start that it has in the flat gradient. adam_tv then keeps these fresh, and the other
// operations read them; without it, each call makes halves of the planes anew.
//
// Environment: DAC_CUDA_FLOAT32=1 computes in float32 throughout, without tensor cores;
// DAC_DETERMINISTIC=1 sums gradients in 64-bit fixed point, so that a step gives the same bits each
// time.
#include <cstdlib>
#include <string>

#include "operations.h"
#include "steps.h"

#include <torch/csrc/stable/accelerator.h>

// Absent from a torch without CUDA, beside which the library must load as well.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t, void**);

namespace dac::cuda {
namespace {

bool asked_for(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::string(value) == "1";
}

Choices choices() {
  Choices choices;
  choices.float32 = asked_for("DAC_CUDA_FLOAT32");
  choices.deterministic = asked_for("DAC_DETERMINISTIC");
  return choices;
}

// The device of a tensor, current as long as this lives, and torch's stream on it.
class Gpu {
 public:
  static constexpr bool kGpu = true;

  explicit Gpu(const Tensor& like) : like_(like), guard_(like.get_device_index()) {
    void* stream = nullptr;
    STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream != nullptr &&
                        aoti_torch_get_current_cuda_stream(like.get_device_index(), &stream) == 0,
                    "this torch has no CUDA stream");
    stream_ = static_cast<Stream>(stream);
  }
  int64_t copies() const { return 1; }

  void render(const Parameters& model, const RaySet& rays, const Rendered& out) {
    with_memory([&](Arena& arena) { render_rays(model, choices(), rays, out, arena, stream_); });
  }
  void query(const Parameters& model, const Query& query) {
    with_memory([&](Arena& arena) { query_points(model, choices(), query, arena, stream_); });
  }
  void learn(const Parameters& model, const RaySet& rays, const LearnCall& call) {
    with_memory([&](Arena& arena) { learn_rays(model, choices(), rays, call, arena, stream_); });
  }
  void adam(const AdamSet& set, float* variations, float* norm) {
    const Tensor scratch = new_floats(like_, {adam_scratch(set)});
    adam_tv(set, out(scratch), variations, norm, stream_);
  }

 private:
  // Runs `call(arena)` twice: to count the memory it needs, and with it. The memory comes from
  // torch's allocator on the current stream, which reuses it in the stream's order.
  template <class Call>
  void with_memory(const Call& call) {
    Arena counting(nullptr);
    call(counting);
    const Tensor memory =
        new_memory(like_, {static_cast<int64_t>(counting.used())}, ScalarType::Byte);
    Arena arena(memory.data_ptr());
    call(arena);
  }

  const Tensor& like_;
  torch::stable::accelerator::DeviceGuard guard_;
  Stream stream_ = nullptr;
};

STABLE_TORCH_LIBRARY_IMPL(dac, CUDA, m) { implement<Gpu>(m); }

}  // namespace
}  // namespace dac::cuda

// The CPU's operations as torch sees them.
#include "operations.h"
#include "steps.h"
#include "vec.h"

namespace dac::cpu {
namespace {

struct Cpu {
  static constexpr bool kGpu = false;

  explicit Cpu(const Tensor&) {}
  int64_t copies() const { return torch::stable::get_num_threads(); }

  void render(const Parameters& model, const RaySet& rays, const Rendered& out) {
    render_rays(model, rays, out);
  }
  void query(const Parameters& model, const Query& query) { query_points(model, query); }
  void learn(const Parameters& model, const RaySet& rays, const LearnCall& call) {
    learn_rays(model, rays, call);
  }
  void adam(const AdamSet& set, float* variations, float* norm) { adam_tv(set, variations, norm); }
};

int64_t vector_lanes() { return kLanes; }

STABLE_TORCH_LIBRARY_IMPL(dac, CompositeExplicitAutograd, m) {
  m.impl("vector_lanes", TORCH_BOX(&vector_lanes));
}

STABLE_TORCH_LIBRARY_IMPL(dac, CPU, m) { implement<Cpu>(m); }

}  // namespace
}  // namespace dac::cpu

// Single operations on a GPU, as torch sees them: those that kernels of whole rays do anyway, and
// that are slow in plain torch. The others run in plain torch on a GPU.
#include "binding.h"

namespace dac::cuda {
namespace {

Tensor dense(const Tensor& x) { return x.is_contiguous() ? x : torch::stable::contiguous(x); }

// Planes of several scales with the same channels; `kept` holds what the set points to.
PlaneSet plane_set(const std::vector<Tensor>& planes, std::vector<Tensor>* kept) {
  STD_TORCH_CHECK(!planes.empty() && planes.size() <= kMaxScales, "1 to ", kMaxScales, " scales");
  PlaneSet set;
  set.scales = static_cast<int>(planes.size());
  set.channels = static_cast<int>(planes[0].size(3));
  for (int scale = 0; scale < set.scales; ++scale) {
    const Tensor& p = planes[scale];
    STD_TORCH_CHECK(p.dim() == 4 && p.size(0) == 3 && p.size(1) == p.size(2) && p.size(1) >= 2 &&
                        p.size(3) == set.channels,
                    "on a GPU planes are (3, N, N, C) with one C");
    kept->push_back(dense(p));
    set.sizes[scale] = static_cast<int>(p.size(1));
    set.planes[scale] = on_gpu(kept->back(), "planes");
  }
  return set;
}

Tensor triplane(std::vector<Tensor> planes, Tensor points) {
  OnDevice device(points);
  std::vector<Tensor> kept;
  const PlaneSet set = plane_set(planes, &kept);
  Tensor at = dense(points);
  const int64_t N = at.size(0);
  Tensor features = new_floats(at, {N, static_cast<int64_t>(set.scales) * set.channels});
  gather(set, N, on_gpu(at, "points"), on_gpu(features, "features"), device.stream());
  return features;
}

std::vector<Tensor> triplane_backward(Tensor grad, std::vector<Tensor> planes, Tensor points) {
  OnDevice device(points);
  std::vector<Tensor> kept, result;
  const PlaneSet set = plane_set(planes, &kept);
  PlaneSums sums;
  for (int scale = 0; scale < set.scales; ++scale) {
    const int64_t side = set.sizes[scale];
    std::vector<int64_t> size{3, side, side, set.channels};
    result.push_back(torch::stable::new_zeros(kept[scale], size));
    sums.to[scale] = on_gpu(result.back(), "a gradient");
  }
  Tensor at = dense(points), slopes = dense(grad);
  scatter(set, sums, at.size(0), on_gpu(at, "points"), on_gpu(slopes, "a gradient"), false,
          device.stream());
  return result;
}

std::tuple<Tensor, Tensor> weights_op(Tensor sigma_in, Tensor delta_in) {
  OnDevice device(sigma_in);
  Tensor sigma = dense(sigma_in), delta = dense(delta_in);
  const int64_t R = sigma.size(0), S = sigma.size(1);
  Tensor alpha = new_floats(sigma, {R, S}), weights = new_floats(sigma, {R, S});
  volume_weights(R, static_cast<int>(S), on_gpu(sigma, "sigma"), on_gpu(delta, "delta"),
                 on_gpu(alpha, "alpha"), on_gpu(weights, "weights"), device.stream());
  return {alpha, weights};
}

std::tuple<Tensor, Tensor> weights_backward_op(Tensor to_alpha_in, Tensor to_weights_in,
                                               Tensor sigma_in, Tensor delta_in, bool delta_too) {
  OnDevice device(sigma_in);
  Tensor to_alpha = dense(to_alpha_in), to_weights = dense(to_weights_in);
  Tensor sigma = dense(sigma_in), delta = dense(delta_in);
  const int64_t R = sigma.size(0), S = sigma.size(1);
  Tensor to_sigma = new_floats(sigma, {R, S}), to_delta = new_floats(sigma, {delta_too ? R : 0, S});
  volume_weights_backward(R, static_cast<int>(S), on_gpu(to_alpha, "a gradient"),
                          on_gpu(to_weights, "a gradient"), on_gpu(sigma, "sigma"),
                          on_gpu(delta, "delta"), on_gpu(to_sigma, "a gradient"),
                          delta_too ? on_gpu(to_delta, "a gradient") : nullptr, device.stream());
  return {to_sigma, to_delta};
}

STABLE_TORCH_LIBRARY_IMPL(dac, CUDA, m) {
  m.impl("triplane", TORCH_BOX(&triplane));
  m.impl("triplane_backward", TORCH_BOX(&triplane_backward));
  m.impl("volume_weights", TORCH_BOX(&weights_op));
  m.impl("volume_weights_backward", TORCH_BOX(&weights_backward_op));
}

}  // namespace
}  // namespace dac::cuda

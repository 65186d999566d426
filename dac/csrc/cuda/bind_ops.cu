// Single operations on a GPU, as torch sees them. Networks are absent: plain torch multiplies
// matrices by the GPU maker's own kernels.
#include "binding.h"

namespace dac::cuda {
namespace {

constexpr char kBins[] = "sigma, delta, alpha and weights are (R, S)";
constexpr char kEdges[] = "edges are (R, S+1) where weights are (R, S), S at least 1";
constexpr char kValues[] = "values are (R, S, D) where weights are (R, S)";
constexpr char kColours[] = "colours are (R, S, 3) where weights are (R, S)";
constexpr char kSlopes[] = "a gradient is as large as what it is of";

int as_int(int64_t x) {
  STD_TORCH_CHECK(x < int64_t{1} << 31, "a row is too large");
  return static_cast<int>(x);
}

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
    result.push_back(zeros(kept[scale], size));
    sums.to[scale] = on_gpu(result.back(), "a gradient");
  }
  Tensor at = dense(points), slopes = dense(grad);
  scatter(set, sums, at.size(0), on_gpu(at, "points"), on_gpu(slopes, "a gradient"), false,
          device.stream());
  return result;
}

void check_bins(const Tensor& sigma, const Tensor& delta) {
  STD_TORCH_CHECK(sigma.dim() == 2, kBins);
  check_shape(delta, {sigma.size(0), sigma.size(1)}, kBins);
}

std::tuple<Tensor, Tensor> weights_op(Tensor sigma_in, Tensor delta_in) {
  OnDevice device(sigma_in);
  Tensor sigma = dense(sigma_in), delta = dense(delta_in);
  check_bins(sigma, delta);
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
  check_bins(sigma, delta);
  check_bins(sigma, to_alpha);
  check_bins(sigma, to_weights);
  const int64_t R = sigma.size(0), S = sigma.size(1);
  Tensor to_sigma = new_floats(sigma, {R, S}), to_delta = new_floats(sigma, {delta_too ? R : 0, S});
  volume_weights_backward(R, static_cast<int>(S), on_gpu(to_alpha, "a gradient"),
                          on_gpu(to_weights, "a gradient"), on_gpu(sigma, "sigma"),
                          on_gpu(delta, "delta"), on_gpu(to_sigma, "a gradient"),
                          delta_too ? on_gpu(to_delta, "a gradient") : nullptr, device.stream());
  return {to_sigma, to_delta};
}

// ---- Sums of weights and values ----

void check_values(const Tensor& weights, const Tensor& values) {
  STD_TORCH_CHECK(values.dim() == 3, kValues);
  check_shape(weights, {values.size(0), values.size(1)}, kValues);
}

Tensor composite_op(const Tensor& weights_in, const Tensor& values_in) {
  OnDevice device(values_in);
  Tensor weights = dense(weights_in), values = dense(values_in);
  check_values(weights, values);
  const int64_t R = values.size(0), S = values.size(1), D = values.size(2);
  Tensor result = empty(values, {R, D});
  composite_values(R, as_int(S), as_int(D), on_gpu(weights, "weights"), on_gpu(values, "values"),
                   on_gpu(result, "the result"), device.stream());
  return result;
}

std::tuple<Tensor, Tensor> composite_backward_op(const Tensor& grad_in, const Tensor& weights_in,
                                                 const Tensor& values_in) {
  OnDevice device(values_in);
  Tensor grad = dense(grad_in), weights = dense(weights_in), values = dense(values_in);
  check_values(weights, values);
  const int64_t R = values.size(0), S = values.size(1), D = values.size(2);
  check_shape(grad, {R, D}, kSlopes);
  Tensor to_weights = empty(values, {R, S}), to_values = empty(values, {R, S, D});
  composite_values_backward(R, as_int(S), as_int(D), on_gpu(grad, "a gradient"),
                            on_gpu(weights, "weights"), on_gpu(values, "values"),
                            on_gpu(to_weights, "a gradient"), on_gpu(to_values, "a gradient"),
                            device.stream());
  return {to_weights, to_values};
}

// ---- Histograms ----

// (R, S) of weights beside their edges.
void check_histogram(const Tensor& edges, const Tensor& weights) {
  STD_TORCH_CHECK(weights.dim() == 2 && weights.size(1) > 0, kEdges);
  check_shape(edges, {weights.size(0), weights.size(1) + 1}, kEdges);
}

Tensor resample_op(const Tensor& edges_in, const Tensor& weights_in, const Tensor& u_in,
                   double padding) {
  OnDevice device(u_in);
  Tensor edges = dense(edges_in), weights = dense(weights_in), u = dense(u_in);
  check_histogram(edges, weights);
  STD_TORCH_CHECK(u.dim() == 2 && u.size(0) == weights.size(0), "levels are (R, T)");
  const int64_t R = u.size(0), T = u.size(1);
  Tensor result = empty(u, {R, T});
  resample_at(R, as_int(weights.size(1)), as_int(T), on_gpu(edges, "edges"),
              on_gpu(weights, "weights"), on_gpu(u, "levels"), static_cast<float>(padding),
              on_gpu(result, "the result"), device.stream());
  return result;
}

Tensor distortion_op(const Tensor& s_in, const Tensor& weights_in) {
  OnDevice device(weights_in);
  Tensor s = dense(s_in), weights = dense(weights_in);
  check_histogram(s, weights);
  const int64_t R = weights.size(0);
  Tensor terms = empty(weights, {R}), result = empty(weights, {});
  distortion_loss(R, as_int(weights.size(1)), on_gpu(s, "edges"), on_gpu(weights, "weights"),
                  on_gpu(terms, "terms"), on_gpu(result, "the result"), device.stream());
  return result;
}

Tensor distortion_backward_op(const Tensor& grad_in, const Tensor& s_in,
                              const Tensor& weights_in) {
  OnDevice device(weights_in);
  Tensor s = dense(s_in), weights = dense(weights_in), grad = dense(grad_in);
  check_histogram(s, weights);
  const int64_t R = weights.size(0), S = weights.size(1);
  Tensor result = zeros(weights, {R, S});
  distortion_loss_backward(R, as_int(S), on_gpu(grad, "a gradient"), on_gpu(s, "edges"),
                           on_gpu(weights, "weights"), on_gpu(result, "a gradient"),
                           device.stream());
  return result;
}

Histograms histograms(const Tensor& s, const Tensor& weights, const Tensor& s_coarse,
                      const Tensor& coarse) {
  check_histogram(s, weights);
  check_histogram(s_coarse, coarse);
  STD_TORCH_CHECK(s.size(0) == s_coarse.size(0), "both histograms have R rays");
  return {weights.size(0),        as_int(weights.size(1)),    as_int(coarse.size(1)),
          on_gpu(s, "edges"),     on_gpu(weights, "weights"), on_gpu(s_coarse, "edges"),
          on_gpu(coarse, "weights")};
}

Tensor histogram_op(const Tensor& s_in, const Tensor& weights_in, const Tensor& s_coarse_in,
                    const Tensor& coarse_in, double eps) {
  OnDevice device(weights_in);
  Tensor s = dense(s_in), weights = dense(weights_in);
  Tensor s_coarse = dense(s_coarse_in), coarse = dense(coarse_in);
  const Histograms of = histograms(s, weights, s_coarse, coarse);
  Tensor terms = empty(weights, {of.R}), result = empty(weights, {});
  histogram_loss(of, static_cast<float>(eps), on_gpu(terms, "terms"),
                 on_gpu(result, "the result"), device.stream());
  return result;
}

Tensor histogram_backward_op(const Tensor& grad_in, const Tensor& s_in, const Tensor& weights_in,
                             const Tensor& s_coarse_in, const Tensor& coarse_in, double eps) {
  OnDevice device(weights_in);
  Tensor s = dense(s_in), weights = dense(weights_in), grad = dense(grad_in);
  Tensor s_coarse = dense(s_coarse_in), coarse = dense(coarse_in);
  const Histograms of = histograms(s, weights, s_coarse, coarse);
  Tensor steps = empty(weights, {of.R, of.P + 1}), result = zeros(weights, {of.R, of.P});
  histogram_loss_backward(of, static_cast<float>(eps), on_gpu(grad, "a gradient"),
                          on_gpu(steps, "steps"), on_gpu(result, "a gradient"), device.stream());
  return result;
}

// The edges of both, without weights.
Histograms edges_of(const Tensor& s, const Tensor& s_coarse) {
  STD_TORCH_CHECK(s.dim() == 2 && s_coarse.dim() == 2 && s.size(0) == s_coarse.size(0) &&
                      s.size(1) > 0 && s_coarse.size(1) > 1,
                  kEdges);
  Histograms of;
  of.R = s.size(0);
  of.S = as_int(s.size(1) - 1);
  of.P = as_int(s_coarse.size(1) - 1);
  of.s = on_gpu(s, "edges");
  of.s_coarse = on_gpu(s_coarse, "edges");
  return of;
}

Tensor outer_bound_op(const Tensor& s_in, const Tensor& s_coarse_in, const Tensor& coarse_in) {
  OnDevice device(s_in);
  Tensor s = dense(s_in), s_coarse = dense(s_coarse_in), coarse = dense(coarse_in);
  check_histogram(s_coarse, coarse);
  Histograms of = edges_of(s, s_coarse);
  of.coarse = on_gpu(coarse, "weights");
  Tensor result = empty(s, {of.R, of.S});
  outer_bound(of, on_gpu(result, "the result"), device.stream());
  return result;
}

Tensor outer_bound_backward_op(const Tensor& grad_in, const Tensor& s_in,
                               const Tensor& s_coarse_in) {
  OnDevice device(s_in);
  Tensor s = dense(s_in), s_coarse = dense(s_coarse_in), grad = dense(grad_in);
  const Histograms of = edges_of(s, s_coarse);
  check_shape(grad, {of.R, of.S}, kSlopes);
  Tensor result = empty(s, {of.R, of.P});
  outer_bound_backward(of, on_gpu(grad, "a gradient"), on_gpu(result, "a gradient"),
                       device.stream());
  return result;
}

// ---- Total variation ----

void check_planes(const Tensor& planes) {
  STD_TORCH_CHECK(
      planes.dim() == 4 && planes.size(0) == 3 && planes.size(1) >= 2 && planes.size(2) >= 2,
      "planes are (3, H, W, C) with H and W at least 2");
}

Tensor plane_tv_op(const Tensor& planes_in) {
  OnDevice device(planes_in);
  Tensor planes = dense(planes_in);
  check_planes(planes);
  Tensor scratch = empty(planes, {sum_scratch(planes.numel())}), result = empty(planes, {});
  plane_tv(planes.size(0), planes.size(1), planes.size(2), planes.size(3),
           on_gpu(planes, "planes"), on_gpu(scratch, "sums"), on_gpu(result, "the result"),
           device.stream());
  return result;
}

Tensor plane_tv_backward_op(const Tensor& grad_in, const Tensor& planes_in) {
  OnDevice device(planes_in);
  Tensor planes = dense(planes_in), grad = dense(grad_in);
  check_planes(planes);
  const int64_t P = planes.size(0), H = planes.size(1), W = planes.size(2), C = planes.size(3);
  Tensor result = empty(planes, {P, H, W, C});
  plane_tv_backward(P, H, W, C, on_gpu(grad, "a gradient"), on_gpu(planes, "planes"),
                    on_gpu(result, "a gradient"), device.stream());
  return result;
}

// ---- Differences between a student's samples and an expert's ----

// What such a loss sums and divides by: all numbers, or three for each weight.
struct Difference {
  Tensor student, expert;
  std::optional<Tensor> weights;
  double divisor;

  Difference(const Tensor& student_in, const Tensor& expert_in,
             const std::optional<Tensor>& weights_in)
      : student(dense(student_in)), expert(dense(expert_in)) {
    bool fits = student.dim() == expert.dim();
    for (int64_t dim = 0; fits && dim < student.dim(); ++dim)
      fits = student.size(dim) == expert.size(dim);
    STD_TORCH_CHECK(fits, "student and expert have the same samples");
    divisor = static_cast<double>(student.numel());
    if (!weights_in.has_value()) return;
    weights = dense(*weights_in);
    STD_TORCH_CHECK(weights->dim() == 2, kColours);
    check_shape(student, {weights->size(0), weights->size(1), 3}, kColours);
    divisor = static_cast<double>(3 * student.size(0));
  }

  const float* weight() const { return weights ? on_gpu(*weights, "weights") : nullptr; }
};

Tensor colour_loss_op(const Tensor& student, const Tensor& expert,
                      const std::optional<Tensor>& weights) {
  OnDevice device(student);
  const Difference of(student, expert, weights);
  const int64_t count = of.student.numel();
  Tensor scratch = empty(student, {sum_scratch(count)}), result = empty(student, {});
  squared_loss(count, on_gpu(of.student, "the student"), on_gpu(of.expert, "the expert"),
               of.weight(), of.divisor, on_gpu(scratch, "sums"), on_gpu(result, "the result"),
               device.stream());
  return result;
}

Tensor colour_loss_backward_op(const Tensor& grad_in, const Tensor& student, const Tensor& expert,
                               const std::optional<Tensor>& weights) {
  OnDevice device(student);
  const Difference of(student, expert, weights);
  Tensor grad = dense(grad_in);
  std::vector<int64_t> sizes(student.sizes().begin(), student.sizes().end());
  Tensor result = new_floats(student, sizes);
  squared_loss_backward(student.numel(), on_gpu(grad, "a gradient"),
                        on_gpu(of.student, "the student"), on_gpu(of.expert, "the expert"),
                        of.weight(), of.divisor, on_gpu(result, "a gradient"), device.stream());
  return result;
}

Tensor alpha_loss_op(const Tensor& student, const Tensor& expert) {
  return colour_loss_op(student, expert, std::nullopt);
}

Tensor alpha_loss_backward_op(const Tensor& grad, const Tensor& student, const Tensor& expert) {
  return colour_loss_backward_op(grad, student, expert, std::nullopt);
}

STABLE_TORCH_LIBRARY_IMPL(dac, CUDA, m) {
  m.impl("triplane", TORCH_BOX(&triplane));
  m.impl("triplane_backward", TORCH_BOX(&triplane_backward));
  m.impl("volume_weights", TORCH_BOX(&weights_op));
  m.impl("volume_weights_backward", TORCH_BOX(&weights_backward_op));
  m.impl("composite", TORCH_BOX(&composite_op));
  m.impl("composite_backward", TORCH_BOX(&composite_backward_op));
  m.impl("resample", TORCH_BOX(&resample_op));
  m.impl("distortion_loss", TORCH_BOX(&distortion_op));
  m.impl("distortion_loss_backward", TORCH_BOX(&distortion_backward_op));
  m.impl("histogram_loss", TORCH_BOX(&histogram_op));
  m.impl("histogram_loss_backward", TORCH_BOX(&histogram_backward_op));
  m.impl("outer_bound", TORCH_BOX(&outer_bound_op));
  m.impl("outer_bound_backward", TORCH_BOX(&outer_bound_backward_op));
  m.impl("plane_tv", TORCH_BOX(&plane_tv_op));
  m.impl("plane_tv_backward", TORCH_BOX(&plane_tv_backward_op));
  m.impl("alpha_loss", TORCH_BOX(&alpha_loss_op));
  m.impl("alpha_loss_backward", TORCH_BOX(&alpha_loss_backward_op));
  m.impl("colour_loss", TORCH_BOX(&colour_loss_op));
  m.impl("colour_loss_backward", TORCH_BOX(&colour_loss_backward_op));
}

}  // namespace
}  // namespace dac::cuda

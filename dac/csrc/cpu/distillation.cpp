// Differences between a student's samples and an expert's.
//
// Notation: R rays, S bins; n numbers in all; blocks of kBlock numbers, whose sums are added in
// order.
#include "tensor.h"
#include "vec.h"

namespace dac::cpu {
namespace {

constexpr int64_t kBlock = 4096;
constexpr char kColours[] = "colours are (R, S, 3) where weights are (R, S)";

// The sum of `weight(i) (a[i] - b[i])^2` over [0, n), the same whatever the number of threads.
template <class Weight>
double squared(int64_t n, const float* a, const float* b, const Weight& weight) {
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  std::vector<double> sums(blocks);
  parallel(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      float lanes[kLanes] = {};
      int64_t i = block * kBlock, stop = std::min(n, i + kBlock);
      for (; i + kLanes <= stop; i += kLanes)
        for (int lane = 0; lane < kLanes; ++lane) {
          float d = a[i + lane] - b[i + lane];
          lanes[lane] += weight(i + lane) * d * d;
        }
      double total = 0;
      for (; i < stop; ++i) total += weight(i) * (a[i] - b[i]) * (a[i] - b[i]);
      for (float lane : lanes) total += lane;
      sums[block] = total;
    }
  });
  double total = 0;
  for (double each : sums) total += each;
  return total;
}

template <class Weight>
void slopes(int64_t n, const float* a, const float* b, const Weight& weight, float* to) {
  parallel(n, kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = weight(i) * (a[i] - b[i]);
  });
}

void check(const Tensor& student, const Tensor& expert) {
  bool fits = student.dim() == expert.dim();
  for (int64_t dim = 0; fits && dim < student.dim(); ++dim)
    fits = student.size(dim) == expert.size(dim);
  STD_TORCH_CHECK(fits, "student and expert have the same samples");
}

Tensor like(const Tensor& x) {
  std::vector<int64_t> sizes(x.sizes().begin(), x.sizes().end());
  return new_floats(x, sizes);
}

Tensor alpha_loss(const Tensor& student_in, const Tensor& expert_in) {
  Tensor student = dense(student_in), expert = dense(expert_in);
  check(student, expert);
  const int64_t n = student.numel();
  double total = squared(n, data(student), data(expert), [](int64_t) { return 1.0F; });
  return scalar(student, total / static_cast<double>(n));
}

Tensor alpha_loss_backward(const Tensor& grad_in, const Tensor& student_in,
                           const Tensor& expert_in) {
  Tensor student = dense(student_in), expert = dense(expert_in), grad = dense(grad_in);
  check(student, expert);
  const int64_t n = student.numel();
  Tensor result = like(student);
  const float scale = 2 * *data(grad) / static_cast<float>(n);
  slopes(n, data(student), data(expert), [=](int64_t) { return scale; }, out(result));
  return result;
}

// Without weights the mean over all numbers; with them the sum along each ray of w times a colour's
// mean, mean over rays.
Tensor colour_loss(const Tensor& student_in, const Tensor& expert_in,
                   const std::optional<Tensor>& weights_in) {
  if (!weights_in.has_value()) return alpha_loss(student_in, expert_in);
  Tensor student = dense(student_in), expert = dense(expert_in), weights = dense(*weights_in);
  check(student, expert);
  check_shape(student, {weights.size(0), weights.size(1), 3}, kColours);
  const float* w = data(weights);
  double total =
      squared(student.numel(), data(student), data(expert), [=](int64_t i) { return w[i / 3]; });
  return scalar(student, total / static_cast<double>(3 * student.size(0)));
}

Tensor colour_loss_backward(const Tensor& grad_in, const Tensor& student_in,
                            const Tensor& expert_in, const std::optional<Tensor>& weights_in) {
  if (!weights_in.has_value()) return alpha_loss_backward(grad_in, student_in, expert_in);
  Tensor student = dense(student_in), expert = dense(expert_in), weights = dense(*weights_in);
  check(student, expert);
  check_shape(student, {weights.size(0), weights.size(1), 3}, kColours);
  Tensor grad = dense(grad_in), result = like(student);
  const float scale = 2 * *data(grad) / static_cast<float>(3 * student.size(0));
  const float* w = data(weights);
  slopes(
      student.numel(), data(student), data(expert), [=](int64_t i) { return scale * w[i / 3]; },
      out(result));
  return result;
}

}  // namespace
}  // namespace dac::cpu

STABLE_TORCH_LIBRARY_IMPL(dac, CPU, m) {
  m.impl("alpha_loss", TORCH_BOX(&dac::cpu::alpha_loss));
  m.impl("alpha_loss_backward", TORCH_BOX(&dac::cpu::alpha_loss_backward));
  m.impl("colour_loss", TORCH_BOX(&dac::cpu::colour_loss));
  m.impl("colour_loss_backward", TORCH_BOX(&dac::cpu::colour_loss_backward));
}

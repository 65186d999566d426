// Small networks at any rows, and their gradient.
#include "stack.h"

#include <memory>

#include "triplane.h"

namespace dac {

namespace {

std::vector<Layer> shape_layers(const std::vector<Tensor>& weights) {
  std::vector<Layer> layers(weights.size());
  for (size_t l = 0; l < weights.size(); ++l)
    layers[l].resize(static_cast<int>(weights[l].size(1)), static_cast<int>(weights[l].size(0)));
  return layers;
}

// Rows of `width` floats, from and to memory whose rows lie some floats apart.
void copy_rows(int64_t n, int width, const float* from, int64_t from_row, float* to,
               int64_t to_row) {
  for (int64_t i = 0; i < n; ++i) std::copy_n(from + i * from_row, width, to + i * to_row);
}

}  // namespace

Stack::Stack(const std::vector<Tensor>& weights, int rows)
    : rows_(rows), layers_(shape_layers(weights)) {
  int widest = layers_.front().plain_row();
  for (size_t l = 0; l < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    layer.read(data(weights[l]), layer.in, 0);
    outputs_.emplace_back(static_cast<size_t>(rows) * layer.t_row());
    widest = std::max(widest, layer.t_row());
  }
  for (auto& slopes : slopes_) slopes.resize(static_cast<size_t>(rows) * widest);
}

const float* Stack::forward(int n, const float* x, int64_t x_row, const float* shift, int64_t first,
                            int64_t S) {
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    const int row = layer.t_row();
    float* to = outputs_[l].data();
    // Rows of one ray start from the same shift, so they are multiplied together.
    for (int i = 0; i < n;) {
      const bool shifted = l == 0 && shift != nullptr;
      int64_t ray = shifted ? (first + i) / S : 0;
      int64_t left = shifted ? (ray + 1) * S - first - i : n;
      int count = static_cast<int>(std::min<int64_t>(n - i, left));
      Product p{layer.in, x + i * x_row, x_row, 1, layer.t.data(), row, to + int64_t{i} * row, row,
                shifted ? shift + ray * row : nullptr};
      if (l + 1 < layers_.size())
        multiply<Finish::kRelu>(count, row, p);
      else
        multiply<Finish::kStore>(count, row, p);
      i += count;
    }
    x = to;
    x_row = row;
  }
  return x;
}

const float* Stack::backward(int n, const float* x, int64_t x_row, const float* grad, int64_t first,
                             int64_t S, float* to_shift, bool to_x,
                             std::vector<Layer>& to_weights) {
  for (int l = static_cast<int>(layers_.size()) - 1; l >= 0; --l) {
    const Layer& layer = layers_[l];
    const int row = layer.t_row();
    const float* input = l == 0 ? x : outputs_[l - 1].data();
    const int64_t input_row = l == 0 ? x_row : layers_[l - 1].t_row();
    multiply<Finish::kAdd>(layer.in, row, {n, input, 1, input_row, grad, row,
                                           to_weights[l].t.data(), row});
    if (l == 0 && to_shift != nullptr)
      for (int i = 0; i < n; ++i) {
        float* to = to_shift + (first + i) / S * layer.out;
        for (int c = 0; c < layer.out; ++c) to[c] += grad[int64_t{i} * row + c];
      }
    if (l == 0 && !to_x) return nullptr;
    float* to = slopes_[l % 2].data();
    const int in_row = layer.plain_row();
    Product p{layer.out, grad, row, 1, layer.plain.data(), in_row, to, in_row};
    if (l == 0) {
      multiply<Finish::kStore>(n, in_row, p);
    } else {
      p.extra = input;
      p.extra_row = input_row;
      multiply<Finish::kMask>(n, in_row, p);
    }
    grad = to;
  }
  return grad;
}

std::vector<std::vector<Layer>> make_gradients(const std::vector<Tensor>& weights, int groups) {
  return std::vector<std::vector<Layer>>(groups, shape_layers(weights));
}

std::vector<Tensor> sum_gradients(const std::vector<std::vector<Layer>>& groups,
                                  const std::vector<Tensor>& weights) {
  std::vector<Tensor> result;
  for (size_t l = 0; l < weights.size(); ++l) {
    Layer total = groups[0][l];
    for (size_t g = 1; g < groups.size(); ++g)
      for (size_t i = 0; i < total.t.size(); ++i) total.t[i] += groups[g][l].t[i];
    result.push_back(empty(weights[l], {total.out, total.in}));
    float* to = out(result.back());
    for (int o = 0; o < total.out; ++o)
      for (int i = 0; i < total.in; ++i) to[o * total.in + i] = total.t[i * total.t_row() + o];
  }
  return result;
}

namespace cpu {
namespace {

// The shift's rows padded to whole vectors; empty without one.
std::vector<float> pad_shift(const std::optional<Tensor>& shift) {
  if (!shift.has_value()) return {};
  const int width = static_cast<int>(shift->size(1));
  std::vector<float> result(shift->size(0) * padded(width), 0.0F);
  copy_rows(shift->size(0), width, data(*shift), width, result.data(), padded(width));
  return result;
}

void check_weights(int64_t width, const std::vector<Tensor>& weights) {
  STD_TORCH_CHECK(!weights.empty(), "a network has weights");
  for (const Tensor& weight : weights) {
    STD_TORCH_CHECK(weight.dim() == 2 && weight.size(1) == width,
                    "a weight's columns are not the width of its input");
    width = weight.size(0);
  }
}

void check(const Tensor& x, const std::vector<Tensor>& weights,
           const std::optional<Tensor>& shift) {
  STD_TORCH_CHECK(x.dim() == 2, "a network takes rows (N, D_0)");
  check_weights(x.size(1), weights);
  if (shift.has_value())
    STD_TORCH_CHECK(shift->dim() == 2 && shift->size(1) == weights[0].size(0) &&
                        (shift->size(0) == 0 ? x.size(0) == 0 : x.size(0) % shift->size(0) == 0),
                    "the shift has no row for each ray");
}

void check_density(const std::vector<Scale>& scales, const std::vector<Tensor>& weights) {
  check_weights(count_features(scales), weights);
  STD_TORCH_CHECK(weights.back().size(0) == 1, "a density's network gives one number");
}

std::optional<Tensor> dense(const std::optional<Tensor>& x) {
  return x.has_value() ? std::optional<Tensor>(dac::dense(*x)) : std::nullopt;
}

Tensor network(const Tensor& x_in, const std::vector<Tensor>& weights_in,
               const std::optional<Tensor>& shift_in) {
  check(x_in, weights_in, shift_in);
  Tensor x = dac::dense(x_in);
  std::vector<Tensor> weights = dac::dense(weights_in);
  std::vector<float> shift = pad_shift(dense(shift_in));
  const float* shifts = shift_in.has_value() ? shift.data() : nullptr;
  const int64_t N = x.size(0), width = x.size(1), D = weights.back().size(0);
  const int64_t S = shift_in.has_value() ? N / std::max<int64_t>(shift_in->size(0), 1) : 1;
  Tensor result = empty(x, {N, D});
  const float* from = data(x);
  float* to = out(result);
  parallel((N + kChunk - 1) / kChunk, 1, [&](int64_t first, int64_t last) {
    Stack stack(weights, kChunk);
    for (int64_t begin = first * kChunk; begin < std::min(N, last * kChunk); begin += kChunk) {
      int n = static_cast<int>(std::min<int64_t>(kChunk, N - begin));
      const float* y = stack.forward(n, from + begin * width, width, shifts, begin, S);
      copy_rows(n, static_cast<int>(D), y, stack.out_row(), to + begin * D, D);
    }
  });
  return result;
}

// Slopes of x (empty if not wanted), of the weights, and of the shift if there is one.
std::vector<Tensor> network_backward(const Tensor& grad_in, const Tensor& x_in,
                                     const std::vector<Tensor>& weights_in,
                                     const std::optional<Tensor>& shift_in, bool to_x) {
  check(x_in, weights_in, shift_in);
  Tensor x = dac::dense(x_in), grad = dac::dense(grad_in);
  std::vector<Tensor> weights = dac::dense(weights_in);
  std::vector<float> shift = pad_shift(dense(shift_in));
  const bool shifted = shift_in.has_value();
  const int64_t N = x.size(0), width = x.size(1), D = weights.back().size(0);
  const int64_t R = shifted ? shift_in->size(0) : N, S = shifted ? N / std::max<int64_t>(R, 1) : 1;
  Tensor slope = empty(x, {to_x ? N : 0, width});
  Tensor to_shift = zeros(x, {shifted ? R : 0, weights[0].size(0)});
  const float *from = data(x), *from_grad = data(grad);
  float *to = out(slope), *shift_slope = shifted ? out(to_shift) : nullptr;
  std::vector<std::vector<Layer>> gradients = make_gradients(weights, kGroups);
  // A group holds whole rays, so that no two add to one shift.
  parallel(kGroups, 1, [&](int64_t first, int64_t last) {
    Stack stack(weights, kChunk);
    std::vector<float> g(static_cast<size_t>(kChunk) * stack.out_row(), 0.0F);
    for (int64_t group = first; group < last; ++group) {
      const int64_t end = (group + 1) * R / kGroups * S;
      for (int64_t begin = group * R / kGroups * S; begin < end; begin += kChunk) {
        int n = static_cast<int>(std::min<int64_t>(kChunk, end - begin));
        const float* rows = from + begin * width;
        copy_rows(n, static_cast<int>(D), from_grad + begin * D, D, g.data(), stack.out_row());
        stack.forward(n, rows, width, shifted ? shift.data() : nullptr, begin, S);
        const float* result = stack.backward(n, rows, width, g.data(), begin, S, shift_slope, to_x,
                                             gradients[group]);
        if (to_x)
          copy_rows(n, static_cast<int>(width), result, padded(static_cast<int>(width)),
                    to + begin * width, width);
      }
    }
  });
  std::vector<Tensor> result{slope, to_shift};
  for (Tensor& gradient : sum_gradients(gradients, weights)) result.push_back(gradient);
  return result;
}

// ---- Density: planes, network and truncated exponential; sigma = exp(logit - 1) ----

Tensor density(const std::vector<Tensor>& planes_in, const std::vector<Tensor>& weights_in,
               const Tensor& points_in) {
  std::vector<Tensor> planes = dac::dense(planes_in), weights = dac::dense(weights_in);
  std::vector<Scale> scales = read_scales(planes);
  Tensor points = read_points(points_in);
  const int64_t N = points.size(0), F = count_features(scales);
  check_density(scales, weights);
  Tensor sigma = empty(points, {N});
  const float* from = data(points);
  float* to = out(sigma);
  parallel((N + kChunk - 1) / kChunk, 1, [&](int64_t first, int64_t last) {
    Chunk chunk(scales);
    Stack stack(weights, kChunk);
    std::vector<float> features(kChunk * F);
    for (int64_t begin = first * kChunk; begin < std::min(N, last * kChunk); begin += kChunk) {
      int n = static_cast<int>(std::min<int64_t>(kChunk, N - begin));
      chunk.read(from + 3 * begin, n);
      chunk.gather(nullptr, features.data(), F);
      const float* logit = stack.forward(n, features.data(), F, nullptr, 0, 1);
      alignas(64) float x[kChunk] = {};
      for (int i = 0; i < n; ++i) x[i] = logit[i * stack.out_row()] - kShift;
      for (int i = 0; i < kChunk; i += kLanes) store(x + i, exp(load(x + i)));
      std::copy_n(x, n, to + begin);
    }
  });
  return sigma;
}

// Slopes of the planes, then of the weights.
std::vector<Tensor> density_backward(const Tensor& grad_in, const std::vector<Tensor>& planes_in,
                                     const std::vector<Tensor>& weights_in,
                                     const Tensor& points_in) {
  std::vector<Tensor> planes = dac::dense(planes_in), weights = dac::dense(weights_in);
  std::vector<Scale> scales = read_scales(planes);
  Tensor points = read_points(points_in), grad = dac::dense(grad_in);
  check_density(scales, weights);
  check_shape(grad, {points.size(0)}, "a slope for each density");
  const int64_t F = count_features(scales);
  const float* to_sigma = data(grad);
  std::vector<Tensor> result;
  std::vector<float*> to_planes;
  for (Tensor& p : planes) {
    result.push_back(zeros(p, {3, p.size(1), p.size(2), p.size(3)}));
    to_planes.push_back(out(result.back()));
  }
  std::vector<std::vector<Layer>> gradients = make_gradients(weights, kGroups);
  std::vector<std::unique_ptr<Stack>> stacks(kGroups);
  auto prepare = [&](int group, Chunk& chunk, int64_t begin, float* values, float* slopes) {
    if (!stacks[group]) stacks[group] = std::make_unique<Stack>(weights, kChunk);
    Stack& stack = *stacks[group];
    const int n = chunk.size(), row = stack.out_row();
    chunk.gather(values, slopes, F);  // features here, their slopes below
    const float* logit = stack.forward(n, slopes, F, nullptr, 0, 1);
    std::vector<float> g(static_cast<size_t>(n) * row, 0.0F);
    for (int i = 0; i < n; ++i) {
      float x = std::min(std::max(logit[i * row] - kShift, -kClamp), kClamp);
      g[i * row] = to_sigma[begin + i] * exp(broadcast(x))[0];
    }
    const float* to_features =
        stack.backward(n, slopes, F, g.data(), 0, 1, nullptr, true, gradients[group]);
    copy_rows(n, static_cast<int>(F), to_features, padded(static_cast<int>(F)), slopes, F);
    return slopes;
  };
  scatter_chunks(scales, points.size(0), data(points), kGroups, prepare, to_planes);
  for (Tensor& gradient : sum_gradients(gradients, weights)) result.push_back(gradient);
  return result;
}

}  // namespace
}  // namespace cpu
}  // namespace dac

STABLE_TORCH_LIBRARY_IMPL(dac, CPU, m) {
  m.impl("network", TORCH_BOX(&dac::cpu::network));
  m.impl("network_backward", TORCH_BOX(&dac::cpu::network_backward));
  m.impl("density", TORCH_BOX(&dac::cpu::density));
  m.impl("density_backward", TORCH_BOX(&dac::cpu::density_backward));
}

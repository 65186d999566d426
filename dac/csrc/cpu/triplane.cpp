// Tri-plane lookup at any points, its transpose, and total variation.
#include "triplane.h"

#include <cmath>

namespace dac {

std::vector<Tensor> dense(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> result;
  for (const Tensor& tensor : tensors) result.push_back(dense(tensor));
  return result;
}

std::vector<Scale> read_scales(const std::vector<Tensor>& planes) {
  std::vector<Scale> scales;
  for (const Tensor& p : planes) {
    STD_TORCH_CHECK(p.dim() == 4 && p.size(0) == 3 && p.size(1) >= 2 && p.size(2) >= 2,
                    "planes are (3, H, W, C) with H and W at least 2");
    STD_TORCH_CHECK(p.size(1) * p.size(2) * p.size(3) < int64_t{1} << 31, "a plane is too large");
    scales.push_back({data(p), {static_cast<int>(p.size(1)), static_cast<int>(p.size(2)),
                                static_cast<int>(p.size(3))}});
  }
  return scales;
}

int count_features(const std::vector<Scale>& scales) {
  int total = 0;
  for (const Scale& scale : scales) total += scale.grid.channels;
  return total;
}

Tensor read_points(const Tensor& points) {
  STD_TORCH_CHECK(points.dim() == 2 && points.size(1) == 3, "points are (N, 3)");
  return dense(points);
}

Chunk::Chunk(const std::vector<Scale>& scales)
    : scales_(scales),
      places_(3 * kChunk),
      weight_(4 * kPlanes * kChunk),
      first_(kPlanes * kChunk) {
  int next = 0;
  for (const Scale& scale : scales) {
    first_feature_.push_back(next);
    next += scale.grid.channels;
  }
}

void Chunk::read(const float* points, int n) {
  n_ = n;
  found_ = -1;
  for (int axis = 0; axis < 3; ++axis)
    for (int i = 0; i < n; ++i) places_[axis * n + i] = points[3 * i + axis];
}

Corners Chunk::find(int scale) {
  Corners corners{first_.data(), weight_.data()};
  if (found_ != scale) {
    const float* axes[3] = {places_.data(), places_.data() + n_, places_.data() + 2 * n_};
    find_corners(n_, axes, scales_[scale].grid, corners);
    found_ = scale;
  }
  return corners;
}

void Chunk::gather(float* values, float* features, int64_t row) {
  for (int s = 0; s < static_cast<int>(scales_.size()); ++s) {
    const int first = first_feature_[s];
    float* kept = values == nullptr ? nullptr : values + int64_t{kPlanes} * kChunk * first;
    dac::gather(n_, scales_[s].planes, scales_[s].grid, find(s), kept, features + first, row);
  }
}

void Chunk::scatter(int s, const float* values, const float* to_features, int64_t row,
                    float* to_planes) {
  const int first = first_feature_[s];
  dac::scatter(n_, scales_[s].grid, find(s), values + int64_t{kPlanes} * kChunk * first,
               to_features + first, row, to_planes);
}

namespace {

template <int kPlane>
void scatter_plane(int n, const Grid& grid, const Corners& corners, const float* values,
                   const float* to_features, int64_t row, float* to_planes) {
  bool done = with_form(grid.channels, [&](auto form) {
    scatter_form<decltype(form), kPlane, kPlane + 1>(n, grid, corners, values, to_features, row,
                                                     to_planes);
  });
  if (!done)
    scatter_floats(n, kPlane, kPlane + 1, grid, corners, values, to_features, row, to_planes);
}

}  // namespace

void Chunk::scatter(int s, int plane, const float* values, const float* to_features, int64_t row,
                    float* to_planes) {
  const int first = first_feature_[s];
  constexpr decltype(&scatter_plane<0>) kForms[] = {scatter_plane<0>, scatter_plane<1>,
                                                    scatter_plane<2>};
  kForms[plane](n_, scales_[s].grid, find(s), values + int64_t{kPlanes} * kChunk * first,
                to_features + first, row, to_planes);
}

namespace cpu {
namespace {

Tensor triplane(const std::vector<Tensor>& planes_in, const Tensor& points_in) {
  std::vector<Tensor> planes = dense(planes_in);
  std::vector<Scale> scales = read_scales(planes);
  Tensor points = read_points(points_in);
  const int64_t N = points.size(0), F = count_features(scales);
  Tensor features = empty(points, {N, F});
  const float* from = data(points);
  float* to = out(features);
  parallel((N + kChunk - 1) / kChunk, 1, [&](int64_t first, int64_t last) {
    Chunk chunk(scales);
    for (int64_t at = first * kChunk; at < std::min(N, last * kChunk); at += kChunk) {
      chunk.read(from + 3 * at, static_cast<int>(std::min<int64_t>(kChunk, N - at)));
      chunk.gather(nullptr, to + at * F, F);
    }
  });
  return features;
}

std::vector<Tensor> triplane_backward(const Tensor& grad_in, const std::vector<Tensor>& planes_in,
                                      const Tensor& points_in) {
  std::vector<Tensor> planes = dense(planes_in);
  std::vector<Scale> scales = read_scales(planes);
  Tensor points = read_points(points_in), grad = dense(grad_in);
  check_shape(grad, {points.size(0), count_features(scales)}, "a slope for each feature");
  std::vector<Tensor> result;
  std::vector<float*> to_planes;
  for (Tensor& p : planes) {
    result.push_back(zeros(p, {3, p.size(1), p.size(2), p.size(3)}));
    to_planes.push_back(out(result.back()));
  }
  const int64_t F = count_features(scales);
  const float* slopes = data(grad);
  auto prepare = [&](int, Chunk& chunk, int64_t begin, float* values, float* features) {
    chunk.gather(values, features, F);
    return slopes + begin * F;
  };
  scatter_chunks(scales, points.size(0), data(points), kGroups, prepare, to_planes);
  return result;
}

// ---- Total variation: planes x rows of differences, summed row by row in one order ----

float squared_distance(const float* a, const float* b, int64_t n) {
  Vec sums{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Vec d = load(a + i) - load(b + i);
    sums += d * d;
  }
  float total = sum(sums);
  for (; i < n; ++i) total += (a[i] - b[i]) * (a[i] - b[i]);
  return total;
}

Tensor plane_tv(const Tensor& planes_in) {
  Tensor planes = dense(planes_in);
  read_scales({planes});
  const int64_t P = planes.size(0), H = planes.size(1), width = planes.size(2) * planes.size(3);
  const int64_t C = planes.size(3);
  const float* from = data(planes);
  std::vector<double> along_h(P * H), along_w(P * H);
  parallel(P * H, 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* p = from + row * width;
      along_h[row] = row % H + 1 < H ? squared_distance(p + width, p, width) : 0;
      along_w[row] = squared_distance(p + C, p, width - C);
    }
  });
  double h = 0, w = 0;
  for (int64_t row = 0; row < P * H; ++row) {
    h += along_h[row];
    w += along_w[row];
  }
  return scalar(planes, h / static_cast<double>((H - 1) * width) +
                            w / static_cast<double>(H * (width - C)));
}

Tensor plane_tv_backward(const Tensor& grad_in, const Tensor& planes_in) {
  Tensor planes = dense(planes_in), grad = dense(grad_in);
  const int64_t P = planes.size(0), H = planes.size(1), width = planes.size(2) * planes.size(3);
  const int64_t C = planes.size(3);
  Tensor result = empty(planes, {P, H, planes.size(2), C});
  const float* from = data(planes);
  float* to = out(result);
  const float g = 2 * *data(grad);
  const float over_h = g / static_cast<float>((H - 1) * width);
  const float over_w = g / static_cast<float>(H * (width - C));
  parallel(P * H, 8, [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* p = from + row * width;
      float* q = to + row * width;
      // At a border the neighbour is the entry itself.
      const int64_t up = row % H > 0 ? width : 0, down = row % H + 1 < H ? width : 0;
      for (int64_t i = 0; i < width; ++i)
        q[i] = over_h * ((p[i] - p[i - up]) - (p[i + down] - p[i]));
      for (int64_t i = C; i < width; ++i) q[i] += over_w * (p[i] - p[i - C]);
      for (int64_t i = 0; i < width - C; ++i) q[i] -= over_w * (p[i + C] - p[i]);
    }
  });
  return result;
}

}  // namespace
}  // namespace cpu
}  // namespace dac

STABLE_TORCH_LIBRARY_IMPL(dac, CPU, m) {
  m.impl("triplane", TORCH_BOX(&dac::cpu::triplane));
  m.impl("triplane_backward", TORCH_BOX(&dac::cpu::triplane_backward));
  m.impl("plane_tv", TORCH_BOX(&dac::cpu::plane_tv));
  m.impl("plane_tv_backward", TORCH_BOX(&dac::cpu::plane_tv_backward));
}

// Edges, points and weights along rays.
#include "along.h"

namespace dac::cuda {
namespace {

// ---- Edges and points ----

DEVICE void write_point(const Space& space, const float* ray, float middle, float* point) {
  float x[3] = {ray[0] + middle * ray[3], ray[1] + middle * ray[4], ray[2] + middle * ray[5]};
  cube_from_world(space, x);
  point[0] = x[0], point[1] = x[1], point[2] = x[2];
}

// All of a ray's edges through `edge(i)`, and its points.
template <class Edge>
DEVICE void write_bins(const RaySet& rays, const Space& space, const Bins& bins, int64_t r,
                       const Edge& edge) {
  const float* ray = rays.rays + r * kRayFloats;
  float *s = bins.s + r * (bins.S + 1), *t = bins.t + r * (bins.S + 1);
  forwards(bins.S + 1, [&](int i, bool inside) {
    if (!inside) return;
    float here = edge(i);
    s[i] = here;
    t[i] = t_from_s(space.kind, here, ray[6], ray[7]);
  });
  sync_warp();
  forwards(bins.S, [&](int i, bool inside) {
    if (inside) write_point(space, ray, middle_of(t, i), bins.points + (r * bins.S + i) * 3);
  });
}

DEVICE uint32_t jitter_row_of(const RaySet& rays, int level, int64_t r) {
  return rays.key == nullptr ? 0
                             : jitter_row(static_cast<uint64_t>(*rays.key), level,
                                          rays.first + static_cast<uint32_t>(r));
}

__global__ void __launch_bounds__(kRayThreads) first_bins_kernel(RaySet rays, Space space, Bins bins) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  const uint32_t row = jitter_row_of(rays, 0, r);
  write_bins(rays, space, bins, r, [&](int i) {
    return first_edge(i, bins.S, rays.key == nullptr ? 0.5F : jitter(row, i));
  });
}

// The last index of an ascending row of P + 1 whose value is at most u, and at most P - 1.
DEVICE int bin_of(const float* row, int P, float u) {
  int low = 0, high = P;  // row[low] <= u < row[high], as far as the row goes
  while (high - low > 1) {
    int middle = (low + high) / 2;
    if (row[middle] <= u)
      low = middle;
    else
      high = middle;
  }
  return low;
}

__global__ void __launch_bounds__(kRayThreads)
    next_bins_kernel(RaySet rays, Space space, Bins before, Bins bins, int level) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  const int P = before.S;
  const float *t = before.t + r * (P + 1), *sigma = before.sigma + r * P;
  const float exponent = *rays.anneal;
  float *cdf = warp_memory(2 * (P + 1)), *edges = cdf + P + 1;
  Running tau_sum, sum;
  forwards(P, [&](int i, bool inside) {
    float tau = inside ? sigma[i] * (t[i + 1] - t[i]) : 0.0F;
    Opacity o = opacity(tau, &tau_sum);
    float w = o.alpha * o.through;
    if (exponent != 1) w = powf(w, exponent);
    float mass = sum.inclusive(inside ? w + kPadding : 0.0F);
    if (inside) cdf[i + 1] = mass;
  });
  if (lane() == 0) cdf[0] = 0;
  forwards(P + 1, [&](int i, bool inside) {
    if (inside) edges[i] = before.s[r * (P + 1) + i];
  });
  sync_warp();
  const float scale = 1 / cdf[P];
  const uint32_t row = jitter_row_of(rays, level, r);
  const float count = static_cast<float>(bins.S + 1);
  write_bins(rays, space, bins, r, [&](int i) {
    float u = (static_cast<float>(i) + (rays.key == nullptr ? 0.5F : jitter(row, i))) / count;
    int bin = bin_of(cdf, P, u * cdf[P]);
    float c0 = cdf[bin] * scale, c1 = cdf[bin + 1] * scale, e0 = edges[bin], e1 = edges[bin + 1];
    float along = larger(smaller((u - c0) / (c1 - c0), 1.0F), 0.0F);
    return smaller(e0 + along * (e1 - e0), e1);
  });
}

__global__ void __launch_bounds__(kRayThreads)
    points_kernel(RaySet rays, Space space, Bins bins) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  const float* t = bins.t + r * (bins.S + 1);
  forwards(bins.S, [&](int i, bool inside) {
    if (inside)
      write_point(space, rays.rays + r * kRayFloats, middle_of(t, i),
                  bins.points + (r * bins.S + i) * 3);
  });
}

__global__ void __launch_bounds__(kRayThreads)
    cube_kernel(Space space, int64_t N, const float* points, float* cube) {
  const int64_t n = static_cast<int64_t>(block()) * threads() + thread();
  if (n >= N) return;
  float x[3] = {points[3 * n], points[3 * n + 1], points[3 * n + 2]};
  cube_from_world(space, x);
  cube[3 * n] = x[0], cube[3 * n + 1] = x[1], cube[3 * n + 2] = x[2];
}

__global__ void __launch_bounds__(kRayThreads)
    harmonics_kernel(int64_t R, const float* directions, int row, uint16_t* half, float* single) {
  const int64_t r = static_cast<int64_t>(block()) * threads() + thread();
  if (r >= R) return;
  float values[kHarmonics] = {};
  if (directions != nullptr) {
    const float* d = directions + r * row;
    spherical_harmonics(d[0], d[1], d[2], values);
  }
#pragma unroll
  for (int i = 0; i < kHarmonics; ++i) {
    if (half != nullptr) half[r * kHarmonics + i] = static_cast<uint16_t>(pack_half(values[i], 0));
    if (single != nullptr) single[r * kHarmonics + i] = values[i];
  }
}

// ---- Compositing ----

__global__ void __launch_bounds__(kRayThreads)
    composite_kernel(RaySet rays, Bins bins, const float* colours, Rendered out) {
  const int64_t r = ray_of_warp();
  if (r >= rays.R) return;
  Composite sum =
      composite_ray(bins, r, colours, out.alpha == nullptr ? nullptr : out.alpha + r * bins.S,
                    out.weights == nullptr ? nullptr : out.weights + r * bins.S);
  if (lane() != 0) return;
  for (int channel = 0; channel < 3; ++channel) out.rgb[r * 3 + channel] = sum.rgb[channel];
  out.accumulation[r] = sum.accumulation;
  out.depth[r] = sum.depth / larger(sum.accumulation, kSmallest);
}

}  // namespace

void first_bins(const RaySet& rays, const Space& space, const Bins& bins, Stream stream) {
  launch(first_bins_kernel, ceil_div(rays.R, kRayWarps), kRayThreads, 0, stream, rays, space, bins);
}

void next_bins(const RaySet& rays, const Space& space, const Bins& before, const Bins& bins,
               int level, Stream stream) {
  launch(next_bins_kernel, ceil_div(rays.R, kRayWarps), kRayThreads, warp_bytes(2 * (before.S + 1)),
         stream, rays, space, before, bins, level);
}

void points_of(const RaySet& rays, const Space& space, const Bins& bins, Stream stream) {
  launch(points_kernel, ceil_div(rays.R, kRayWarps), kRayThreads, 0, stream, rays, space, bins);
}

void cube_points(const Space& space, int64_t N, const float* points, float* cube, Stream stream) {
  launch(cube_kernel, ceil_div(N, kRayThreads), kRayThreads, 0, stream, space, N, points, cube);
}

void harmonics(int64_t R, const float* directions, int row, uint16_t* half, float* single,
               Stream stream) {
  launch(harmonics_kernel, ceil_div(R, kRayThreads), kRayThreads, 0, stream, R, directions, row,
         half, single);
}

void composite(const RaySet& rays, const Bins& bins, const float* colours, const Rendered& out,
               Stream stream) {
  launch(composite_kernel, ceil_div(rays.R, kRayWarps), kRayThreads, 0, stream, rays, bins, colours,
         out);
}

}  // namespace dac::cuda

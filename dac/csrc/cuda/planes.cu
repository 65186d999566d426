// K-Planes as an encoder: features gathered from planes, and their gradients scattered back.
#include "encoder.h"

namespace dac::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRun = 16;  // consecutive points that one thread scatters

// A thread has one chunk of one point at one scale.
template <int kWide>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(ARGUMENT TriPlanes set, int64_t items, const float* points, float* features) {
  int64_t item = static_cast<int64_t>(block()) * threads() + thread();
  if (item >= items) return;
  int chunks = set.channels / kWide;
  int chunk = static_cast<int>(item % chunks);
  int scale = static_cast<int>(item / chunks % set.scales);
  float value[kWide];
  look_up<kWide>(static_cast<const float*>(set.planes[scale]), set.sizes[scale], set.channels,
                 chunk * kWide, points + item / chunks / set.scales * 3, value);
#pragma unroll
  for (int i = 0; i < kWide; ++i) features[item * kWide + i] = value[i];
}

template <int kWide>
DEVICE void load_slopes(const uint16_t* from, float* to) {
  if constexpr (kWide == 4) {
    uint2 bits = __ldg(reinterpret_cast<const uint2*>(from));
    float2 low = unpack_bf16(bits.x), high = unpack_bf16(bits.y);
    to[0] = low.x, to[1] = low.y, to[2] = high.x, to[3] = high.y;
  } else {
    to[0] = unpack_bf16(*from).x;
  }
}

template <int kWide>
DEVICE void load_slopes(const float* from, float* to) {
  load_channels<kWide>(from, to);
}

// A cell's gradient as long as consecutive points lie in it: neighbours along a ray often do, and
// one reduction then serves them all.
template <int kWide>
struct CellSum {
  float of[4][kWide];
  int first;

  template <class Sum>
  DEVICE void write(Sum* to, int size, int channels) {
    if (first < 0) return;
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      Sum* at = to + corner_entry(first, corner, size) * channels;
      if constexpr (kWide == 4)
        add_sum(at, make_float4(of[corner][0], of[corner][1], of[corner][2], of[corner][3]));
      else
        add_sum(at, of[corner][0]);
    }
  }

  DEVICE void clear(int next) {
    first = next;
#pragma unroll
    for (int corner = 0; corner < 4; ++corner)
#pragma unroll
      for (int i = 0; i < kWide; ++i) of[corner][i] = 0;
  }
};

// A thread has one chunk at one scale of kRun consecutive points. `G` is the slopes' type.
template <class T, class G, class Sum, int kWide>
__global__ void __launch_bounds__(kThreads, 3)
    scatter_kernel(ARGUMENT TriPlanes set, ARGUMENT TriPlaneSums sums, int64_t N, const float* points,
                   const G* slopes) {
  int64_t item = static_cast<int64_t>(block()) * threads() + thread();
  int chunks = set.channels / kWide;
  int channel = static_cast<int>(item % chunks) * kWide;
  int scale = static_cast<int>(item / chunks % set.scales);
  int64_t begin = item / chunks / set.scales * kRun;
  int64_t end = begin + kRun < N ? begin + kRun : N;
  const int size = set.sizes[scale], C = set.channels;
  const T* planes = static_cast<const T*>(set.planes[scale]);
  Sum* to = static_cast<Sum*>(sums.to[scale]) + channel;
  CellSum<kWide> cells[3];
#pragma unroll
  for (int plane = 0; plane < 3; ++plane) cells[plane].clear(-1);
  for (int64_t n = begin; n < end; ++n) {
    float g[kWide];
    load_slopes<kWide>(slopes + (n * set.scales + scale) * C + channel, g);
    bool any = false;  // NaN is something
#pragma unroll
    for (int i = 0; i < kWide; ++i) any = any || !(g[i] == 0);
    if (!any) continue;
    Cell cell = cell_of(points + n * 3, size);
    float value[3][kWide];
#pragma unroll
    for (int plane = 0; plane < 3; ++plane)
      interpolate<kWide>(planes, size, C, channel, cell, plane, value[plane]);
#pragma unroll
    for (int plane = 0; plane < 3; ++plane) {
      int first = first_entry(cell, plane, size);
      if (first != cells[plane].first) {
        cells[plane].write(to, size, C);
        cells[plane].clear(first);
      }
      float w[4];
      corner_weights(cell, plane, w);
#pragma unroll
      for (int i = 0; i < kWide; ++i) {
        float slope = g[i] * value[plane == 0 ? 1 : 0][i] * value[plane == 2 ? 1 : 2][i];
#pragma unroll
        for (int corner = 0; corner < 4; ++corner) cells[plane].of[corner][i] += w[corner] * slope;
      }
    }
  }
#pragma unroll
  for (int plane = 0; plane < 3; ++plane) cells[plane].write(to, size, C);
}

__global__ void __launch_bounds__(kThreads)
    halve_kernel(const float* from, int64_t count, uint16_t* to) {
  int64_t i = (static_cast<int64_t>(block()) * threads() + thread()) * 2;
  if (i + 1 < count)
    *reinterpret_cast<uint32_t*>(to + i) = pack_half(from[i], from[i + 1]);
  else if (i < count)
    to[i] = static_cast<uint16_t>(pack_half(from[i], 0));
}

__global__ void __launch_bounds__(kThreads)
    add_fixed_kernel(int64_t* from, int64_t count, float* to) {
  int64_t i = static_cast<int64_t>(block()) * threads() + thread();
  if (i >= count) return;
  to[i] += static_cast<float>(static_cast<double>(from[i]) / static_cast<double>(kFixedOne));
  from[i] = 0;
}

template <class T, class G, class Sum>
void scatter_as(const TriPlanes& set, const TriPlaneSums& sums, int64_t N, const float* points,
                const void* slopes, Stream stream) {
  const bool wide = set.channels % 4 == 0;
  int64_t items = ceil_div(N, kRun) * set.scales * (wide ? set.channels / 4 : set.channels);
  int64_t grid = ceil_div(items, kThreads);
  const G* from = static_cast<const G*>(slopes);
  if (wide)
    launch(scatter_kernel<T, G, Sum, 4>, grid, kThreads, 0, stream, set, sums, N, points, from);
  else if constexpr (sizeof(T) == sizeof(float))
    launch(scatter_kernel<T, G, Sum, 1>, grid, kThreads, 0, stream, set, sums, N, points, from);
  else
    throw std::runtime_error("planes in half precision need channels in fours");
}

template <class T, class G>
void scatter_into(const TriPlanes& set, const TriPlaneSums& sums, int64_t N, const float* points,
                  const void* slopes, Stream stream) {
  if (sums.fixed)
    scatter_as<T, G, int64_t>(set, sums, N, points, slopes, stream);
  else
    scatter_as<T, G, float>(set, sums, N, points, slopes, stream);
}

}  // namespace

void encode(const TriPlanes& set, int64_t N, const float* points, float* features, Stream stream) {
  int64_t values = N * set.scales * set.channels;
  if (set.channels % 4 == 0)
    launch(gather_kernel<4>, ceil_div(values / 4, kThreads), kThreads, 0, stream, set,
           values / 4, points, features);
  else
    launch(gather_kernel<1>, ceil_div(values, kThreads), kThreads, 0, stream, set, values,
           points, features);
}

void add_gradient(const TriPlanes& set, const TriPlaneSums& sums, int64_t N, const float* points,
                  const void* slopes, Stream stream) {
  if (set.half)
    scatter_into<uint16_t, uint16_t>(set, sums, N, points, slopes, stream);
  else
    scatter_into<float, float>(set, sums, N, points, slopes, stream);
}

void halve(const float* from, int64_t count, uint16_t* to, Stream stream) {
  launch(halve_kernel, ceil_div(ceil_div(count, 2), kThreads), kThreads, 0, stream, from, count,
         to);
}

void add_fixed(int64_t* from, int64_t count, float* to, Stream stream) {
  launch(add_fixed_kernel, ceil_div(count, kThreads), kThreads, 0, stream, from, count, to);
}

}  // namespace dac::cuda

// A proposal level's density: planes, one hidden layer, truncated exponential.
//
// A warp takes 32 points: each lane looks up one, then two blocks of 16 go through the network.
#include "encoder.h"
#include "matrices.h"

namespace dac::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kStride = 16 + kPad;  // of features: at most 16 channels

// The last layer's weights at a lane's columns of a result: 2t and 2t+1 of every 8.
template <int kHidden>
DEVICE void load_last(const float* w, float (*last)[2]) {
  int t = lane() & 3;
#pragma unroll
  for (int n = 0; n < kHidden / 8; ++n) {
    last[n][0] = w[8 * n + 2 * t];
    last[n][1] = w[8 * n + 2 * t + 1];
  }
}

template <int kHidden>
struct Network {
  uint16_t* first;  // (hidden, 16) in shared memory
  uint16_t* rows;   // the warp's 32 rows of features

  DEVICE Network() {
    first = reinterpret_cast<uint16_t*>(shared_memory());
    rows = first + kHidden * kStride + warp() * 32 * kStride;
  }
  static constexpr size_t kBytes = (kHidden + kThreads) * kStride * sizeof(uint16_t);
};

template <int kHidden, class Encoder>
__global__ void __launch_bounds__(kThreads, Encoder::features() == 8 ? 3 : 2)
    forward_kernel(Encoder encoder, const float* w0, const float* w1, int64_t N,
                   const float* points, float* sigma, uint16_t* features) {
  constexpr int kChannels = Encoder::features();
  Network<kHidden> network;
  copy_weights(w0, kHidden, kChannels, -1, network.first, kHidden, kStride);
  float last[kHidden / 8][2];
  load_last<kHidden>(w1, last);
  uint16_t* row = network.rows + lane() * kStride;
#pragma unroll
  for (int i = 0; i < 8; ++i) reinterpret_cast<uint32_t*>(row)[i] = 0;
  sync_block();
  const int64_t tiles = ceil_div(N, 32);
  for (int64_t tile = static_cast<int64_t>(block()) * kWarps + warp(); tile < tiles;
       tile += static_cast<int64_t>(blocks()) * kWarps) {
    const int64_t first = tile * 32, mine = first + lane();
    if (mine < N) {
#pragma unroll
      for (int channel = 0; channel < kChannels; channel += 8) {
        float value[8];
        encoder.encode(points + mine * 3, channel / 8, value);
        uint4 bits = make_uint4(pack_half(value[0], value[1]), pack_half(value[2], value[3]),
                                pack_half(value[4], value[5]), pack_half(value[6], value[7]));
        *reinterpret_cast<uint4*>(row + channel) = bits;
        if (features != nullptr)
          *reinterpret_cast<uint4*>(features + mine * kChannels + channel) = bits;
      }
    }
    sync_warp();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t a[4];
      load_a(a, network.rows, kStride, 16 * half, 0);
      float d[kHidden / 8][4], low = 0, high = 0;
      clear<kHidden / 8>(d);
      multiply_block<kHidden / 8>(d, a, network.first, kStride, 0);
#pragma unroll
      for (int n = 0; n < kHidden / 8; ++n) {
        low += (d[n][0] < 0 ? 0 : d[n][0]) * last[n][0] + (d[n][1] < 0 ? 0 : d[n][1]) * last[n][1];
        high += (d[n][2] < 0 ? 0 : d[n][2]) * last[n][0] + (d[n][3] < 0 ? 0 : d[n][3]) * last[n][1];
      }
      low += shuffle_xor(low, 1);
      low += shuffle_xor(low, 2);
      high += shuffle_xor(high, 1);
      high += shuffle_xor(high, 2);
      int64_t n = first + 16 * half + (lane() >> 2);
      if ((lane() & 3) == 0) {
        if (n < N) sigma[n] = density_of(low);
        if (n + 8 < N) sigma[n + 8] = density_of(high);
      }
    }
    sync_warp();
  }
}

// Sums over the block's warps of each warp's `count` numbers: one warp after the other.
template <class Sum>
DEVICE void add_block(float* shared, int count, Sum* to) {
  sync_block();
  for (int i = thread(); i < count; i += threads()) add_sum(to + i, shared[i]);
}

template <int kHidden, int kChannels, class Sum>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const float* w0, const float* w1, Sum* to_w0, Sum* to_w1, int64_t N,
                    const uint16_t* features, const float* to_logit, uint16_t* to_features) {
  constexpr int kHiddenStride = kHidden + kPad, kTiles = kHidden / 8, kBlocks = kHidden / 16;
  constexpr int kIn = kChannels / 8;
  Network<kHidden> network;
  // The warp's slopes of 16 points' hidden values.
  uint16_t* slopes = network.first + (kHidden + kThreads) * kStride + warp() * 16 * kHiddenStride;
  copy_weights(w0, kHidden, kChannels, -1, network.first, kHidden, kStride);
  float last[kTiles][2], to_last[kTiles][2], to_first[kBlocks][2][4];
  load_last<kHidden>(w1, last);
#pragma unroll
  for (int n = 0; n < kTiles; ++n) to_last[n][0] = to_last[n][1] = 0;
#pragma unroll
  for (int m = 0; m < kBlocks; ++m) clear<2>(to_first[m]);
  uint16_t* row = network.rows + lane() * kStride;
  sync_block();
  const int64_t tiles = ceil_div(N, 32);
  for (int64_t tile = static_cast<int64_t>(block()) * kWarps + warp(); tile < tiles;
       tile += static_cast<int64_t>(blocks()) * kWarps) {
    const int64_t first = tile * 32, mine = first + lane();
#pragma unroll
    for (int channel = 0; channel < 16; channel += 8) {
      uint4 bits = make_uint4(0, 0, 0, 0);
      if (mine < N && channel < kChannels)
        bits = __ldg(reinterpret_cast<const uint4*>(features + mine * kChannels + channel));
      *reinterpret_cast<uint4*>(row + channel) = bits;
    }
    sync_warp();
#pragma unroll 1
    for (int half = 0; half < 2; ++half) {
      const int64_t n = first + 16 * half + (lane() >> 2);
      const float low = n < N ? to_logit[n] : 0.0F, high = n + 8 < N ? to_logit[n + 8] : 0.0F;
      uint32_t a[4], slope[kBlocks][4];
      load_a(a, network.rows, kStride, 16 * half, 0);
      float d[kTiles][4];
      clear<kTiles>(d);
      multiply_block<kTiles>(d, a, network.first, kStride, 0);
#pragma unroll
      for (int k = 0; k < kTiles; ++k)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float h = d[k][i], g = i < 2 ? low : high;
          if (h > 0) to_last[k][i & 1] += h * g;
          d[k][i] = h > 0 ? last[k][i & 1] * g : 0.0F;
        }
      operand<Bf16, kBlocks, false>(slope, d);
      store_operand<kBlocks>(slope, slopes, kHiddenStride, 0, 0);
      sync_warp();
      uint32_t x[4];
      load_b_turned(x, network.rows, kStride, 16 * half, 0);
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = bf16_of_half(x[i]);
#pragma unroll
      for (int m = 0; m < kBlocks; ++m) {
        uint32_t turned[4];
        load_a_turned(turned, slopes, kHiddenStride, 0, 16 * m);
        multiply_bf16(to_first[m][0], turned, x);
        if (kIn > 1) multiply_bf16(to_first[m][1], turned, x + 2);
      }
      float to_x[2][4];
      layer_turned<2, kBlocks>(to_x, slope, network.first, kStride, 0);
#pragma unroll
      for (int k = 0; k < kIn; ++k) {
        int column = 8 * k + 2 * (lane() & 3);
        if (n < N)
          *reinterpret_cast<uint32_t*>(to_features + n * kChannels + column) =
              pack_bf16(to_x[k][0], to_x[k][1]);
        if (n + 8 < N)
          *reinterpret_cast<uint32_t*>(to_features + (n + 8) * kChannels + column) =
              pack_bf16(to_x[k][2], to_x[k][3]);
      }
      sync_warp();
    }
  }
  // The block's sums, over its warps in their order.
  float* sums = reinterpret_cast<float*>(shared_memory());
  constexpr int kFirst = kHidden * kChannels;
  sync_block();
  for (int i = thread(); i < kFirst + kHidden; i += threads()) sums[i] = 0;
  const int g = lane() >> 2, t = lane() & 3;
  // A lane's share of the last layer is that of its rows: lanes of one t have the same columns.
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int by = 4; by < 32; by <<= 1) to_last[n][i] += shuffle_xor(to_last[n][i], by);
  for (int turn = 0; turn < kWarps; ++turn) {
    sync_block();
    if (turn != warp()) continue;
#pragma unroll
    for (int m = 0; m < kBlocks; ++m)
#pragma unroll
      for (int k = 0; k < kIn; ++k)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          sums[(16 * m + g + 8 * (i >> 1)) * kChannels + 8 * k + 2 * t + (i & 1)] +=
              to_first[m][k][i];
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i)
        if (g == 0) sums[kFirst + 8 * n + 2 * t + i] += to_last[n][i];
  }
  add_block(sums, kFirst, to_w0);
  add_block(sums + kFirst, kHidden, to_w1);
}

template <int kHidden, int kChannels>
struct Launches {
  static void forward(const TriPlanes& planes, const float* const* weights, int64_t N,
                      const float* points, float* sigma, uint16_t* features, Stream stream) {
    const HalfScale<kChannels> encoder(planes);
    auto* kernel = forward_kernel<kHidden, HalfScale<kChannels>>;
    constexpr size_t kBytes = Network<kHidden>::kBytes;
    int64_t grid = std::min(ceil_div(N, kThreads), resident_blocks(kernel, kThreads, kBytes));
    launch(kernel, grid, kThreads, kBytes, stream, encoder, weights[0], weights[1], N, points, sigma,
           features);
  }

  template <class Sum>
  static void backward(const float* const* weights, void* const* sums, int64_t N,
                       const uint16_t* features, const float* to_logit, uint16_t* to_features,
                       Stream stream) {
    auto* kernel = backward_kernel<kHidden, kChannels, Sum>;
    size_t bytes = Network<kHidden>::kBytes + kWarps * 16 * (kHidden + kPad) * sizeof(uint16_t);
    int64_t grid = std::min(ceil_div(N, kThreads), resident_blocks(kernel, kThreads, bytes));
    launch(kernel, grid, kThreads, bytes, stream, weights[0], weights[1],
           static_cast<Sum*>(sums[0]), static_cast<Sum*>(sums[1]), N, features, to_logit,
           to_features);
  }
};

// Calls f with the Launches of a shape.
template <class F>
void choose(const DensityShape& shape, const F& f) {
  if (shape.hidden == 64 && shape.channels == 8) return f(Launches<64, 8>());
  if (shape.hidden == 64 && shape.channels == 16) return f(Launches<64, 16>());
  if (shape.hidden == 32 && shape.channels == 8) return f(Launches<32, 8>());
  if (shape.hidden == 32 && shape.channels == 16) return f(Launches<32, 16>());
  throw std::runtime_error("no tensor-core kernel for this proposal level");
}

}  // namespace

bool density_fits(const DensityShape& shape) {
  return (shape.hidden == 64 || shape.hidden == 32) &&
         (shape.channels == 8 || shape.channels == 16);
}

void density_forward(const DensityShape& shape, const TriPlanes& encoder,
                     const float* const* weights, int64_t N, const float* points, float* sigma,
                     uint16_t* features, Stream stream) {
  choose(shape, [&](auto launches) {
    launches.forward(encoder, weights, N, points, sigma, features, stream);
  });
}

void density_backward(const DensityShape& shape, const float* const* weights, void* const* sums,
                      bool fixed, int64_t N, const uint16_t* features, const float* to_logit,
                      uint16_t* to_features, Stream stream) {
  choose(shape, [&](auto launches) {
    if (fixed)
      launches.template backward<int64_t>(weights, sums, N, features, to_logit, to_features,
                                          stream);
    else
      launches.template backward<float>(weights, sums, N, features, to_logit, to_features, stream);
  });
}

}  // namespace dac::cuda

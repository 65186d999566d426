// The field: planes, a density network and a colour network, forward and backward, on tensor cores.
//
// Notation: H hidden width, L hidden layers of the colour network, F features. In shared memory the
// colour network's first matrix has 32 columns: 16 harmonics, a zero where the density's logit lies
// among the density network's 16 outputs, and its 15 geometry features. So those 16 outputs are the
// next operand as they are.
//
// Forward: a warp takes 16 points through both networks. Backward: a block takes 128 points, 16 a
// warp; the hidden values are computed again from the features that were kept; for each layer the
// warps put slopes and inputs of all 128 points in shared memory and share out the products
// slopes^T inputs among them, which stay in registers until the block has no more points.
#include "encoder.h"
#include "matrices.h"
#include "weight_sums.h"

namespace dac::cuda {
namespace {

constexpr int kThreads = 32 * kWarps;
constexpr int kOutputs = 16;  // of the density network
constexpr int kColourInputs = 32;
constexpr int kMaxFeatures = 128;

// Both networks' matrices in shared memory, one after the other.
template <int H, int L>
struct Matrices {
  static constexpr int kWide = H + kPad, kFirst = kColourInputs + kPad;
  int row;  // of the density network's first
  uint16_t *features, *outputs, *first, *others, *last;

  DEVICE Matrices(uint16_t* m, int F) : row(F + kPad) {
    features = m;
    outputs = features + H * row;
    first = outputs + kOutputs * kWide;
    others = first + H * kFirst;
    last = others + (L - 1) * H * kWide;
  }

  DEVICE uint16_t* end() const { return last + 16 * kWide; }

  DEVICE void copy(const FieldWeights& w, int F) const {
    copy_weights(w.density[0], H, F, -1, features, H, row);
    copy_weights(w.density[1], kOutputs, H, -1, outputs, kOutputs, kWide);
    copy_weights(w.colours[0], H, kColourInputs - 1, kHarmonics, first, H, kFirst);
#pragma unroll
    for (int l = 1; l < L; ++l)
      copy_weights(w.colours[l], H, H, -1, others + (l - 1) * H * kWide, H, kWide);
    copy_weights(w.colours[L], 3, H, -1, last, 16, kWide);
  }

  static size_t bytes(int F) {
    return (static_cast<size_t>(H) * (F + kPad) + kOutputs * kWide + H * kFirst +
            (L - 1) * H * kWide + 16 * kWide) *
           sizeof(uint16_t);
  }
};

// The harmonics of 16 points from `first` on, as an operand of halves.
DEVICE void load_harmonics(uint32_t* a, const FieldPoints& at, int64_t first) {
  const int t = lane() & 3;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    int64_t n = first + (lane() >> 2) + 8 * i;
    n = n < at.N ? n : at.N - 1;
    const uint16_t* row = at.harmonics + n / at.S * kHarmonics + 2 * t;
    a[i] = __ldg(reinterpret_cast<const unsigned*>(row));
    a[2 + i] = __ldg(reinterpret_cast<const unsigned*>(row + 8));
  }
}

DEVICE float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// Blocks that a multiprocessor should hold at once; consumer GPUs have shared memory for one.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 900)
constexpr int kForwardBlocks = 3;
#else
constexpr int kForwardBlocks = 1;
#endif

template <int H, int L, class Encoder>
__global__ void __launch_bounds__(kThreads, kForwardBlocks)
    forward_kernel(ARGUMENT Encoder encoder, FieldWeights weights, FieldPoints at,
                   FieldOutput to) {
  const int F = encoder.features();
  const int64_t N = at.N;
  Matrices<H, L> m(reinterpret_cast<uint16_t*>(shared_memory()), F);
  m.copy(weights, F);
  uint16_t* rows = m.end() + warp() * 16 * m.row;
  sync_block();
  const int pieces = F / 8, items = 16 * pieces;
  const int g = lane() >> 2, t = lane() & 3;
  const int64_t tiles = ceil_div(N, 16);
  for (int64_t tile = static_cast<int64_t>(block()) * kWarps + warp(); tile < tiles;
       tile += static_cast<int64_t>(blocks()) * kWarps) {
    const int64_t first = tile * 16;
    for (int item = lane(); item < items; item += 32) {
      int piece = item % pieces, i = item / pieces;
      uint4 bits = make_uint4(0, 0, 0, 0);
      if (first + i < N) {
        float v[8];
        encoder.encode(at.points + (first + i) * 3, piece, v);
        bits = make_uint4(pack_half(v[0], v[1]), pack_half(v[2], v[3]), pack_half(v[4], v[5]),
                          pack_half(v[6], v[7]));
        if (to.features != nullptr)
          *reinterpret_cast<uint4*>(to.features + (first + i) * F + piece * 8) = bits;
      }
      *reinterpret_cast<uint4*>(rows + i * m.row + piece * 8) = bits;
    }
    sync_warp();
    float d[H / 8][4], out[2][4];
    uint32_t a[H / 16][4], x[2][4];
    clear<H / 8>(d);
    for (int k = 0; k < F; k += 16) {
      load_a(x[0], rows, m.row, 0, k);
      multiply_block<H / 8>(d, x[0], m.features, m.row, k);
    }
    operand<Half, H / 16, true>(a, d);
    layer<2, H / 16>(out, a, m.outputs, m.kWide);
    const int64_t low = first + g, high = low + 8;
    if (t == 0) {
      if (low < N) to.sigma[low] = density_of(out[0][0]);
      if (high < N) to.sigma[high] = density_of(out[0][2]);
    }
    load_harmonics(x[0], at, first);
    operand<Half, 1, false>(x + 1, out);
    layer<H / 8, 2>(d, x, m.first, m.kFirst);
#pragma unroll
    for (int l = 1; l < L; ++l) {
      operand<Half, H / 16, true>(a, d);
      layer<H / 8, H / 16>(d, a, m.others + (l - 1) * H * m.kWide, m.kWide);
    }
    operand<Half, H / 16, true>(a, d);
    layer<2, H / 16>(out, a, m.last, m.kWide);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      int64_t n = i < 2 ? low : high;
      int channel = 2 * t + (i & 1);
      if (n < N && channel < 3) to.colours[n * 3 + channel] = sigmoid(out[0][i]);
    }
    sync_warp();
  }
}

// The warp's 16 rows of kept features into shared memory, as they are or as bf16.
DEVICE void load_features(const uint16_t* kept, int64_t first, int64_t N, int F, bool bf16,
                          uint16_t* rows, int stride) {
  const int chunks = F / 8;
  for (int item = lane(); item < 16 * chunks; item += 32) {
    int chunk = item % chunks, i = item / chunks;
    uint4 bits = make_uint4(0, 0, 0, 0);
    if (first + i < N)
      bits = __ldg(reinterpret_cast<const uint4*>(kept + (first + i) * F + chunk * 8));
    if (bf16)
      bits = make_uint4(bf16_of_half(bits.x), bf16_of_half(bits.y), bf16_of_half(bits.z),
                        bf16_of_half(bits.w));
    *reinterpret_cast<uint4*>(rows + i * stride + chunk * 8) = bits;
  }
}

// The slopes of 16 points' three colours as an operand whose other columns are zero.
DEVICE void load_colour_slopes(uint32_t* a, const float* to_logits, int64_t first, int64_t N) {
  const int t = lane() & 3;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    int64_t n = first + (lane() >> 2) + 8 * i;
    float even = t < 2 && n < N ? to_logits[n * 3 + 2 * t] : 0.0F;
    float odd = t == 0 && n < N ? to_logits[n * 3 + 1] : 0.0F;
    a[i] = pack_bf16(even, odd);
    a[2 + i] = 0;
  }
}

template <int H>
size_t workspace_bytes(int F) {
  return kTile * static_cast<size_t>(H + kPad + std::max(F, H) + kPad) * sizeof(uint16_t);
}

template <int H, int L, class Sum>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(FieldWeights weights, FieldSums sums, FieldPoints at, FieldSlopes given,
                    int F) {
  constexpr int kB = H / 16, kWide = H + kPad;
  const int64_t N = at.N;
  static_assert(kColourInputs <= H, "the colour network's inputs fit in a row");
  Matrices<H, L> m(reinterpret_cast<uint16_t*>(shared_memory()), F);
  m.copy(weights, F);
  uint16_t *slopes = m.end(), *inputs = slopes + kTile * kWide;
  const int mine = 16 * warp(), t = lane() & 3;
  BlockSum<kB, kMaxFeatures / 16> to_density;
  BlockSum<1, kB> to_outputs;
  BlockSum<kB, 2> to_first;
  BlockSum<kB, kB> to_others[L > 1 ? L - 1 : 1];
  BlockSum<1, kB> to_last;
  sync_block();
  const int64_t tiles = ceil_div(N, kTile);
  for (int64_t tile = block(); tile < tiles; tile += blocks()) {
    const int64_t first = tile * kTile + mine;
    // Forward again, every layer's operand kept.
    uint32_t hidden[kB][4], x[2][4], colour[L][kB][4];
    float d[H / 8][4], out[2][4];
    load_features(given.features, first, N, F, false, inputs + mine * m.row, m.row);
    sync_warp();
    clear<H / 8>(d);
    for (int k = 0; k < F; k += 16) {
      load_a(x[0], inputs, m.row, mine, k);
      multiply_block<H / 8>(d, x[0], m.features, m.row, k);
    }
    operand<Half, kB, true>(hidden, d);
    layer<2, kB>(out, hidden, m.outputs, kWide);
    load_harmonics(x[0], at, first);
    operand<Half, 1, false>(x + 1, out);
    layer<H / 8, 2>(d, x, m.first, m.kFirst);
    operand<Half, kB, true>(colour[0], d);
#pragma unroll
    for (int l = 1; l < L; ++l) {
      layer<H / 8, kB>(d, colour[l - 1], m.others + (l - 1) * H * kWide, kWide);
      operand<Half, kB, true>(colour[l], d);
    }
    // Backward. The features' rows are overwritten by other layers' inputs from here on: their
    // strides differ, so that a warp writes into rows that another may still read.
    uint32_t slope[kB][4], narrow[1][4], wide[kB > 2 ? kB : 2][4];
    load_colour_slopes(narrow[0], given.to_colour_logits, first, N);
    sync_block();
    store_operand<1>(narrow, slopes, kWide, mine, 0);
    as_bf16<kB>(wide, colour[L - 1]);
    store_operand<kB>(wide, inputs, kWide, mine, 0);
    sync_block();
    to_last.add(slopes, kWide, inputs, kWide);
    sync_block();
    layer_turned<H / 8, 1>(d, narrow, m.last, kWide, 0);
    mask<kB>(d, colour[L - 1]);
    operand<Bf16, kB, false>(slope, d);
#pragma unroll
    for (int l = L - 1; l >= 1; --l) {
      store_operand<kB>(slope, slopes, kWide, mine, 0);
      as_bf16<kB>(wide, colour[l - 1]);
      store_operand<kB>(wide, inputs, kWide, mine, 0);
      sync_block();
      to_others[l - 1].add(slopes, kWide, inputs, kWide);
      sync_block();
      layer_turned<H / 8, kB>(d, slope, m.others + (l - 1) * H * kWide, kWide, 0);
      mask<kB>(d, colour[l - 1]);
      operand<Bf16, kB, false>(slope, d);
    }
    store_operand<kB>(slope, slopes, kWide, mine, 0);
    as_bf16<2>(wide, x);
    store_operand<2>(wide, inputs, kWide, mine, 0);
    sync_block();
    to_first.add(slopes, kWide, inputs, kWide);
    sync_block();
    layer_turned<2, kB>(out, slope, m.first, m.kFirst, kHarmonics);
    if (t == 0) {  // column 0 is the density's logit
      const int64_t low = first + (lane() >> 2), high = low + 8;
      out[0][0] = low < N ? given.to_logit[low] : 0.0F;
      out[0][2] = high < N ? given.to_logit[high] : 0.0F;
    }
    operand<Bf16, 1, false>(narrow, out);
    store_operand<1>(narrow, slopes, kWide, mine, 0);
    as_bf16<kB>(wide, hidden);
    store_operand<kB>(wide, inputs, kWide, mine, 0);
    sync_block();
    to_outputs.add(slopes, kWide, inputs, kWide);
    sync_block();
    layer_turned<H / 8, 1>(d, narrow, m.outputs, kWide, 0);
    mask<kB>(d, hidden);
    operand<Bf16, kB, false>(slope, d);
    store_operand<kB>(slope, slopes, kWide, mine, 0);
    load_features(given.features, first, N, F, true, inputs + mine * m.row, m.row);
    sync_block();
    to_density.add(slopes, kWide, inputs, m.row, F);
    const int64_t low = first + (lane() >> 2), high = low + 8;
#pragma unroll 1
    for (int column = 0; column < F; column += 16) {
      layer_turned<2, kB>(out, slope, m.features, m.row, column);
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        int64_t feature = column + 8 * n + 2 * t;
        if (low < N)
          *reinterpret_cast<uint32_t*>(given.to_features + low * F + feature) =
              pack_bf16(out[n][0], out[n][1]);
        if (high < N)
          *reinterpret_cast<uint32_t*>(given.to_features + high * F + feature) =
              pack_bf16(out[n][2], out[n][3]);
      }
    }
    sync_block();
  }
  to_density.write(static_cast<Sum*>(sums.density[0]), H, F, -1);
  to_outputs.write(static_cast<Sum*>(sums.density[1]), kOutputs, H, -1);
  to_first.write(static_cast<Sum*>(sums.colours[0]), H, kColourInputs - 1, kHarmonics);
#pragma unroll
  for (int l = 1; l < L; ++l) to_others[l - 1].write(static_cast<Sum*>(sums.colours[l]), H, H, -1);
  to_last.write(static_cast<Sum*>(sums.colours[L]), 3, H, -1);
}

template <int H, int L>
struct Launches {
  template <class Encoder>
  static void forward(const Encoder& encoder, const FieldWeights& weights, const FieldPoints& at,
                      const FieldOutput& to, Stream stream) {
    const int F = encoder.features();
    size_t bytes = Matrices<H, L>::bytes(F) + kTile * (F + kPad) * sizeof(uint16_t);
    auto* kernel = forward_kernel<H, L, Encoder>;
    int64_t grid = std::min(ceil_div(at.N, kTile), resident_blocks(kernel, kThreads, bytes));
    launch(kernel, grid, kThreads, bytes, stream, encoder, weights, at, to);
  }

  template <class Sum>
  static void backward(const FieldWeights& weights, const FieldSums& sums, const FieldPoints& at,
                       const FieldSlopes& slopes, int F, Stream stream) {
    size_t bytes = Matrices<H, L>::bytes(F) + workspace_bytes<H>(F);
    auto* kernel = backward_kernel<H, L, Sum>;
    int64_t grid = std::min(ceil_div(at.N, kTile), resident_blocks(kernel, kThreads, bytes));
    launch(kernel, grid, kThreads, bytes, stream, weights, sums, at, slopes, F);
  }
};

template <class F>
void choose(const FieldShape& shape, const F& f) {
  if (shape.hidden == 64 && shape.colour_layers == 1) return f(Launches<64, 1>());
  if (shape.hidden == 64 && shape.colour_layers == 2) return f(Launches<64, 2>());
  if (shape.hidden == 32 && shape.colour_layers == 1) return f(Launches<32, 1>());
  if (shape.hidden == 32 && shape.colour_layers == 2) return f(Launches<32, 2>());
  throw std::runtime_error("no tensor-core kernel for this field");
}

}  // namespace

bool field_fits(const FieldShape& shape, const TriPlanes& encoder) {
  return (shape.hidden == 64 || shape.hidden == 32) && shape.colour_layers <= 2 &&
         shape.geometry == kOutputs - 1 && encoder.channels % 8 == 0 && shape.features % 16 == 0 &&
         shape.features <= kMaxFeatures;
}

void field_forward(const FieldShape& shape, const TriPlanes& encoder, const FieldWeights& weights,
                   const FieldPoints& at, const FieldOutput& to, Stream stream) {
  choose(shape, [&](auto launches) {
    launches.forward(HalfScales(encoder), weights, at, to, stream);
  });
}

void field_backward(const FieldShape& shape, const FieldWeights& weights, const FieldSums& sums,
                    const FieldPoints& at, const FieldSlopes& slopes, Stream stream) {
  choose(shape, [&](auto launches) {
    if (sums.fixed)
      launches.template backward<int64_t>(weights, sums, at, slopes, shape.features, stream);
    else
      launches.template backward<float>(weights, sums, at, slopes, shape.features, stream);
  });
}

}  // namespace dac::cuda

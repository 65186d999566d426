// Single operations that are no part of the kernels of whole rays in this form.
//
// Notation as in common/stages.h. A thread has one ray, along which it goes in double precision as
// the CPU does, or one number of the result. Sums over everything are the same bits every time:
// each block sums kChunk terms, then one block the blocks' sums.
#include "device.h"
#include "kernels.h"
#include "stages.h"

namespace dac::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRayBlock = 64;     // rays of a block: few, so that a batch is on all of the GPU
constexpr int64_t kChunk = 4096;  // terms that a block sums

// ---- Each item, and sums over all ----

template <class F>
__global__ void __launch_bounds__(kThreads) each_kernel(int64_t count, F f) {
  int64_t item = static_cast<int64_t>(block()) * threads() + thread();
  if (item < count) f(item);
}

template <class F>
void each(int64_t count, int block, const F& f, Stream stream) {
  launch(each_kernel<F>, ceil_div(count, block), block, 0, stream, count, f);
}

// The sum over a block of kThreads, for thread 0.
DEVICE double block_sum(double x) {
  double* sums = reinterpret_cast<double*>(shared_memory());
  sums[thread()] = x;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    sync_block();
    if (thread() < half) sums[thread()] += sums[thread() + half];
  }
  return thread() == 0 ? sums[0] : 0;
}

template <class F>
__global__ void __launch_bounds__(kThreads) chunk_sums_kernel(int64_t count, F f, float* sums) {
  const int64_t begin = block() * kChunk;
  const int64_t end = begin + kChunk < count ? begin + kChunk : count;
  double sum = 0;
  for (int64_t i = begin + thread(); i < end; i += kThreads) sum += f(i);
  sum = block_sum(sum);
  if (thread() == 0) sums[block()] = static_cast<float>(sum);
}

__global__ void __launch_bounds__(kThreads)
    mean_kernel(int64_t count, const float* terms, double divisor, float* out) {
  double sum = 0;
  for (int64_t i = thread(); i < count; i += kThreads) sum += terms[i];
  sum = block_sum(sum);
  if (thread() == 0) *out = static_cast<float>(sum / divisor);
}

constexpr size_t kSumBytes = kThreads * sizeof(double);

void mean(int64_t count, const float* terms, double divisor, float* out, Stream stream) {
  launch(mean_kernel, 1, kThreads, kSumBytes, stream, count, terms, divisor, out);
}

template <class F>
void mean_of(int64_t count, const F& f, double divisor, float* scratch, float* out,
             Stream stream) {
  const int64_t chunks = ceil_div(count, kChunk);
  launch(chunk_sums_kernel<F>, chunks, kThreads, kSumBytes, stream, count, f, scratch);
  mean(chunks, scratch, divisor, out, stream);
}

// ---- Sums of weights and values ----

struct ValueSum {
  int S, D;
  const float *weights, *values;
  float* to;
  DEVICE void operator()(int64_t item) const {
    const int64_t r = item / D;
    const float *w = weights + r * S, *v = values + r * S * D + item % D;
    float sum = 0;
    for (int i = 0; i < S; ++i) sum += w[i] * v[static_cast<int64_t>(i) * D];
    to[item] = sum;
  }
};

struct ValueSlopes {
  int S, D;
  const float *grad, *weights, *values;
  float *to_weights, *to_values;
  DEVICE void operator()(int64_t item) const {
    const float *g = grad + item / S * D, *v = values + item * D;
    const float w = weights[item];
    float sum = 0;
    for (int d = 0; d < D; ++d) {
      sum += g[d] * v[d];
      to_values[item * D + d] = g[d] * w;
    }
    to_weights[item] = sum;
  }
};

// ---- Histograms ----

// As resample in common/stages.h, for levels u that are given.
struct Resampling {
  int S, T;
  const float *edges, *weights, *u;
  float padding;
  float* to;
  DEVICE void operator()(int64_t r) const {
    const float *w = weights + r * S, *e = edges + r * (S + 1);
    double total = 0;
    for (int i = 0; i < S; ++i) total += w[i] + padding;
    const float whole = static_cast<float>(total);
    double reached = w[0] + padding;
    float c0 = 0, c1 = static_cast<float>(reached) / whole;
    int bin = 0;
    for (int64_t i = r * T; i < (r + 1) * T; ++i) {
      while (c1 <= u[i] && bin + 1 < S) {
        reached += w[++bin] + padding;
        c0 = c1;
        c1 = static_cast<float>(reached) / whole;
      }
      float part = smaller((u[i] - c0) / (c1 - c0), 1.0F);
      to[i] = smaller(e[bin] + part * (e[bin + 1] - e[bin]), e[bin + 1]);
    }
  }
};

struct DistortionTerm {
  int S;
  const float *s, *weights;
  float* terms;
  DEVICE void operator()(int64_t r) const {
    terms[r] = distortion(S, s + r * (S + 1), weights + r * S, 0, nullptr, 1);
  }
};

struct DistortionSlope {
  int64_t R;
  int S;
  const float *grad, *s, *weights;
  float* to;  // zeros
  DEVICE void operator()(int64_t r) const {
    const float scale = *grad / static_cast<float>(R);
    distortion(S, s + r * (S + 1), weights + r * S, scale, to + r * S, 1);
  }
};

struct HistogramTerm {
  Histograms of;
  float eps;
  float* terms;
  DEVICE void operator()(int64_t r) const {
    terms[r] = histogram(of.S, of.s + r * (of.S + 1), of.weights + r * of.S, of.P,
                         of.s_coarse + r * (of.P + 1), of.coarse + r * of.P, eps, 0, nullptr,
                         nullptr, 1);
  }
};

struct HistogramSlope {
  Histograms of;
  float eps;
  const float* grad;
  float *steps, *to;  // `to` zeros
  DEVICE void operator()(int64_t r) const {
    const float scale = *grad / static_cast<float>(of.R * of.S);
    histogram(of.S, of.s + r * (of.S + 1), of.weights + r * of.S, of.P,
              of.s_coarse + r * (of.P + 1), of.coarse + r * of.P, eps, scale, to + r * of.P,
              steps + r * (of.P + 1), 1);
  }
};

// A fine bin's bound is the mass before the first coarse edge at or behind its end, less the mass
// before the coarse bin that holds its start.
struct Bound {
  Histograms of;
  float* to;
  DEVICE void operator()(int64_t r) const {
    const float *s = of.s + r * (of.S + 1), *e = of.s_coarse + r * (of.P + 1);
    const float* coarse = of.coarse + r * of.P;
    double mass_first = 0, mass_last = 0;
    int first = 0, last = 0;
    for (int i = 0; i < of.S; ++i) {
      while (first < of.P && e[first + 1] <= s[i]) mass_first += coarse[first++];
      while (last < of.P && e[last] < s[i + 1]) mass_last += coarse[last++];
      to[r * of.S + i] = static_cast<float>(mass_last - mass_first);
    }
  }
};

// A coarse bin has the slopes of the fine bins that start before its end, less those of the ones
// that end before its start.
struct BoundSlope {
  Histograms of;
  const float* grad;
  float* to;
  DEVICE void operator()(int64_t r) const {
    const float *s = of.s + r * (of.S + 1), *e = of.s_coarse + r * (of.P + 1);
    const float* g = grad + r * of.S;
    double started = 0, ended = 0;
    int starts = 0, ends = 0;
    for (int p = 0; p < of.P; ++p) {
      while (starts < of.S && s[starts] < e[p + 1]) started += g[starts++];
      while (ends < of.S && s[ends + 1] <= e[p]) ended += g[ends++];
      to[r * of.P + p] = static_cast<float>(started - ended);
    }
  }
};

// ---- Total variation ----

struct Variation {
  int64_t height, row, channels;  // `row` numbers in a row of entries
  float over_h, over_w;
  const float* planes;
  DEVICE float operator()(int64_t i) const {
    const float here = planes[i];
    float sum = 0;
    if (i / row % height + 1 < height) {
      float d = planes[i + row] - here;
      sum += over_h * d * d;
    }
    if (i % row + channels < row) {
      float d = planes[i + channels] - here;
      sum += over_w * d * d;
    }
    return sum;
  }
};

struct VariationSlope {
  Variation of;
  const float* grad;
  float* to;
  DEVICE void operator()(int64_t i) const {
    const float* p = of.planes + i;
    const int64_t y = i / of.row % of.height, x = i % of.row;
    float sum = 0;
    if (y > 0) sum += of.over_h * (p[0] - p[-of.row]);
    if (y + 1 < of.height) sum -= of.over_h * (p[of.row] - p[0]);
    if (x >= of.channels) sum += of.over_w * (p[0] - p[-of.channels]);
    if (x + of.channels < of.row) sum -= of.over_w * (p[of.channels] - p[0]);
    to[i] = 2 * *grad * sum;
  }
};

Variation variation_of(int64_t height, int64_t width, int64_t channels, const float* planes) {
  const int64_t row = width * channels;
  return {height, row, channels, 1 / static_cast<float>((height - 1) * row),
          1 / static_cast<float>(height * (row - channels)), planes};
}

// ---- Differences ----

struct Squared {
  const float *a, *b, *weights;  // weights for three numbers each, or null
  DEVICE float operator()(int64_t i) const {
    const float d = a[i] - b[i];
    return (weights != nullptr ? weights[i / 3] : 1.0F) * d * d;
  }
};

struct SquaredSlope {
  Squared of;
  float divisor;
  const float* grad;
  float* to;
  DEVICE void operator()(int64_t i) const {
    const float scale = 2 * *grad / divisor;
    to[i] = scale * (of.weights != nullptr ? of.weights[i / 3] : 1.0F) * (of.a[i] - of.b[i]);
  }
};

}  // namespace

int64_t sum_scratch(int64_t count) { return ceil_div(count, kChunk); }

void composite_values(int64_t R, int S, int D, const float* weights, const float* values,
                      float* out, Stream stream) {
  each(R * D, kThreads, ValueSum{S, D, weights, values, out}, stream);
}

void composite_values_backward(int64_t R, int S, int D, const float* grad, const float* weights,
                               const float* values, float* to_weights, float* to_values,
                               Stream stream) {
  const ValueSlopes slopes{S, D, grad, weights, values, to_weights, to_values};
  each(R * S, kThreads, slopes, stream);
}

void resample_at(int64_t R, int S, int T, const float* edges, const float* weights, const float* u,
                 float padding, float* out, Stream stream) {
  each(R, kRayBlock, Resampling{S, T, edges, weights, u, padding, out}, stream);
}

void distortion_loss(int64_t R, int S, const float* s, const float* weights, float* terms,
                     float* out, Stream stream) {
  each(R, kRayBlock, DistortionTerm{S, s, weights, terms}, stream);
  mean(R, terms, static_cast<double>(R), out, stream);
}

void distortion_loss_backward(int64_t R, int S, const float* grad, const float* s,
                              const float* weights, float* to_weights, Stream stream) {
  each(R, kRayBlock, DistortionSlope{R, S, grad, s, weights, to_weights}, stream);
}

void histogram_loss(const Histograms& of, float eps, float* terms, float* out, Stream stream) {
  each(of.R, kRayBlock, HistogramTerm{of, eps, terms}, stream);
  mean(of.R, terms, static_cast<double>(of.R * of.S), out, stream);
}

void histogram_loss_backward(const Histograms& of, float eps, const float* grad, float* steps,
                             float* to_coarse, Stream stream) {
  each(of.R, kRayBlock, HistogramSlope{of, eps, grad, steps, to_coarse}, stream);
}

void outer_bound(const Histograms& of, float* bound, Stream stream) {
  each(of.R, kRayBlock, Bound{of, bound}, stream);
}

void outer_bound_backward(const Histograms& of, const float* grad, float* to_coarse,
                          Stream stream) {
  each(of.R, kRayBlock, BoundSlope{of, grad, to_coarse}, stream);
}

void plane_tv(int64_t count, int64_t height, int64_t width, int64_t channels, const float* planes,
              float* scratch, float* out, Stream stream) {
  const Variation of = variation_of(height, width, channels, planes);
  mean_of(count * height * of.row, of, 1, scratch, out, stream);
}

void plane_tv_backward(int64_t count, int64_t height, int64_t width, int64_t channels,
                       const float* grad, const float* planes, float* to_planes, Stream stream) {
  const Variation of = variation_of(height, width, channels, planes);
  each(count * height * of.row, kThreads, VariationSlope{of, grad, to_planes}, stream);
}

void squared_loss(int64_t count, const float* a, const float* b, const float* weights,
                  double divisor, float* scratch, float* out, Stream stream) {
  mean_of(count, Squared{a, b, weights}, divisor, scratch, out, stream);
}

void squared_loss_backward(int64_t count, const float* grad, const float* a, const float* b,
                           const float* weights, double divisor, float* to_a, Stream stream) {
  const Squared of{a, b, weights};
  each(count, kThreads, SquaredSlope{of, static_cast<float>(divisor), grad, to_a}, stream);
}

}  // namespace dac::cuda

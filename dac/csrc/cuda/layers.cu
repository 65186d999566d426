// Networks of any width in float32, layer by layer: for shapes that the tensor-core kernels don't
// take, and where float32 is asked for. Simple rather than fast.
#include "device.h"
#include "kernels.h"

namespace dac::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlock = 32;       // outputs and inputs of a layer_sums block
constexpr int kRows = 32;        // rows of it in shared memory
constexpr int64_t kPart = 4096;  // rows that one block sums

__global__ void __launch_bounds__(kThreads)
    forward_kernel(int64_t N, ConstRows x, ConstRows weight, Shift shift, bool relu, Rows y) {
  int64_t item = static_cast<int64_t>(block()) * threads() + thread();
  if (item >= N * y.width) return;
  int64_t n = item / y.width;
  int o = static_cast<int>(item % y.width);
  const float *row = x.at + n * x.row, *w = weight.at + static_cast<int64_t>(o) * weight.row;
  float sum = 0;
  for (int i = 0; i < x.width; ++i) sum += row[i] * w[i];
  if (shift.rows != nullptr) sum += shift.rows[n / shift.S * y.width + o];
  y.at[n * y.row + o] = relu && sum < 0 ? 0.0F : sum;
}

__global__ void __launch_bounds__(kThreads)
    backward_kernel(int64_t N, ConstRows to_y, ConstRows weight, const float* mask, Rows to_x) {
  int64_t item = static_cast<int64_t>(block()) * threads() + thread();
  if (item >= N * to_x.width) return;
  int64_t n = item / to_x.width;
  int i = static_cast<int>(item % to_x.width);
  const float* row = to_y.at + n * to_y.row;
  float sum = 0;
  for (int o = 0; o < to_y.width; ++o)
    sum += row[o] * weight.at[static_cast<int64_t>(o) * weight.row + i];
  to_x.at[n * to_x.row + i] = mask == nullptr || mask[n * to_x.row + i] > 0 ? sum : 0.0F;
}

// A block sums kBlock x kBlock products over kPart rows; thread (a, b) has output b + 8 j, input a.
template <class Sum>
__global__ void __launch_bounds__(kThreads)
    sums_kernel(int64_t N, ConstRows to_y, ConstRows x, Sum* sums, int sum_row) {
  const int in = x.width, out = to_y.width;
  constexpr int kStride = kBlock + 1;
  float* slopes = reinterpret_cast<float*>(shared_memory());
  float* values = slopes + kRows * kStride;
  const int in_blocks = (in + kBlock - 1) / kBlock, out_blocks = (out + kBlock - 1) / kBlock;
  const int first_in = block() % in_blocks * kBlock;
  const int first_out = block() / in_blocks % out_blocks * kBlock;
  const int64_t begin = block() / in_blocks / out_blocks * kPart;
  const int64_t end = begin + kPart < N ? begin + kPart : N;
  const int a = thread() % kBlock, b = thread() / kBlock;
  float total[kBlock / 8] = {};
  for (int64_t first = begin; first < end; first += kRows) {
    for (int r = b; r < kRows; r += kThreads / kBlock) {
      int64_t n = first + r;
      slopes[r * kStride + a] =
          n < end && first_out + a < out ? to_y.at[n * to_y.row + first_out + a] : 0;
      values[r * kStride + a] = n < end && first_in + a < in ? x.at[n * x.row + first_in + a] : 0;
    }
    sync_block();
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int j = 0; j < kBlock / 8; ++j)
        total[j] += slopes[r * kStride + b + 8 * j] * values[r * kStride + a];
    sync_block();
  }
#pragma unroll
  for (int j = 0; j < kBlock / 8; ++j)
    if (first_out + b + 8 * j < out && first_in + a < in)
      add_sum(sums + static_cast<int64_t>(first_out + b + 8 * j) * sum_row + first_in + a,
              total[j]);
}

__global__ void __launch_bounds__(kThreads)
    sum_rows_kernel(int64_t R, int S, int width, const float* x, float* totals) {
  int64_t item = static_cast<int64_t>(block()) * threads() + thread();
  if (item >= R * width) return;
  int64_t r = item / width;
  const float* from = x + r * S * width + item % width;
  float sum = 0;
  for (int i = 0; i < S; ++i) sum += from[static_cast<int64_t>(i) * width];
  totals[item] = sum;
}

__global__ void __launch_bounds__(kThreads)
    densities_kernel(int64_t N, const float* logits, int row, float* sigma) {
  int64_t n = static_cast<int64_t>(block()) * threads() + thread();
  if (n < N) sigma[n] = density_of(logits[n * row]);
}

__global__ void __launch_bounds__(kThreads)
    sigmoids_kernel(int64_t count, const float* logits, float* values) {
  int64_t i = static_cast<int64_t>(block()) * threads() + thread();
  if (i < count) values[i] = 1 / (1 + expf(-logits[i]));
}

__global__ void __launch_bounds__(kThreads)
    spread_kernel(int64_t N, const float* from, float* to, int row) {
  int64_t n = static_cast<int64_t>(block()) * threads() + thread();
  if (n < N) to[n * row] = from[n];
}

}  // namespace

void layer_forward(int64_t N, const ConstRows& x, const ConstRows& weight, const Shift& shift,
                   bool relu, const Rows& y, Stream stream) {
  launch(forward_kernel, ceil_div(N * y.width, kThreads), kThreads, 0, stream, N, x, weight, shift,
         relu, y);
}

void layer_backward(int64_t N, const ConstRows& to_y, const ConstRows& weight, const float* mask,
                    const Rows& to_x, Stream stream) {
  launch(backward_kernel, ceil_div(N * to_x.width, kThreads), kThreads, 0, stream, N, to_y, weight,
         mask, to_x);
}

void layer_sums(int64_t N, const ConstRows& to_y, const ConstRows& x, const WeightSum& sum,
                Stream stream) {
  int64_t grid = ceil_div(x.width, kBlock) * ceil_div(to_y.width, kBlock) * ceil_div(N, kPart);
  size_t bytes = 2 * kRows * (kBlock + 1) * sizeof(float);
  if (sum.fixed)
    launch(sums_kernel<int64_t>, grid, kThreads, bytes, stream, N, to_y, x,
           static_cast<int64_t*>(sum.to), sum.row);
  else
    launch(sums_kernel<float>, grid, kThreads, bytes, stream, N, to_y, x,
           static_cast<float*>(sum.to), sum.row);
}

void sum_rows(int64_t R, int S, int width, const float* x, float* totals, Stream stream) {
  launch(sum_rows_kernel, ceil_div(R * width, kThreads), kThreads, 0, stream, R, S, width, x,
         totals);
}

void densities(int64_t N, const float* logits, int row, float* sigma, Stream stream) {
  launch(densities_kernel, ceil_div(N, kThreads), kThreads, 0, stream, N, logits, row, sigma);
}

void sigmoids(int64_t count, const float* logits, float* values, Stream stream) {
  launch(sigmoids_kernel, ceil_div(count, kThreads), kThreads, 0, stream, count, logits, values);
}

void spread(int64_t N, const float* from, float* to, int row, Stream stream) {
  launch(spread_kernel, ceil_div(N, kThreads), kThreads, 0, stream, N, from, to, row);
}

}  // namespace dac::cuda

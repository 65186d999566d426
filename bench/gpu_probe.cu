// Two rates of a GPU that no library measures: rows gathered from, and added to, a table at random.
//
// The table is as large as a model's planes (64 MiB), a row is 64 bytes, which is 32 channels in half
// precision: four lanes fetch one row of it 16 bytes each, or eight add one row of float32 (128
// bytes) by vector reductions. Prints one line of JSON: bytes a second, medians of 21 runs.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int kThreads = 256;
constexpr int64_t kTable = 64 << 20, kItems = 1 << 25;  // bytes; lanes' accesses in a run

void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "error: %s\n", cudaGetErrorString(error));
  std::exit(1);
}

__device__ uint32_t scramble(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  return x ^ x >> 16;
}

// Each thread has kEach rows in flight, as a lookup of a cell's corners in three planes has.
template <int kEach>
__global__ void gather(const uint4* table, uint32_t rows, uint32_t seed, uint4* out) {
  uint32_t item = blockIdx.x * kThreads + threadIdx.x, group = item / 4, part = item % 4;
  uint4 sum = make_uint4(0, 0, 0, 0), value[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i)
    value[i] = __ldg(table + scramble(seed + group * kEach + i) % rows * 4 + part);
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    sum.x ^= value[i].x;
    sum.y ^= value[i].y;
    sum.z ^= value[i].z;
    sum.w ^= value[i].w;
  }
  if (sum.x == 1 && sum.y == 2) out[0] = sum;  // never; but the compiler can't know
}

template <int kEach>
__global__ void reduce(float* table, uint32_t rows, uint32_t seed) {
  uint32_t item = blockIdx.x * kThreads + threadIdx.x, group = item / 8, part = item % 8;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    float* to = table + (scramble(seed + group * kEach + i) % rows * 8 + part) * 4;
#if __CUDA_ARCH__ >= 900
    asm volatile("red.global.add.v4.f32 [%0], {%1,%1,%1,%1};" ::"l"(__cvta_generic_to_global(to)),
                 "f"(1.0F)
                 : "memory");
#else
    for (int channel = 0; channel < 4; ++channel) atomicAdd(to + channel, 1.0F);
#endif
  }
}

template <class Run>
double bytes_a_second(double bytes, const Run& run) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  std::vector<float> ms;
  for (uint32_t repeat = 0; repeat < 24; ++repeat) {
    check(cudaEventRecord(begin));
    run(repeat * 977);
    check(cudaEventRecord(end));
    check(cudaGetLastError());
    check(cudaEventSynchronize(end));
    float took = 0;
    check(cudaEventElapsedTime(&took, begin, end));
    if (repeat >= 3) ms.push_back(took);
  }
  std::nth_element(ms.begin(), ms.begin() + ms.size() / 2, ms.end());
  return bytes / (ms[ms.size() / 2] * 1e-3);
}

}  // namespace

int main() {
  constexpr int kEach = 12;
  void *table = nullptr, *out = nullptr;
  check(cudaMalloc(&table, kTable));
  check(cudaMalloc(&out, 16));
  check(cudaMemset(table, 1, kTable));
  const unsigned blocks = kItems / kEach / kThreads;
  const double accesses = static_cast<double>(blocks) * kThreads * kEach;
  double gathered = bytes_a_second(accesses * 16, [&](uint32_t seed) {
    gather<kEach><<<blocks, kThreads>>>(static_cast<uint4*>(table), kTable / 64, seed,
                                        static_cast<uint4*>(out));
  });
  check(cudaMemset(table, 0, kTable));
  double reduced = bytes_a_second(accesses * 16, [&](uint32_t seed) {
    reduce<kEach><<<blocks, kThreads>>>(static_cast<float*>(table), kTable / 128, seed);
  });
  std::printf("{\"gather\": %.6g, \"reduce\": %.6g}\n", gathered, reduced);
  return 0;
}

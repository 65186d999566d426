// What kernels ask of the machine, one function each: lanes, tensor cores, reductions, launches.
//
// Kernels use nothing else of CUDA, so that tests can run them on the host: with DAC_EMULATE the
// same names come from tests/csrc/emulator.h. Sixteen-bit numbers travel as bits (uint16_t, two in
// a uint32_t, the first in the low half); every collective is for all 32 lanes of a warp.
//
// Tensor-core fragments, lane = 4 g + t, as PTX defines them for m16n8k16:
//   A (16 x 16): a[0] row g, columns 2t and 2t+1; a[1] row g+8; a[2], a[3] the same at columns + 8.
//   B (16 x 8): b[0] rows 2t and 2t+1 of column g; b[1] rows + 8.
//   D (16 x 8): d[0], d[1] row g, columns 2t and 2t+1; d[2], d[3] row g+8.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "stages.h"

struct CUstream_st;

namespace dac::cuda {
using Stream = CUstream_st*;
}

#ifdef DAC_EMULATE
#include "emulator.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define DEVICE __device__ __forceinline__
// A kernel's structure whose arrays are indexed at run time: read where it lies, never copied.
#define ARGUMENT const __grid_constant__

namespace dac::cuda {

// ---- Lanes ----

constexpr unsigned kAll = 0xffffffffU;

DEVICE int lane() { return static_cast<int>(threadIdx.x & 31); }
DEVICE int warp() { return static_cast<int>(threadIdx.x >> 5); }
DEVICE int thread() { return static_cast<int>(threadIdx.x); }
DEVICE int block() { return static_cast<int>(blockIdx.x); }
DEVICE int threads() { return static_cast<int>(blockDim.x); }
DEVICE int blocks() { return static_cast<int>(gridDim.x); }
DEVICE void sync_block() { __syncthreads(); }
DEVICE void sync_warp() { __syncwarp(); }
DEVICE float shuffle(float x, int from) { return __shfl_sync(kAll, x, from); }
DEVICE float shuffle_up(float x, int by) { return __shfl_up_sync(kAll, x, by); }
DEVICE float shuffle_down(float x, int by) { return __shfl_down_sync(kAll, x, by); }
DEVICE float shuffle_xor(float x, int mask) { return __shfl_xor_sync(kAll, x, mask); }

DEVICE unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char memory[];
  return memory;
}

// ---- Sixteen-bit numbers ----

DEVICE uint32_t pack_half(float low, float high) {
  __half2 both = __floats2half2_rn(low, high);
  return *reinterpret_cast<uint32_t*>(&both);
}
DEVICE float2 unpack_half(uint32_t bits) {
  return __half22float2(*reinterpret_cast<__half2*>(&bits));
}
DEVICE uint32_t pack_bf16(float low, float high) {
  __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<uint32_t*>(&both);
}
DEVICE float2 unpack_bf16(uint32_t bits) {
  return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000U));
}

// ---- Tensor cores ----

DEVICE void multiply_half(float* d, const uint32_t* a, const uint32_t* b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEVICE void multiply_bf16(float* d, const uint32_t* a, const uint32_t* b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices from shared memory: lane 8 m + i gives the address (16-byte aligned) of row i
// of matrix m, and receives in r[m] row g, columns 2t and 2t+1 of it, or of its transpose.
DEVICE void load_matrices(uint32_t* r, const uint16_t* row) {
  auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
DEVICE void load_transposed(uint32_t* r, const uint16_t* row) {
  auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// ---- Sums in global memory; nobody waits for the result ----

DEVICE void add(float* to, float value) { atomicAdd(to, value); }
DEVICE void add(int64_t* to, int64_t value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}
// 16-byte aligned.
DEVICE void add(float* to, float4 v) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.global.add.v4.f32 [%0], {%1,%2,%3,%4};" ::"l"(__cvta_generic_to_global(to)),
               "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w)
               : "memory");
#else
  atomicAdd(to, v.x);
  atomicAdd(to + 1, v.y);
  atomicAdd(to + 2, v.z);
  atomicAdd(to + 3, v.w);
#endif
}

// ---- Launches ----

inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string("CUDA, ") + what + ": " + cudaGetErrorString(error));
}

inline int multiprocessors() {
  int device = 0, count = 0;
  check(cudaGetDevice(&device), "asking for the device");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "its size");
  return count;
}

inline void allow_shared(const void* kernel, size_t shared) {
  constexpr size_t kDefault = 48 * 1024;  // more must be asked for
  if (shared > kDefault)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)),
          "asking for shared memory");
}

// How many blocks of a kernel the GPU holds at once: the grid of one that walks over its work.
template <class... P>
int64_t resident_blocks(void (*kernel)(P...), int block, size_t shared) {
  const void* address = reinterpret_cast<const void*>(kernel);
  allow_shared(address, shared);
  int count = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, kernel, block, shared),
        "asking how many blocks run at once");
  return static_cast<int64_t>(std::max(count, 1)) * multiprocessors();
}

template <class... P, class... A>
void launch(void (*kernel)(P...), int64_t grid, int block, size_t shared, Stream stream,
            A... args) {
  if (grid == 0) return;
  allow_shared(reinterpret_cast<const void*>(kernel), shared);
  // clang-format off
  kernel<<<static_cast<unsigned>(grid), block, shared, stream>>>(static_cast<P>(args)...);
  // clang-format on
  check(cudaGetLastError(), "launching a kernel");
}

inline void clear(void* memory, size_t bytes, Stream stream) {
  check(cudaMemsetAsync(memory, 0, bytes, stream), "clearing memory");
}

}  // namespace dac::cuda
#endif

namespace dac::cuda {

HD int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- Over a warp, one value a lane ----

DEVICE float warp_sum(float x) {
  for (int mask = 16; mask > 0; mask >>= 1) x += shuffle_xor(x, mask);
  return x;
}

// Sum of this lane's and all earlier lanes' values.
DEVICE float warp_prefix(float x) {
  for (int by = 1; by < 32; by <<= 1) {
    float other = shuffle_up(x, by);
    if (lane() >= by) x += other;
  }
  return x;
}

// Sum of this lane's and all later lanes' values.
DEVICE float warp_suffix(float x) {
  for (int by = 1; by < 32; by <<= 1) {
    float other = shuffle_down(x, by);
    if (lane() + by < 32) x += other;
  }
  return x;
}

// ---- Density ----

DEVICE float density_of(float logit) {
  float sigma = expf(logit - kShift);
  return sigma > kLargest ? kLargest : sigma;  // NaN stays
}

// ---- Gradients of parameters: float32, or 64-bit fixed point, whose sum has no order ----

constexpr float kFixedOne = 0x1p44F;

DEVICE void add_sum(float* to, float value) { add(to, value); }
DEVICE void add_sum(int64_t* to, float value) {
  add(to, static_cast<int64_t>(rintf(value * kFixedOne)));
}
DEVICE void add_sum(float* to, float4 v) { add(to, v); }
DEVICE void add_sum(int64_t* to, float4 v) {
  add_sum(to, v.x);
  add_sum(to + 1, v.y);
  add_sum(to + 2, v.z);
  add_sum(to + 3, v.w);
}

}  // namespace dac::cuda

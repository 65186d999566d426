// A GPU's block on the host: what dac/csrc/cuda/device.h gives kernels, for tests without a GPU.
//
// A block's threads are fibers that run in turn, one after the other, and change places only at
// barriers and collectives. So a kernel's arithmetic, indices, barriers and tensor-core fragments
// are tested. A race between two barriers shows where it depends on the order of turns: tests run
// kernels in several (`turns`). Included by device.h when DAC_EMULATE is defined.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define DEVICE inline
#define ARGUMENT const
#define __global__
#define __launch_bounds__(...)

struct float2 {
  float x, y;
};
struct float4 {
  float x, y, z, w;
};
struct uint2 {
  unsigned x, y;
};
struct uint4 {
  unsigned x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
// As on the machine, a wide access must be aligned.
template <class T>
T __ldg(const T* from) {
  if (reinterpret_cast<uintptr_t>(from) % sizeof(T) != 0) std::abort();
  return *from;
}

namespace dac::cuda {

// ---- Fibers ----

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool done = false;
};

// What the lanes of a warp lay before each other in a collective; two in turn, so that a slow lane
// still finds its own.
struct Exchange {
  alignas(16) unsigned char of[2][32][64];
  int arrived = 0;
  unsigned turn = 0;
};

struct Block {
  int index = 0, count = 0, threads = 0, current = 0;
  std::vector<Fiber> fibers;
  std::vector<Exchange> warps;
  std::vector<unsigned char> shared;
  int arrived = 0;
  unsigned turn = 0;
  ucontext_t scheduler;
  std::function<void()> body;
};

inline Block* the_block = nullptr;

// In which order threads take turns: 0 ascending, 1 descending, 2 mixed; 3 and 4 a warp at a time,
// as far as it gets alone, the first or the last warp first.
inline int turns = 0;

inline int thread_at(int turn, int threads) {
  if (turns == 1 || turns == 4) return threads - 1 - turn;
  if (turns == 2) return static_cast<int>((turn * 77L + 13) % threads);  // one to one: 77 is odd
  return turn;
}

inline void give_way() {
  Fiber& fiber = the_block->fibers[the_block->current];
  swapcontext(&fiber.context, &the_block->scheduler);
}

inline int thread() { return the_block->current; }
inline int lane() { return the_block->current % 32; }
inline int warp() { return the_block->current / 32; }
inline int block() { return the_block->index; }
inline int threads() { return the_block->threads; }
inline int blocks() { return the_block->count; }

inline unsigned char* shared_memory() {
  auto address = reinterpret_cast<uintptr_t>(the_block->shared.data());
  return reinterpret_cast<unsigned char*>((address + 127) / 128 * 128);
}

inline void sync_block() {
  unsigned turn = the_block->turn;
  if (++the_block->arrived == the_block->threads) {
    the_block->arrived = 0;
    ++the_block->turn;
  }
  while (the_block->turn == turn) give_way();
}

// All lanes' values of a T, once all have come.
template <class T>
const T* exchange(const T& value, std::vector<T>* all) {
  static_assert(sizeof(T) <= 64);
  Exchange& warp_of = the_block->warps[warp()];
  unsigned turn = warp_of.turn;
  std::memcpy(warp_of.of[turn & 1][lane()], &value, sizeof(T));
  if (++warp_of.arrived == 32) {
    warp_of.arrived = 0;
    ++warp_of.turn;
  }
  while (warp_of.turn == turn) give_way();
  all->resize(32);
  for (int i = 0; i < 32; ++i) std::memcpy(&(*all)[i], warp_of.of[turn & 1][i], sizeof(T));
  return all->data();
}

inline void sync_warp() {
  std::vector<int> all;
  exchange(0, &all);
}

inline float shuffle(float x, int from) {
  std::vector<float> all;
  return exchange(x, &all)[from & 31];
}
inline float shuffle_up(float x, int by) {
  std::vector<float> all;
  exchange(x, &all);
  return all[lane() >= by ? lane() - by : lane()];
}
inline float shuffle_down(float x, int by) {
  std::vector<float> all;
  exchange(x, &all);
  return all[lane() + by < 32 ? lane() + by : lane()];
}
inline float shuffle_xor(float x, int mask) {
  std::vector<float> all;
  return exchange(x, &all)[lane() ^ mask];
}

// ---- Sixteen-bit numbers ----

inline uint16_t half_bits(float x) {
  _Float16 half = static_cast<_Float16>(x);
  uint16_t bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}
inline float from_half(uint16_t bits) {
  _Float16 half;
  std::memcpy(&half, &bits, 2);
  return static_cast<float>(half);
}
inline uint16_t bf16_bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if (std::isnan(x)) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float from_bf16(uint16_t bits) {
  uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float x;
  std::memcpy(&x, &wide, 4);
  return x;
}
inline uint32_t pack_half(float low, float high) { return half_bits(low) | half_bits(high) << 16; }
inline float2 unpack_half(uint32_t bits) {
  return {from_half(static_cast<uint16_t>(bits)), from_half(static_cast<uint16_t>(bits >> 16))};
}
inline uint32_t pack_bf16(float low, float high) { return bf16_bits(low) | bf16_bits(high) << 16; }
inline float2 unpack_bf16(uint32_t bits) {
  return {from_bf16(static_cast<uint16_t>(bits)), from_bf16(static_cast<uint16_t>(bits >> 16))};
}

// ---- Tensor cores: the fragments as PTX documents them ----

struct Operands {
  uint32_t a[4], b[2];
};

template <float (*kNumber)(uint16_t)>
void multiply(float* d, const uint32_t* a, const uint32_t* b) {
  std::vector<Operands> all;
  exchange(Operands{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}}, &all);
  auto half_of = [](uint32_t bits, int k) {
    return kNumber(static_cast<uint16_t>(k % 2 ? bits >> 16 : bits));
  };
  for (int i = 0; i < 4; ++i) {
    int row = lane() / 4 + (i >= 2 ? 8 : 0), column = lane() % 4 * 2 + i % 2;
    float sum = d[i];
    for (int k = 0; k < 16; ++k) {
      int t = k % 8 / 2;
      uint32_t from_a = all[row % 8 * 4 + t].a[(row >= 8) + 2 * (k >= 8)];
      uint32_t from_b = all[column * 4 + t].b[k >= 8];
      sum += half_of(from_a, k) * half_of(from_b, k);
    }
    d[i] = sum;
  }
}
inline void multiply_half(float* d, const uint32_t* a, const uint32_t* b) {
  multiply<from_half>(d, a, b);
}
inline void multiply_bf16(float* d, const uint32_t* a, const uint32_t* b) {
  multiply<from_bf16>(d, a, b);
}

inline void load_eights(uint32_t* r, const uint16_t* row, bool transposed) {
  const unsigned char* begin = shared_memory();
  auto* at = reinterpret_cast<const unsigned char*>(row);
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0 || at < begin ||
      at + 16 > the_block->shared.data() + the_block->shared.size())
    std::abort();
  std::vector<const uint16_t*> rows;
  exchange(row, &rows);
  int g = lane() / 4, t = lane() % 4;
  for (int m = 0; m < 4; ++m) {
    auto value = [&](int i, int j) -> uint32_t {
      return transposed ? rows[8 * m + j][i] : rows[8 * m + i][j];
    };
    r[m] = value(g, 2 * t) | value(g, 2 * t + 1) << 16;
  }
  sync_warp();  // nobody writes before all have read
}
inline void load_matrices(uint32_t* r, const uint16_t* row) { load_eights(r, row, false); }
inline void load_transposed(uint32_t* r, const uint16_t* row) { load_eights(r, row, true); }

// ---- Sums ----

inline void add(float* to, float value) { *to += value; }
inline void add(int64_t* to, int64_t value) { *to += value; }
inline void add(float* to, float4 v) {
  if (reinterpret_cast<uintptr_t>(to) % 16 != 0) std::abort();
  to[0] += v.x, to[1] += v.y, to[2] += v.z, to[3] += v.w;
}

// ---- Launches ----

template <class... P>
int64_t resident_blocks(void (*)(P...), int, size_t) {
  return 2;
}

inline void run_fiber() {
  the_block->body();
  the_block->fibers[the_block->current].done = true;
  give_way();
}

// One turn of each of the threads with these turns; whether any got past a barrier, or to its end.
inline bool take_turns(Block& b, int begin, int end) {
  auto count = [&] {
    unsigned total = b.turn;
    for (const Exchange& w : b.warps) total += w.turn;
    for (const Fiber& fiber : b.fibers) total += fiber.done;
    return total;
  };
  const unsigned before = count();
  for (int turn = begin; turn < end; ++turn) {
    b.current = thread_at(turn, b.threads);
    if (!b.fibers[b.current].done) swapcontext(&b.scheduler, &b.fibers[b.current].context);
  }
  return count() != before;
}

inline void run_block(Block& b) {
  constexpr size_t kStack = 256 * 1024;
  b.fibers.resize(b.threads);
  b.warps.assign((b.threads + 31) / 32, Exchange{});
  for (Fiber& fiber : b.fibers) {
    if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStack);
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run_fiber, 0);
  }
  the_block = &b;
  // Threads that take turns together until none of them gets further.
  const int together = turns >= 3 ? 32 : b.threads;
  for (bool further = true; further;) {
    further = false;
    for (int first = 0; first < b.threads; first += together)
      while (take_turns(b, first, std::min(first + together, b.threads))) further = true;
  }
  for (const Fiber& fiber : b.fibers)
    if (!fiber.done) {
      std::fprintf(stderr, "a kernel waits at a barrier that not all of its threads reach\n");
      std::abort();
    }
}

template <class... P, class... A>
void launch(void (*kernel)(P...), int64_t grid, int threads, size_t shared, Stream, A... args) {
  constexpr size_t kMost = 99 * 1024;  // what a block may have on every GPU since Ampere
  if (shared > kMost) throw std::runtime_error("a kernel asks for too much shared memory");
  static Block b;
  b.threads = threads;
  b.count = static_cast<int>(grid);
  b.body = [&] { kernel(static_cast<P>(args)...); };
  b.fibers.clear();
  for (b.index = 0; b.index < grid; ++b.index) {
    // Fresh shared memory holds anything.
    b.shared.assign(shared + 128, 0xff);
    b.arrived = 0;
    run_block(b);
  }
}

inline void clear(void* memory, size_t bytes, Stream) { std::memset(memory, 0, bytes); }

}  // namespace dac::cuda

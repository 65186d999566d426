// The operations on whole rays on a GPU, as sequences of kernels; meaning: dac/ops/rays.py.
#pragma once

#include <cstddef>

#include "kernels.h"

namespace dac::cuda {

// Memory handed out in order from one block. Without a block it only counts what would be needed.
class Arena {
 public:
  explicit Arena(void* block) : block_(static_cast<char*>(block)) {}

  template <class T>
  T* take(int64_t count) {
    size_t start = used_;
    used_ += (static_cast<size_t>(count) * sizeof(T) + kLine - 1) / kLine * kLine;
    return block_ == nullptr ? nullptr : reinterpret_cast<T*>(block_ + start);
  }
  bool counts() const { return block_ == nullptr; }
  size_t used() const { return used_; }
  void rewind(size_t used) { used_ = used; }

 private:
  static constexpr size_t kLine = 256;
  char* block_;
  size_t used_ = 0;
};

// How to compute: everything in float32, without tensor cores; sums that are the same every time.
struct Choices {
  bool float32 = false;
  bool deterministic = false;
  int64_t render_rays = 8192;      // whose samples are in memory at once when rendering
  int64_t query_points = 1 << 19;  // that are in memory at once
};

// Each is called twice: with an arena that counts, then with one that has the memory.

void render_rays(const Parameters& model, const Choices& choices, const RaySet& rays,
                 const Rendered& out, Arena& arena, Stream stream);
void query_points(const Parameters& model, const Choices& choices, const Query& query, Arena& arena,
                  Stream stream);
void learn_rays(const Parameters& model, const Choices& choices, const RaySet& rays,
                const LearnCall& call, Arena& arena, Stream stream);

}  // namespace dac::cuda

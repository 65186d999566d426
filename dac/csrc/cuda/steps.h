// Whole rays on the GPU: rendering, and the training and distillation steps, as sequences of
// kernels.
#pragma once

#include <cstddef>
#include <vector>

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

// A model's parameters, and where their gradients lie in one flat buffer (see common/model.h).
struct Parameters {
  ModelShape shape;
  const float* at[kMaxParameters] = {};
  int64_t sizes[kMaxParameters] = {};
  int64_t offsets[kMaxParameters + 1] = {};
  const uint16_t* half = nullptr;  // all of them as halves at the same offsets, or null
};

// How to compute: everything in float32, without tensor cores; sums that are the same every time.
struct Choices {
  bool float32 = false;
  bool deterministic = false;
  int64_t render_rays = 8192;  // whose samples are in memory at once when rendering
};

// Each of these is called twice: with an arena that counts, then with one that has the memory.

struct RenderCall {
  Rendered out;
  float *s = nullptr, *t = nullptr, *colours = nullptr;  // (R, S+1), (R, S+1), (R, S, 3), or null
};

void render_rays(const Parameters& model, const Choices& choices, const RaySet& rays,
                 const RenderCall& call, Arena& arena, Stream stream);

struct LearnCall {
  Lesson lesson;                           // of experts, or the images' colours in rgb
  const float *s = nullptr, *t = nullptr;  // the experts' edges, or null
  int samples = 0;                         // in them
  const float* background = nullptr;       // (3,)
  TermWeights weights;
  bool levels_learn = true;
  float* grads = nullptr;  // flat
  std::vector<int> terms;  // which are returned
  float* out = nullptr;    // (terms,)
};

void learn_rays(const Parameters& model, const Choices& choices, const RaySet& rays,
                const LearnCall& call, Arena& arena, Stream stream);

}  // namespace dac::cuda

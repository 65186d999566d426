// What the operations on whole rays are called with, on CPU and GPU alike: plain pointers.
//
// Notation: R rays, S bins a ray of the field; all float32 unless they say otherwise.
#pragma once

#include <vector>

#include "model.h"

namespace dac {

constexpr int kRayFloats = 8;  // origin, unit direction, near, far

struct RaySet {
  int64_t R = 0;
  const float* rays = nullptr;    // (R, 8)
  const int64_t* key = nullptr;   // (1,), or null: nothing is jittered
  const float* anneal = nullptr;  // (1,)
  uint32_t first = 0;             // number of the first ray in its batch, for the jitter
};

// A ray without background; `depth` is the sum of w t, or that divided by the accumulation.
struct Composite {
  float rgb[3] = {0, 0, 0};
  float accumulation = 0, depth = 0;
};

// What render_rays returns; those of single samples may be null.
struct Rendered {
  float *rgb = nullptr, *accumulation = nullptr, *depth = nullptr;  // (R, 3), (R,), (R,)
  float *s = nullptr, *t = nullptr;                                 // (R, S+1)
  float *alpha = nullptr, *weights = nullptr;                       // (R, S)
  float* colours = nullptr;                                         // (R, S, 3)
};

// The field at N points of the world. Directions (R, 3), each for S points, and colours (N, 3) may be
// null; N = R S with them.
struct Query {
  int64_t N = 0;
  int64_t S = 0;
  const float *points = nullptr, *directions = nullptr;
  float *sigma = nullptr, *colours = nullptr;
};

// ---- Learning ----

// A step's terms, in the order of DistillWeights in dac/ops/rays.py. Training on images has some.
enum Term {
  kAlpha,
  kColour,
  kHistogram,
  kRendered,
  kAccumulation,
  kDistortion,
  kInterlevel,
  kTerms
};
constexpr Term kTrainTerms[] = {kRendered, kDistortion, kInterlevel};  // as TrainWeights

struct TermWeights {
  float of[kTerms] = {};
};

// What experts say of the rays at their samples; or, where `s` is null, images: the target's rgb.
struct Lesson {
  int S = 0;
  const float *s = nullptr, *t = nullptr;            // (R, S+1)
  const float *alpha = nullptr, *weights = nullptr;  // (R, S)
  const float* colours = nullptr;                    // (R, S, 3)
  const float *rgb = nullptr, *accumulation = nullptr;  // (R, 3), (R,)
  bool paper = false;  // colour unweighted, histogram against alpha, no accumulation term

  HD bool of_experts() const { return s != nullptr; }
  HD const float* mass() const { return paper ? alpha : weights; }
};

// Where gradients are added: `copies` of the flat gradient, one for each thread of a CPU.
struct Gradients {
  float* data = nullptr;
  int64_t copies = 0, length = 0;
};

struct LearnCall {
  Lesson lesson;
  const float* background = nullptr;  // (3,)
  TermWeights weights;
  bool levels_learn = true;
  Gradients grads;
  std::vector<Term> terms;  // which are returned
  float* out = nullptr;     // (terms,), each weighted
};

// ---- Adam ----

struct AdamParameter {
  float *x = nullptr, *m = nullptr, *v = nullptr;
  float* g = nullptr;                                   // in the first copy
  uint16_t* half = nullptr;                             // on a GPU: its copy, refreshed; or null
  int64_t count = 0;                                    // numbers in it
  int planes = 0, height = 0, width = 0, channels = 0;  // planes = 0: a weight
  double tv = 0;
  bool active = false;
};

struct AdamSet {
  AdamParameter of[kMaxParameters];
  int count = 0;
  Gradients grads;
  const float* rates = nullptr;  // (count, 2): rate and scale of AdamStep
  float beta1 = 0, beta2 = 0, eps = 0;
};

}  // namespace dac

// The launchers of all CUDA kernels: plain pointers to device memory, and a stream.
//
// Notation: R rays, S bins a ray, N = R S points, F = scales x channels features. Nothing here
// allocates, waits, or reads device memory on the host, so that a graph can capture every call.
// "half" is a uint16_t that holds the bits of one; "bf16" likewise. Gradients of parameters are
// sums in float32 or in 64-bit fixed point (see device.h), which is the same in any order.
#pragma once

#include <cstdint>

#include "calls.h"

struct CUstream_st;

namespace dac::cuda {

using Stream = CUstream_st*;

// ---- planes.cu: encoders. One is a structure of device memory that kernels take by value, with its
// lookup in encoder.h and these two; nothing else knows what is in it. ----

// K-Planes: planes (3, size, size, channels) at all scales, float or half.
struct TriPlanes {
  int scales = 0, channels = 0;
  int sizes[kMaxScales] = {};
  const void* planes[kMaxScales] = {};
  bool half = false;

  HD int features() const { return scales * channels; }
};

// Where their gradients are summed.
struct TriPlaneSums {
  void* to[kMaxScales] = {};
  bool fixed = false;
};

// features (N, F) at points (N, 3) in the cube, of planes in float32.
void encode(const TriPlanes& encoder, int64_t N, const float* points, float* features,
            Stream stream);

// Adds the planes' gradients from those of the features, (N, F): bf16 where the planes are halves.
void add_gradient(const TriPlanes& encoder, const TriPlaneSums& sums, int64_t N,
                  const float* points, const void* to_features, Stream stream);

void halve(const float* from, int64_t count, uint16_t* to, Stream stream);

// to += from / one of the fixed point, which is zeroed.
void add_fixed(int64_t* from, int64_t count, float* to, Stream stream);

// ---- density.cu: a proposal level's density on tensor cores ----

struct DensityShape {
  int hidden = 0, channels = 0;
};

// Whether the tensor-core kernels are compiled for it.
bool density_fits(const DensityShape& shape);

// sigma (N,) at points (N, 3); the features (N, C) half are kept where `features` is not null.
void density_forward(const DensityShape& shape, const TriPlanes& encoder,
                     const float* const* weights, int64_t N, const float* points, float* sigma,
                     uint16_t* features, Stream stream);

// From the slopes of the logits (N,): those of the features (N, C) bf16; adds those of the weights.
void density_backward(const DensityShape& shape, const float* const* weights, void* const* sums,
                      bool fixed, int64_t N, const uint16_t* features, const float* to_logit,
                      uint16_t* to_features, Stream stream);

// ---- field.cu: the field's networks on tensor cores ----

struct FieldShape {
  int hidden = 0, geometry = 0, colour_layers = 0, features = 0;
};

struct FieldWeights {
  const float* density[2] = {};  // (hidden, F), (1 + geometry, hidden)
  const float* colours[kMaxColourLayers + 1] =
      {};  // first (hidden, 16 + geometry), last (3, hidden)
};

struct FieldSums {
  void* density[2] = {};
  void* colours[kMaxColourLayers + 1] = {};
  bool fixed = false;
};

// N points, S a ray.
struct FieldPoints {
  int64_t N = 0;
  int S = 0;
  const float* points = nullptr;        // (N, 3)
  const uint16_t* harmonics = nullptr;  // (R, 16) half
};

struct FieldOutput {
  float *sigma = nullptr, *colours = nullptr;  // (N,), (N, 3) in [0, 1]
  uint16_t* features = nullptr;                // (N, F) half, kept; or null
};

struct FieldSlopes {
  const uint16_t* features = nullptr;                            // that were kept
  const float *to_logit = nullptr, *to_colour_logits = nullptr;  // (N,), (N, 3)
  uint16_t* to_features = nullptr;                               // (N, F) bf16, written
};

bool field_fits(const FieldShape& shape, const TriPlanes& encoder);

void field_forward(const FieldShape& shape, const TriPlanes& encoder, const FieldWeights& weights,
                   const FieldPoints& at, const FieldOutput& out, Stream stream);

// Adds the gradients of the weights.
void field_backward(const FieldShape& shape, const FieldWeights& weights, const FieldSums& sums,
                    const FieldPoints& at, const FieldSlopes& slopes, Stream stream);

// ---- layers.cu: networks of any width, in float32 ----

// Rows of `width` numbers, `row` apart.
struct Rows {
  float* at;
  int width, row;
};
struct ConstRows {
  const float* at;
  int width, row;

  ConstRows(const float* from, int columns, int apart) : at(from), width(columns), row(apart) {}
  ConstRows(const Rows& rows) : at(rows.at), width(rows.width), row(rows.row) {}
};

// One row (y.width) for S consecutive ones, added before ReLU; null for none.
struct Shift {
  const float* rows = nullptr;
  int S = 1;
};

// A weight's gradient (to_y.width, x.width), rows `row` apart, float32 or fixed.
struct WeightSum {
  void* to;
  int row;
  bool fixed;
};

// N rows y = x weight^T + shift, clamped below at 0 where `relu`.
void layer_forward(int64_t N, const ConstRows& x, const ConstRows& weight, const Shift& shift,
                   bool relu, const Rows& y, Stream stream);

// N rows to_x = to_y weight, zero where `mask` (rows as to_x's; or null) is not positive.
void layer_backward(int64_t N, const ConstRows& to_y, const ConstRows& weight, const float* mask,
                    const Rows& to_x, Stream stream);

// Adds to_y^T x.
void layer_sums(int64_t N, const ConstRows& to_y, const ConstRows& x, const WeightSum& sum,
                Stream stream);

// totals (R, width) = sums over S consecutive rows of x (R S, width).
void sum_rows(int64_t R, int S, int width, const float* x, float* totals, Stream stream);

// sigma (N,) from logits, `row` floats apart; colours (N, 3) from theirs.
void densities(int64_t N, const float* logits, int row, float* sigma, Stream stream);
void sigmoids(int64_t count, const float* logits, float* values, Stream stream);
// to (N,) `row` floats apart = from (N,).
void spread(int64_t N, const float* from, float* to, int row, Stream stream);

// ---- rays.cu ----

// One pass along R rays: `level` 0 and 1 of the proposals, 2 of the field.
struct Bins {
  int S = 0;
  float *s = nullptr, *t = nullptr;  // (R, S+1)
  float* points = nullptr;           // (R S, 3) midpoints in the planes' cube
  float* sigma = nullptr;            // (R, S)
};

void first_bins(const RaySet& rays, const Space& space, const Bins& bins, Stream stream);
// Edges drawn from the weights of the level before.
void next_bins(const RaySet& rays, const Space& space, const Bins& before, const Bins& bins,
               int level, Stream stream);
// Points in somebody else's bins (bins.t).
void points_of(const RaySet& rays, const Space& space, const Bins& bins, Stream stream);
// points (N, 3) of the world to the cube.
void cube_points(const Space& space, int64_t N, const float* points, float* cube, Stream stream);
// Of directions (R, 3), rows `row` apart, or of none where null: (R, 16) half, float32, or both.
void harmonics(int64_t R, const float* directions, int row, uint16_t* half, float* single,
               Stream stream);

void composite(const RaySet& rays, const Bins& bins, const float* colours, const Rendered& out,
               Stream stream);

// ---- losses.cu ----

// What the field's losses write: the slopes of its logits, (R, S) and (R, S, 3); its weights (R, S);
// terms (R, kTerms), each already weighted.
struct FieldLosses {
  float *to_logit = nullptr, *to_colour_logits = nullptr, *weights = nullptr, *terms = nullptr;
};

void field_losses(const RaySet& rays, const Bins& bins, const float* colours, const LearnCall& call,
                  const FieldLosses& out, Stream stream);

// The histogram losses of a level against the field's bins: of the lesson's mass, where experts gave
// one, and of the field's weights. Writes the slopes of the level's logits (R, P); adds to terms.
void level_losses(const RaySet& rays, const Bins& level, const Bins& field, const LearnCall& call,
                  const FieldLosses& of_field, float* to_logit, Stream stream);

// Sums over rays of the chosen terms, in a fixed order: out (count,).
void sum_terms(int64_t R, const float* terms, const std::vector<Term>& chosen, float* out,
               Stream stream);

// ---- adam.cu ----

// Floats of scratch memory that adam_tv needs.
int64_t adam_scratch(const AdamSet& set);
// One pass over all parameters: variations (count,) of the active planes, norm (1,) of all active
// parameters' slopes.
void adam_tv(const AdamSet& set, float* scratch, float* variations, float* norm, Stream stream);

}  // namespace dac::cuda

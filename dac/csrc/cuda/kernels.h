// The launchers of all CUDA kernels: plain pointers to device memory, and a stream.
//
// Notation: R rays, S bins a ray, N = R S points, F = scales x channels features. Nothing here
// allocates, waits, or reads device memory on the host, so that a graph can capture every call.
// "half" is a uint16_t that holds the bits of one; "bf16" likewise. Gradients of parameters are
// sums in float32 or in 64-bit fixed point (see device.h), which is the same in any order.
#pragma once

#include <cstdint>

#include "model.h"

struct CUstream_st;

namespace dac::cuda {

using Stream = CUstream_st*;

// The planes of one field at all its scales, float or half.
struct PlaneSet {
  int scales = 0, channels = 0;
  int sizes[kMaxScales] = {};
  const void* planes[kMaxScales] = {};  // each (3, size, size, channels)
  bool half = false;
};

// Where their gradients are summed.
struct PlaneSums {
  void* to[kMaxScales] = {};
  bool fixed = false;
};

// ---- planes.cu ----

// features (N, F) float32 at points (N, 3).
void gather(const PlaneSet& set, int64_t N, const float* points, float* features, Stream stream);

// Adds the planes' gradients from those of the features, (N, F) bf16 or float32.
void scatter(const PlaneSet& set, const PlaneSums& sums, int64_t N, const float* points,
             const void* slopes, bool bf16, Stream stream);

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
void density_forward(const DensityShape& shape, const PlaneSet& set, const float* const* weights,
                     int64_t N, const float* points, float* sigma, uint16_t* features,
                     Stream stream);

// From the slopes of the logits (N,): those of the features (N, C) bf16; adds those of the weights.
void density_backward(const DensityShape& shape, const float* const* weights, void* const* sums,
                      bool fixed, int64_t N, const uint16_t* features, const float* to_logit,
                      uint16_t* to_features, Stream stream);

// ---- field.cu: the field's networks on tensor cores ----

struct FieldShape {
  int hidden = 0, geometry = 0, colour_layers = 0, features = 0;
};

constexpr int kFieldWeights = kMaxColourLayers + 3;

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

bool field_fits(const FieldShape& shape, const PlaneSet& set);

// sigma (N,), colours (N, 3) in [0, 1]; harmonics (R, 16) half; features as above, (N, F) half.
void field_forward(const FieldShape& shape, const PlaneSet& set, const FieldWeights& weights,
                   int64_t N, int S, const float* points, const uint16_t* harmonics, float* sigma,
                   float* colours, uint16_t* features, Stream stream);

// From the slopes of the density's logits (N,) and of the colours' (N, 3): to_features (N, F) bf16;
// adds those of the weights.
void field_backward(const FieldShape& shape, const FieldWeights& weights, const FieldSums& sums,
                    int64_t N, int S, const uint16_t* harmonics, const uint16_t* features,
                    const float* to_logit, const float* to_colour_logits, uint16_t* to_features,
                    Stream stream);

// ---- layers.cu: networks of any width, in float32 ----

// y (N, out) = x (N, in) weight^T, rows `x_row`, `weight_row` and `y_row` floats apart; adds row
// n / S of shift (R, out) where that is not null; clamped below at 0 where `relu`.
void layer_forward(int64_t N, int in, int out, const float* x, int x_row, const float* weight,
                   int weight_row, const float* shift, int S, bool relu, float* y, int y_row,
                   Stream stream);

// to_x (N, in) = to_y (N, out) weight, zero where `mask` (N, in; rows as to_x's) is not positive.
void layer_backward(int64_t N, int in, int out, const float* to_y, int y_row, const float* weight,
                    int weight_row, const float* mask, float* to_x, int x_row, Stream stream);

// Adds to_y^T x to `sums` (out, in), rows `sum_row` apart, float32 or fixed.
void layer_sums(int64_t N, int in, int out, const float* to_y, int y_row, const float* x, int x_row,
                void* sums, int sum_row, bool fixed, Stream stream);

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

struct RaySet {
  int64_t R = 0;
  const float* rays = nullptr;    // (R, 8) origin, unit direction, near, far
  const int64_t* key = nullptr;   // (1,) on the device, or null: nothing is jittered
  const float* anneal = nullptr;  // (1,) on the device
  uint32_t first = 0;             // number of the first ray, for the jitter
  SpaceKind space = SpaceKind::kBox;
  float centre[3] = {}, half[3] = {};
};

void first_bins(const RaySet& rays, const Bins& bins, Stream stream);
// Edges drawn from the weights of the level before.
void next_bins(const RaySet& rays, const Bins& before, const Bins& bins, int level, Stream stream);
// Points in somebody else's bins (bins.t).
void points_of(const RaySet& rays, const Bins& bins, Stream stream);
// (R, 16) half, float32, or both.
void harmonics(const RaySet& rays, uint16_t* half, float* single, Stream stream);

// What render_rays returns; those of single samples may be null.
struct Rendered {
  float *rgb = nullptr, *accumulation = nullptr, *depth = nullptr;  // (R, 3), (R,), (R,)
  float *alpha = nullptr, *weights = nullptr;                       // (R, S)
};

void composite(const RaySet& rays, const Bins& bins, const float* colours, const Rendered& out,
               Stream stream);

// alpha and w of volume_weights; and its backward pass (to_delta may be null).
void volume_weights(int64_t R, int S, const float* sigma, const float* delta, float* alpha,
                    float* weights, Stream stream);
void volume_weights_backward(int64_t R, int S, const float* to_alpha, const float* to_weights,
                             const float* sigma, const float* delta, float* to_sigma,
                             float* to_delta, Stream stream);

// ---- losses.cu ----

// What the experts say; `s` null in training on images, where rgb is the target.
struct Lesson {
  const float *s = nullptr, *alpha = nullptr, *weights = nullptr, *colours = nullptr;
  const float *rgb = nullptr, *accumulation = nullptr;
  bool paper = false;
};

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

struct TermWeights {
  float of[kTerms] = {};
};

// All losses of the field at its bins. Writes the slopes of its logits, (R, S) and (R, S, 3), its
// weights (R, S), and terms (R, kTerms), each already weighted.
void field_losses(const RaySet& rays, const Bins& bins, const float* colours, const Lesson& lesson,
                  const float* background, const TermWeights& weights, float* to_logit,
                  float* to_colour_logits, float* field_weights, float* terms, Stream stream);

// The histogram losses of a level against the field's bins: against `mass` (R, S; or null) weighted
// as kHistogram and against `weights` as kInterlevel. Writes the slopes of the level's logits (R,
// P); adds to terms.
void level_losses(const RaySet& rays, const Bins& level, const Bins& field, const float* mass,
                  const float* weights, const TermWeights& scale, float* to_logit, float* terms,
                  Stream stream);

// Sums over rays of the chosen terms, in a fixed order: out (count,).
void sum_terms(int64_t R, const float* terms, const int* chosen, int count, float* out,
               Stream stream);

// ---- ops.cu: single operations; a loss has a `grad` of one number ----

// Floats of scratch memory for a sum of `count` terms.
int64_t sum_scratch(int64_t count);

// out (R, D) from weights (R, S) and values (R, S, D).
void composite_values(int64_t R, int S, int D, const float* weights, const float* values,
                      float* out, Stream stream);
void composite_values_backward(int64_t R, int S, int D, const float* grad, const float* weights,
                               const float* values, float* to_weights, float* to_values,
                               Stream stream);

// out (R, T) at ascending levels u (R, T); edges (R, S+1), weights (R, S).
void resample_at(int64_t R, int S, int T, const float* edges, const float* weights, const float* u,
                 float padding, float* out, Stream stream);

// out (1,); terms (R,) are scratch. to_weights (R, S) is added to.
void distortion_loss(int64_t R, int S, const float* s, const float* weights, float* terms,
                     float* out, Stream stream);
void distortion_loss_backward(int64_t R, int S, const float* grad, const float* s,
                              const float* weights, float* to_weights, Stream stream);

// A fine histogram and a coarse one over the same rays; what a function doesn't read may be null.
struct Histograms {
  int64_t R = 0;
  int S = 0, P = 0;
  const float *s = nullptr, *weights = nullptr;        // (R, S+1), (R, S)
  const float *s_coarse = nullptr, *coarse = nullptr;  // (R, P+1), (R, P)
};

// out (1,); terms (R,) and steps (R, P+1) are scratch. to_coarse (R, P) is added to.
void histogram_loss(const Histograms& of, float eps, float* terms, float* out, Stream stream);
void histogram_loss_backward(const Histograms& of, float eps, const float* grad, float* steps,
                             float* to_coarse, Stream stream);

// bound (R, S), and the slopes of the coarse weights (R, P).
void outer_bound(const Histograms& of, float* bound, Stream stream);
void outer_bound_backward(const Histograms& of, const float* grad, float* to_coarse,
                          Stream stream);

// Planes (count, height, width, channels); scratch as sum_scratch of all their numbers.
void plane_tv(int64_t count, int64_t height, int64_t width, int64_t channels, const float* planes,
              float* scratch, float* out, Stream stream);
void plane_tv_backward(int64_t count, int64_t height, int64_t width, int64_t channels,
                       const float* grad, const float* planes, float* to_planes, Stream stream);

// The sum of (a - b)^2 over `divisor`; with weights, number i of a and b has weight i / 3.
void squared_loss(int64_t count, const float* a, const float* b, const float* weights,
                  double divisor, float* scratch, float* out, Stream stream);
void squared_loss_backward(int64_t count, const float* grad, const float* a, const float* b,
                           const float* weights, double divisor, float* to_a, Stream stream);

// ---- adam.cu ----

constexpr int kMaxParameters = 3 * kLevels + kMaxScales + 2 + kMaxColourLayers + 1;

struct AdamParameter {
  float *x = nullptr, *m = nullptr, *v = nullptr, *g = nullptr;
  uint16_t* half = nullptr;                             // its copy, refreshed; or null
  int64_t count = 0;                                    // numbers in it
  int planes = 0, height = 0, width = 0, channels = 0;  // planes = 0: a weight
  float tv = 0;
  bool active = false;
};

struct AdamSet {
  AdamParameter of[kMaxParameters];
  int count = 0;
  const float* rates = nullptr;  // (count, 2) on the device
  float beta1 = 0, beta2 = 0, eps = 0;
};

// Floats of scratch memory that adam_tv needs.
int64_t adam_scratch(const AdamSet& set);
// One pass over all parameters; values (count,) are the planes' total variations, norm is that of
// all active parameters' slopes.
void adam_tv(const AdamSet& set, float* scratch, float* values, float* norm, Stream stream);

}  // namespace dac::cuda

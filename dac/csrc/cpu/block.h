// Forward and backward of a few whole rays, whose every intermediate value stays in the cache.
//
// Notation: B rays in the block, S bins a ray of a pass (a proposal level or the field); per-ray
// arrays have rows of `row` floats (S + 1 rounded up to whole vectors); matrices with a row a bin have
// B S of them.
#pragma once

#include <cstdint>

#include "along.h"
#include "calls.h"
#include "encoder.h"
#include "networks.h"

namespace dac::cpu {

// One pass along the block's rays: its bins, and what the volume made of them.
struct Bins {
  int S = 0, row = 0;
  float *s = nullptr, *t = nullptr;  // edges
  float *alpha = nullptr, *through = nullptr, *weights = nullptr;
  float* slope = nullptr;                                               // dtau/dlogit
  float *to_alpha = nullptr, *to_weights = nullptr, *to_tau = nullptr;  // slopes of the loss
  float* x = nullptr;  // 3 x S coordinates of the midpoints in the cube, of one ray

  Bins() = default;
  Bins(Arena& arena, int rays, int bins);
  Histogram histogram(int r) const { return {S, s + r * row, weights + r * row}; }
};

template <class Encoder>
class Block {
 public:
  // `learn`: keep what the backward passes need.
  Block(const Parameters& model, const Networks& networks, int rays, bool learn);

  // How many rays keep the matrices tall enough for the products and all of it in the cache.
  static int best_rays(const ModelShape& model);

  void begin(const RaySet& rays, int64_t first, int count);
  void forward_level(int level, bool keep);           // keep: for the backward pass
  void sample_field();                                // from the last level
  void take_samples(const float* s, const float* t);  // (R, S+1), somebody else's
  void forward_field();
  // Uses field.to_weights, to_alpha (or null) and `to_colours`; leaves these overwritten.
  void backward_field(bool with_alpha, Networks& to_networks, float* grads);
  void backward_level(int level, Networks& to_networks, float* grads);

  // The field at points [first, first + n) of a query, n at most B S; S is the query's where it has
  // directions. Leaves sigma in `densities`, and `colours`.
  void look_at(const Query& query, int64_t first, int n);

  int count = 0;  // rays of the present block
  Bins levels[kLevels], field;
  float* colours = nullptr;     // B x S rows of padded(3): rgb
  float* to_colours = nullptr;  // the same: slopes
  int colour_row = 0;
  float* densities = nullptr;  // B x S

 private:
  const float* ray(int r) const { return rays_.rays + (first_ + r) * kRayFloats; }
  void edges(Bins& bins, int level);
  void distances(Bins& bins);
  void find_midpoints(Bins& bins, int r);
  void encode(const Bins& bins, Encoder& encoder, int r, float* features, int row);
  void volume(Bins& bins, int r, const float* logits, int stride);
  void decode_density();
  void decode_colours(int r, const float* direction);
  void finish_colours();

  const Parameters& model_;
  const ModelShape m_;
  const Networks& networks_;
  Arena arena_;
  RaySet rays_;
  int64_t first_ = 0;

  Encoder level_encoders_[kLevels], field_encoder_;
  float *level_features_[kLevels] = {}, *level_hidden_[kLevels] = {};
  float *features_, *hidden_, *decoded_, *code_;
  float* colour_hidden_[kMaxColourLayers] = {};
  float *to_hidden_[2], *to_decoded_, *to_features_, *to_code_;
};

}  // namespace dac::cpu

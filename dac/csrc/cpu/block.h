// Forward and backward of a few whole rays, whose every intermediate value stays in the cache.
//
// Notation: B rays in the block, S samples a ray of a pass (a proposal level or the field); per-ray
// arrays have rows of `row` floats (S + 1 rounded up to whole vectors); matrices with a row a sample
// have B S of them.
#pragma once

#include <cstdint>
#include <vector>

#include "corners.h"
#include "networks.h"

namespace dac {

constexpr float kPadding = 0.01F;   // of weights before they are resampled
constexpr int kRayFloats = 8;       // origin, unit direction, near, far

// Memory handed out in order, aligned to cache lines.
class Arena {
 public:
  float* floats(size_t count);
  int32_t* ints(size_t count) { return reinterpret_cast<int32_t*>(floats(count)); }

 private:
  std::vector<std::vector<float>> parts_;
};

// One pass along the block's rays: its samples, and what the volume made of them.
struct Samples {
  int S = 0, row = 0;
  float *s = nullptr, *t = nullptr;                // edges
  float *alpha = nullptr, *through = nullptr, *weights = nullptr;
  float* slope = nullptr;                          // dtau/dlogit
  float *to_alpha = nullptr, *to_weights = nullptr, *to_tau = nullptr;  // slopes of the loss
  float* places = nullptr;                         // 3 x S coordinates in the cube, of one ray

  Samples() = default;
  Samples(Arena& arena, int rays, int samples);
};

// A lookup of the block's samples at one scale.
struct Lookup {
  Grid grid{};
  int parameter = 0;
  int32_t* first = nullptr;  // B x 3 x S
  float* weight = nullptr;   // B x 3 x 4 x S
  float* values = nullptr;   // B x 3 x S x C, or null where nothing is learned

  Lookup() = default;
  Lookup(Arena& arena, int rays, int samples, const Planes& planes, bool keep);
  Corners corners(int ray, int samples) const {
    const ptrdiff_t at = static_cast<ptrdiff_t>(ray) * kPlanes * samples;
    return {first + at, weight + 4 * at};
  }
  float* values_of(int ray, int samples) const {
    if (values == nullptr) return nullptr;
    return values + static_cast<ptrdiff_t>(ray) * kPlanes * samples * grid.channels;
  }
};

class Block {
 public:
  // `learn`: keep what the backward passes need.
  Block(const ModelShape& model, const float* const* parameters, const Networks& networks, int rays,
        bool learn);

  // How many rays keep the matrices tall enough for the products and all of it in the cache.
  static int best_rays(const ModelShape& model);

  // `before`: by how much the rays' numbers, which jitter goes by, are above their places.
  void begin(const float* rays, int64_t first, int count, const int64_t* key, int64_t before,
             float anneal);
  void forward_level(int level, bool keep);            // keep: for the backward pass
  void sample_field();                                 // from the last level
  void take_samples(const float* s, const float* t);   // (B, S+1), somebody else's
  void forward_field();
  // Uses field.to_weights, to_alpha (or null) and `to_colours`; leaves these overwritten.
  void backward_field(bool with_alpha, Networks& to_networks, const int64_t* offsets, float* grads);
  void backward_level(int level, Networks& to_networks, const int64_t* offsets, float* grads);

  const float* ray(int r) const { return rays_ + r * kRayFloats; }

  int count = 0;  // rays of the present block
  Samples levels[kLevels], field;
  float* colours = nullptr;     // B x S rows of padded(3): rgb
  float* to_colours = nullptr;  // the same: slopes
  int colour_row = 0;

 private:
  void edges(Samples& samples, int level);
  void distances(Samples& samples);
  void find_places(Samples& samples, int r);
  void look_up(const Samples& samples, const Lookup& lookup, int r, float* features,
               int features_row);
  void volume(Samples& samples, int r, const float* logits, int stride);
  void scatter_planes(const Samples& samples, const Lookup& lookup, const float* to_features,
                      int features_row, float* to_planes);

  const ModelShape& m_;
  const float* const* parameters_;
  const Networks& networks_;
  Arena arena_;
  const float* rays_ = nullptr;
  int64_t first_ = 0, before_ = 0;
  const int64_t* key_ = nullptr;
  float anneal_ = 1;

  Lookup level_lookup_[kLevels], field_lookup_[kMaxScales];
  float *level_features_[kLevels] = {}, *level_hidden_[kLevels] = {};
  float *features_, *hidden_, *decoded_, *code_;
  float* colour_hidden_[kMaxColourLayers] = {};
  float *logits_, *to_hidden_[2], *to_decoded_, *to_features_, *to_code_;
};

}  // namespace dac

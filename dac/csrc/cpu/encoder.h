// Encoders of points: the lookup of features, and its transpose. What follows the features knows
// nothing else of an encoder than
//
//   Shape                        its part of the model's shape, with features()
//   Encoder(arena, shape, ...)   room for what the transpose needs
//   encode(points -> features)
//   add_gradient(gradient of the features -> gradient of the parameters)
//
// and takes it as a template's parameter, so that lookups are compiled into their callers.
//
// Notation: B rays of n points each; x three rows of n coordinates in the cube.
#pragma once

#include <vector>

#include "corners.h"
#include "model.h"

namespace dac::cpu {

// Memory handed out in order, aligned to cache lines, with room for a vector more at the end.
class Arena {
 public:
  float* floats(size_t count) {
    constexpr size_t kLine = 16;
    parts_.emplace_back(count + 2 * kLine, 0.0F);
    auto address = reinterpret_cast<uintptr_t>(parts_.back().data());
    return reinterpret_cast<float*>((address + 63) / 64 * 64);
  }
  int32_t* ints(size_t count) { return reinterpret_cast<int32_t*>(floats(count)); }

 private:
  std::vector<std::vector<float>> parts_;
};

// K-Planes: at each scale the product of three planes' bilinear values.
class TriPlanes {
 public:
  using Shape = TriPlaneShape;

  TriPlanes() = default;
  // For at most `rays` rays of `n` points; `learn`: with room for add_gradient.
  TriPlanes(Arena& arena, const Shape& shape, int rays, int n, bool learn) : shape_(shape), n_(n) {
    const size_t points = static_cast<size_t>(rays) * kPlanes * n;
    for (int scale = 0; scale < shape.scales; ++scale) {
      Lookup& lookup = lookups_[scale];
      lookup.first = arena.ints(points);
      lookup.weight = arena.floats(4 * points);
      if (learn) lookup.values = arena.floats(points * shape.channels);
    }
  }

  // Ray r's features, `row` floats from point to point.
  void encode(const float* const* parameters, int r, const float* const* x, float* features,
              ptrdiff_t row) {
    for (int scale = 0; scale < shape_.scales; ++scale) {
      find_corners(n_, x, grid(scale), corners(scale, r));
      gather(n_, parameters[shape_.parameter + scale], grid(scale), corners(scale, r),
             values(scale, r), features + scale * shape_.channels, row);
    }
  }

  // Adds into a flat gradient, from the gradient of the features of rays 0 to `rays` - 1, which lie
  // one after another.
  void add_gradient(int rays, const float* to_features, ptrdiff_t row, const int64_t* offsets,
                    float* grads) const {
    for (int scale = 0; scale < shape_.scales; ++scale)
      for (int r = 0; r < rays; ++r)
        scatter(n_, grid(scale), corners(scale, r), values(scale, r),
                to_features + static_cast<ptrdiff_t>(r) * n_ * row + scale * shape_.channels, row,
                grads + offsets[shape_.parameter + scale]);
  }

 private:
  struct Lookup {
    int32_t* first = nullptr;  // B x 3 x n
    float* weight = nullptr;   // B x 3 x 4 x n
    float* values = nullptr;   // B x 3 x n x C, or null where nothing is learned
  };

  Grid grid(int scale) const { return {shape_.sizes[scale], shape_.channels}; }
  Corners corners(int scale, int r) const {
    const ptrdiff_t at = static_cast<ptrdiff_t>(r) * kPlanes * n_;
    return {lookups_[scale].first + at, lookups_[scale].weight + 4 * at};
  }
  float* values(int scale, int r) const {
    float* all = lookups_[scale].values;
    if (all == nullptr) return nullptr;
    return all + static_cast<ptrdiff_t>(r) * kPlanes * n_ * shape_.channels;
  }

  Shape shape_;
  int n_ = 0;
  Lookup lookups_[kMaxScales];
};

}  // namespace dac::cpu

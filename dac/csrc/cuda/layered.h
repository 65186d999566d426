// Networks layer by layer in float32, for shapes that the tensor-core kernels don't take, and where
// float32 is asked for. Notation as in kernels.h; H hidden width, G geometry features.
#pragma once

#include "steps.h"

namespace dac::cuda {

// Where the parameters' gradients are summed: floats, or 64-bit fixed point.
struct Sums {
  const int64_t* offsets = nullptr;
  float* floats = nullptr;
  int64_t* fixed = nullptr;  // or null

  void* at(int parameter, int64_t further = 0) const {
    const int64_t first = offsets[parameter] + further;
    return fixed != nullptr ? static_cast<void*>(fixed + first)
                            : static_cast<void*>(floats + first);
  }
  WeightSum weight(int parameter, int row, int64_t further = 0) const {
    return {at(parameter, further), row, fixed != nullptr};
  }
};

// A proposal level.
class LayeredLevel {
 public:
  void take(Arena& arena, const ModelShape& model, int level, int64_t N, bool learns);
  void forward(const Parameters& model, const TriPlanes& encoder, const float* points, float* sigma,
               Stream stream) const;
  // From the slopes of the logits; gives those of the features.
  const float* backward(const Parameters& model, const Sums& sums, const float* to_logit,
                        Stream stream) const;

 private:
  int level_ = 0;
  int64_t N_ = 0;
  float *features_ = nullptr, *hidden_ = nullptr, *logits_ = nullptr;
  float *to_features_ = nullptr, *to_hidden_ = nullptr;
};

class LayeredField {
 public:
  void take(Arena& arena, const ModelShape& model, int64_t R, int S, bool learns);
  float* harmonics() const { return harmonics_; }  // (R, 16), to be filled
  void forward(const Parameters& model, const TriPlanes& encoder, const float* points, float* sigma,
               float* colours, Stream stream) const;
  // From the slopes of the density's logits and the colours'; gives those of the features.
  const float* backward(const Parameters& model, const Sums& sums, const float* to_logit,
                        const float* to_colour_logits, Stream stream) const;

 private:
  int64_t R_ = 0, N_ = 0;
  int S_ = 0;
  float *harmonics_ = nullptr, *features_ = nullptr, *hidden_ = nullptr, *decoded_ = nullptr;
  float *shift_ = nullptr, *colour_hidden_[kMaxColourLayers] = {}, *logits_ = nullptr;
  float *to_hidden_[2] = {}, *to_decoded_ = nullptr, *to_shift_ = nullptr, *to_features_ = nullptr;
};

}  // namespace dac::cuda

#include "layered.h"

namespace dac::cuda {

void LayeredLevel::take(Arena& arena, const ModelShape& model, int level, int64_t N, bool learns) {
  const int H = model.hidden, C = model.proposals[level].encoder.features();
  level_ = level;
  N_ = N;
  features_ = arena.take<float>(N * C);
  hidden_ = arena.take<float>(N * H);
  logits_ = arena.take<float>(N);
  if (!learns) return;
  to_features_ = arena.take<float>(N * C);
  to_hidden_ = arena.take<float>(N * H);
}

void LayeredLevel::forward(const Parameters& model, const TriPlanes& encoder, const float* points,
                           float* sigma, Stream stream) const {
  const int H = model.shape.hidden, C = encoder.features();
  const int first = model.shape.proposals[level_].weights;
  encode(encoder, N_, points, features_, stream);
  layer_forward(N_, {features_, C, C}, {model.at[first], C, C}, {}, true, {hidden_, H, H}, stream);
  layer_forward(N_, {hidden_, H, H}, {model.at[first + 1], H, H}, {}, false, {logits_, 1, 1},
                stream);
  densities(N_, logits_, 1, sigma, stream);
}

const float* LayeredLevel::backward(const Parameters& model, const Sums& sums,
                                    const float* to_logit, Stream stream) const {
  const ProposalShape& shape = model.shape.proposals[level_];
  const int H = model.shape.hidden, C = shape.encoder.features(), first = shape.weights;
  const ConstRows above{to_logit, 1, 1};
  const Rows to_hidden{to_hidden_, H, H};
  layer_sums(N_, above, {hidden_, H, H}, sums.weight(first + 1, H), stream);
  layer_backward(N_, above, {model.at[first + 1], H, H}, hidden_, to_hidden, stream);
  layer_sums(N_, to_hidden, {features_, C, C}, sums.weight(first, C), stream);
  layer_backward(N_, to_hidden, {model.at[first], C, C}, nullptr, {to_features_, C, C}, stream);
  return to_features_;
}

void LayeredField::take(Arena& arena, const ModelShape& model, int64_t R, int S, bool learns) {
  R_ = R;
  S_ = S;
  N_ = R * S;
  const int H = model.hidden, F = model.encoder.features(), D = 1 + model.geometry;
  harmonics_ = arena.take<float>(R * kHarmonics);
  features_ = arena.take<float>(N_ * F);
  hidden_ = arena.take<float>(N_ * H);
  decoded_ = arena.take<float>(N_ * D);
  shift_ = arena.take<float>(R * H);
  for (int layer = 0; layer < model.colour_layers; ++layer)
    colour_hidden_[layer] = arena.take<float>(N_ * H);
  logits_ = arena.take<float>(N_ * 3);
  if (!learns) return;
  for (float*& buffer : to_hidden_) buffer = arena.take<float>(N_ * H);
  to_decoded_ = arena.take<float>(N_ * D);
  to_shift_ = arena.take<float>(R * H);
  to_features_ = arena.take<float>(N_ * F);
}

void LayeredField::forward(const Parameters& model, const TriPlanes& encoder, const float* points,
                           float* sigma, float* colours, Stream stream) const {
  const ModelShape& shape = model.shape;
  const int H = shape.hidden, G = shape.geometry, F = encoder.features(), D = 1 + G;
  const int inputs = kHarmonics + G, last = shape.colour_layers;
  auto weight = [&](int i, int in) { return ConstRows(model.at[i], in, in); };
  auto hidden = [&](int layer) { return Rows{colour_hidden_[layer], H, H}; };
  encode(encoder, N_, points, features_, stream);
  layer_forward(N_, {features_, F, F}, weight(shape.density, F), {}, true, {hidden_, H, H}, stream);
  layer_forward(N_, {hidden_, H, H}, weight(shape.density + 1, H), {}, false, {decoded_, D, D},
                stream);
  densities(N_, decoded_, D, sigma, stream);
  // What a ray's points share of the colour network's first layer, then their own part.
  const float* first = model.at[shape.colours];
  layer_forward(R_, {harmonics_, kHarmonics, kHarmonics}, {first, kHarmonics, inputs}, {}, false,
                {shift_, H, H}, stream);
  layer_forward(N_, {decoded_ + 1, G, D}, {first + kHarmonics, G, inputs}, {shift_, S_}, true,
                hidden(0), stream);
  for (int layer = 1; layer < last; ++layer)
    layer_forward(N_, hidden(layer - 1), weight(shape.colours + layer, H), {}, true, hidden(layer),
                  stream);
  layer_forward(N_, hidden(last - 1), weight(shape.colours + last, H), {}, false, {logits_, 3, 3},
                stream);
  sigmoids(N_ * 3, logits_, colours, stream);
}

const float* LayeredField::backward(const Parameters& model, const Sums& sums,
                                    const float* to_logit, const float* to_colour_logits,
                                    Stream stream) const {
  const ModelShape& shape = model.shape;
  const int H = shape.hidden, G = shape.geometry, F = shape.encoder.features(), D = 1 + G;
  const int inputs = kHarmonics + G;
  ConstRows above{to_colour_logits, 3, 3};
  for (int layer = shape.colour_layers; layer >= 1; --layer) {
    const int weight = shape.colours + layer;
    const float* x = colour_hidden_[layer - 1];
    const Rows to_x{to_hidden_[layer % 2], H, H};
    layer_sums(N_, above, {x, H, H}, sums.weight(weight, H), stream);
    layer_backward(N_, above, {model.at[weight], H, H}, x, to_x, stream);
    above = to_x;
  }
  const float* first = model.at[shape.colours];
  sum_rows(R_, S_, H, above.at, to_shift_, stream);
  layer_sums(R_, {to_shift_, H, H}, {harmonics_, kHarmonics, kHarmonics},
             sums.weight(shape.colours, inputs), stream);
  layer_sums(N_, above, {decoded_ + 1, G, D}, sums.weight(shape.colours, inputs, kHarmonics),
             stream);
  layer_backward(N_, above, {first + kHarmonics, G, inputs}, nullptr, {to_decoded_ + 1, G, D},
                 stream);
  spread(N_, to_logit, to_decoded_, D, stream);
  const ConstRows to_decoded{to_decoded_, D, D};
  const Rows to_hidden{to_hidden_[0], H, H};
  layer_sums(N_, to_decoded, {hidden_, H, H}, sums.weight(shape.density + 1, H), stream);
  layer_backward(N_, to_decoded, {model.at[shape.density + 1], H, H}, hidden_, to_hidden, stream);
  layer_sums(N_, to_hidden, {features_, F, F}, sums.weight(shape.density, F), stream);
  layer_backward(N_, to_hidden, {model.at[shape.density], F, F}, nullptr, {to_features_, F, F},
                 stream);
  return to_features_;
}

}  // namespace dac::cuda

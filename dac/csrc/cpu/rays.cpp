// Whole rays on a CPU: rendering, the field at points, and a step's losses and gradients. Rays are
// divided among the threads, and each thread adds into a gradient of its own.
#include <algorithm>
#include <cstring>

#include "block.h"
#include "steps.h"

namespace dac::cpu {
namespace {

using Rays = Block<TriPlanes>;

// Calls work(block, first ray, rays) for blocks of the rays from `begin` to `end`.
template <class Work>
void each_block(const ModelShape& model, int64_t begin, int64_t end, const Work& work) {
  const int most = Rays::best_rays(model);
  for (int64_t first = begin; first < end; first += most)
    work(first, static_cast<int>(std::min<int64_t>(most, end - first)));
}

Composite composite(const Rays& block, int r) {
  const Bins& field = block.field;
  const float* w = field.weights + r * field.row;
  const float* t = field.t + r * field.row;
  const float* c = block.colours + static_cast<ptrdiff_t>(r) * field.S * block.colour_row;
  Composite sum;
  for (int i = 0; i < field.S; ++i) {
    for (int channel = 0; channel < 3; ++channel)
      sum.rgb[channel] += w[i] * c[i * block.colour_row + channel];
    sum.accumulation += w[i];
    sum.depth += w[i] * ((t[i] + t[i + 1]) * 0.5F);
  }
  sum.depth /= larger(sum.accumulation, kSmallest);
  return sum;
}

void write_rows(const Rays& block, const float* from, int width, int64_t first, float* to) {
  for (int r = 0; r < block.count; ++r)
    std::memcpy(to + (first + r) * width, from + r * block.field.row, width * sizeof(float));
}

// Colours of rows [0, n) of the block.
void write_colours(const Rays& block, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i)
    std::memcpy(to + i * 3, block.colours + i * block.colour_row, 3 * sizeof(float));
}

void write_block(const Rays& block, int64_t first, const Rendered& out) {
  const Bins& field = block.field;
  for (int r = 0; r < block.count; ++r) {
    Composite sum = composite(block, r);
    std::memcpy(out.rgb + (first + r) * 3, sum.rgb, sizeof(sum.rgb));
    out.accumulation[first + r] = sum.accumulation;
    out.depth[first + r] = sum.depth;
  }
  if (out.s == nullptr) return;
  write_rows(block, field.s, field.S + 1, first, out.s);
  write_rows(block, field.t, field.S + 1, first, out.t);
  write_rows(block, field.alpha, field.S, first, out.alpha);
  write_rows(block, field.weights, field.S, first, out.weights);
  write_colours(block, static_cast<int64_t>(block.count) * field.S,
                out.colours + first * field.S * 3);
}

// The terms of a block's rays, each a mean over all R rays, and their slopes.
class RayLosses {
 public:
  RayLosses(Rays& block, int64_t rays, const LearnCall& call, double* terms)
      : block_(block), R_(rays), call_(call), weights_(call.weights.of), terms_(terms) {}

  // Of the block's ray r, which is number `at` of all.
  void add(int r, int64_t at) {
    const Lesson& lesson = call_.lesson;
    const Composite sum = composite(block_, r);
    float target[3], to_accumulation = 0;
    std::memcpy(target, lesson.rgb + at * 3, sizeof(target));
    if (lesson.of_experts()) {
      const float miss = sum.accumulation - lesson.accumulation[at];
      const float weight = lesson.paper ? 0.0F : weights_[kAccumulation];
      for (int channel = 0; channel < 3; ++channel)
        target[channel] += (1 - lesson.accumulation[at]) * call_.background[channel];
      to_accumulation = weight * 2 * miss / R();
      terms_[kAccumulation] += static_cast<double>(weight) * miss * miss / R();
    }
    rendered(r, sum, target, to_accumulation);
    if (lesson.of_experts()) samples(r, at);
    if (weights_[kDistortion] != 0) distortion_of(r);
    if (!call_.levels_learn) return;
    for (Bins& level : block_.levels)
      std::memset(level.to_weights + r * level.row, 0, level.row * sizeof(float));
    if (lesson.of_experts()) interlevel(r, lesson.mass() + at * block_.field.S, kHistogram);
    if (weights_[kInterlevel] != 0)
      interlevel(r, block_.field.weights + r * block_.field.row, kInterlevel);
  }

 private:
  float R() const { return static_cast<float>(R_); }

  // |over background - target|^2, mean over channels. Sets the slopes of the field's weights and
  // colours, with what the accumulation has from elsewhere.
  void rendered(int r, const Composite& sum, const float* target, float to_accumulation) {
    Bins& field = block_.field;
    const float weight = weights_[kRendered];
    float to_rgb[3];
    double term = 0;
    for (int channel = 0; channel < 3; ++channel) {
      float behind = call_.background[channel];
      float error = sum.rgb[channel] + (1 - sum.accumulation) * behind - target[channel];
      term += static_cast<double>(error) * error;
      to_rgb[channel] = 2 * weight * error / (3 * R());
      to_accumulation -= to_rgb[channel] * behind;
    }
    float* to_w = field.to_weights + r * field.row;
    const float* w = field.weights + r * field.row;
    const ptrdiff_t first = static_cast<ptrdiff_t>(r) * field.S;
    for (int i = 0; i < field.S; ++i) {
      const float* c = block_.colours + (first + i) * block_.colour_row;
      float* to_c = block_.to_colours + (first + i) * block_.colour_row;
      to_w[i] = to_rgb[0] * c[0] + to_rgb[1] * c[1] + to_rgb[2] * c[2] + to_accumulation;
      for (int channel = 0; channel < 3; ++channel) to_c[channel] = w[i] * to_rgb[channel];
    }
    terms_[kRendered] += weight * term / (3 * static_cast<double>(R_));
  }

  // Eq. 5 and 6: opacities and colours at the experts' samples.
  void samples(int r, int64_t at) {
    Bins& field = block_.field;
    const Lesson& lesson = call_.lesson;
    const int S = field.S;
    const float RS = R() * static_cast<float>(S);
    double alpha_term = 0, colour_term = 0;
    for (int i = 0; i < S; ++i) {
      const int64_t sample = at * S + i;
      float error = field.alpha[r * field.row + i] - lesson.alpha[sample];
      field.to_alpha[r * field.row + i] = weights_[kAlpha] * 2 * error / RS;
      alpha_term += static_cast<double>(error) * error;
      const ptrdiff_t row = (static_cast<ptrdiff_t>(r) * S + i) * block_.colour_row;
      float share = lesson.paper ? 1 / RS : lesson.weights[sample] / R();
      for (int channel = 0; channel < 3; ++channel) {
        float off = block_.colours[row + channel] - lesson.colours[sample * 3 + channel];
        block_.to_colours[row + channel] += weights_[kColour] * 2 * share * off / 3;
        colour_term += static_cast<double>(share) * off * off / 3;
      }
    }
    terms_[kAlpha] += weights_[kAlpha] * alpha_term / RS;
    terms_[kColour] += weights_[kColour] * colour_term;
  }

  void distortion_of(int r) {
    const float scale = weights_[kDistortion] / R();
    float* to_w = block_.field.to_weights + r * block_.field.row;
    terms_[kDistortion] +=
        static_cast<double>(scale) * distortion(block_.field.histogram(r), scale, to_w);
  }

  // Eq. 7, or mip-NeRF 360's: both levels against a mass in the field's bins.
  void interlevel(int r, const float* mass, Term which) {
    const Bins& field = block_.field;
    const float scale = weights_[which] / static_cast<float>(R_ * field.S);
    const Histogram fine{field.S, field.s + r * field.row, mass};
    double term = 0;
    for (Bins& level : block_.levels) {
      const int at = r * level.row;
      // The level's slopes of tau are not needed yet: they serve as scratch.
      term += histogram(fine, level.histogram(r), scale, level.to_weights + at, level.to_tau + at);
    }
    terms_[which] += scale * term;
  }

  Rays& block_;
  const int64_t R_;
  const LearnCall& call_;
  const float* weights_;
  double* terms_;
};

}  // namespace

void render_rays(const Parameters& model, const RaySet& rays, const Rendered& out) {
  const Networks networks(model.shape, model.at);
  share(rays.R, torch::stable::get_num_threads(), [&](int64_t, int64_t begin, int64_t end) {
    Rays block(model, networks, Rays::best_rays(model.shape), false);
    each_block(model.shape, begin, end, [&](int64_t first, int count) {
      block.begin(rays, first, count);
      for (int level = 0; level < kLevels; ++level) block.forward_level(level, false);
      block.sample_field();
      block.forward_field();
      write_block(block, first, out);
    });
  });
}

void query_points(const Parameters& model, const Query& query) {
  constexpr int64_t kRay = 64;  // points that are taken together where no direction groups them
  Parameters of = model;
  of.shape.samples = static_cast<int>(query.directions == nullptr ? kRay : query.S);
  const int64_t S = of.shape.samples, rays = (query.N + S - 1) / S;
  const Networks networks(of.shape, of.at);
  share(rays, torch::stable::get_num_threads(), [&](int64_t, int64_t begin, int64_t end) {
    Rays block(of, networks, Rays::best_rays(of.shape), false);
    each_block(of.shape, begin, end, [&](int64_t ray, int count) {
      const int64_t first = ray * S, n = std::min(count * S, query.N - first);
      block.look_at(query, first, static_cast<int>(n));
      std::copy_n(block.densities, n, query.sigma + first);
      if (query.directions != nullptr) write_colours(block, n, query.colours + first * 3);
    });
  });
}

void learn_rays(const Parameters& model, const RaySet& rays, const LearnCall& call) {
  const Lesson& lesson = call.lesson;
  const int64_t threads = torch::stable::get_num_threads();
  Parameters of = model;
  if (lesson.of_experts()) of.shape.samples = lesson.S;
  const Networks networks(of.shape, of.at);
  std::vector<double> terms(threads * kTerms, 0.0);
  share(rays.R, threads, [&](int64_t thread, int64_t begin, int64_t end) {
    Rays block(of, networks, Rays::best_rays(of.shape), true);
    Networks to_networks(of.shape);
    float* grads = call.grads.data + thread * call.grads.length;
    RayLosses losses(block, rays.R, call, terms.data() + thread * kTerms);
    each_block(of.shape, begin, end, [&](int64_t first, int count) {
      block.begin(rays, first, count);
      for (int level = 0; level < kLevels; ++level) block.forward_level(level, call.levels_learn);
      if (lesson.of_experts())
        block.take_samples(lesson.s, lesson.t);
      else
        block.sample_field();
      block.forward_field();
      for (int r = 0; r < count; ++r) losses.add(r, first + r);
      block.backward_field(lesson.of_experts(), to_networks, grads);
      for (int level = 0; call.levels_learn && level < kLevels; ++level)
        block.backward_level(level, to_networks, grads);
    });
    to_networks.add_to(of.shape, of.offsets, call.levels_learn, grads);
  });
  for (size_t i = 0; i < call.terms.size(); ++i) {
    double total = 0;
    for (int64_t thread = 0; thread < threads; ++thread)
      total += terms[thread * kTerms + call.terms[i]];
    call.out[i] = static_cast<float>(total);
  }
}

}  // namespace dac::cpu

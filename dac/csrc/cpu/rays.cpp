// The whole-ray operations: rendering, a training step's gradients, a distillation step's.
//
// Rays are divided among the threads in fixed shares, and each thread adds into a gradient of its own,
// so that for a given number of threads the result is the same bit for bit.
#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "block.h"
#include "parameters.h"

namespace dac {
namespace {

constexpr float kEps = 1e-7F;  // of the histogram loss

std::vector<const float*> pointers(const std::vector<Tensor>& parameters) {
  std::vector<const float*> result;
  for (const Tensor& parameter : parameters) result.push_back(floats(parameter, "a parameter"));
  return result;
}

// Calls work(thread, first ray, end) for each thread's share of the rays.
template <class Work>
void share_rays(int64_t rays, int64_t threads, const Work& work) {
  torch::stable::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread)
      work(thread, rays * thread / threads, rays * (thread + 1) / threads);
  });
}

const int64_t* key_of(const std::optional<Tensor>& key) {
  if (!key.has_value()) return nullptr;
  STD_TORCH_CHECK(key->scalar_type() == torch::headeronly::ScalarType::Long && key->numel() == 1,
                  "the key must be one int64");
  return static_cast<const int64_t*>(key->data_ptr());
}

int64_t rays_in(const Tensor& rays) {
  STD_TORCH_CHECK(rays.dim() == 2 && rays.size(1) == kRayFloats, "rays must be (R, 8)");
  return rays.size(0);
}

// Colour without background, accumulation and expected depth of a block's ray.
struct Composite {
  float rgb[3] = {0, 0, 0};
  float accumulation = 0, depth = 0;
};

Composite composite(const Block& block, int r) {
  const Samples& field = block.field;
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
  sum.depth /= larger(sum.accumulation, 1.17549435e-38F);
  return sum;
}

// What each ray's loss is weighted with, for a mean over all of them.
struct Head {
  Block& block;
  int64_t rays;
  const float* background;

  // The slope of a ray's colour loss, through its composite: |over background - target|^2 weighted by
  // `weight`, mean over rays and channels. Adds to the field's slopes; returns the ray's term.
  double colour_term(int r, const Composite& sum, const float* target, float weight,
                     float more_to_accumulation) {
    Samples& field = block.field;
    float to_rgb[3], to_accumulation = more_to_accumulation;
    double term = 0;
    for (int channel = 0; channel < 3; ++channel) {
      float predicted = sum.rgb[channel] + (1 - sum.accumulation) * background[channel];
      float error = predicted - target[channel];
      term += static_cast<double>(error) * error;
      to_rgb[channel] = 2 * weight * error / (3 * static_cast<float>(rays));
      to_accumulation -= to_rgb[channel] * background[channel];
    }
    float* to_w = field.to_weights + r * field.row;
    const float* w = field.weights + r * field.row;
    const ptrdiff_t first = static_cast<ptrdiff_t>(r) * field.S;
    for (int i = 0; i < field.S; ++i) {
      const float* c = block.colours + (first + i) * block.colour_row;
      float* to_c = block.to_colours + (first + i) * block.colour_row;
      to_w[i] = to_rgb[0] * c[0] + to_rgb[1] * c[1] + to_rgb[2] * c[2] + to_accumulation;
      for (int channel = 0; channel < 3; ++channel) to_c[channel] = w[i] * to_rgb[channel];
    }
    return weight * term / (3 * static_cast<double>(rays));
  }

  double distortion_term(int r, float weight) {
    Samples& field = block.field;
    const int at = r * field.row;
    float scale = weight / static_cast<float>(rays);
    return static_cast<double>(scale) * distortion(field.S, field.s + at, field.weights + at, scale,
                                                   field.to_weights + at, 1);
  }

  // Both levels against the histogram (field.s, mass); adds to the levels' slopes.
  double histogram_term(int r, const float* mass, float weight) {
    Samples& field = block.field;
    float scale = weight / static_cast<float>(rays * field.S);
    double term = 0;
    for (Samples& level : block.levels) {
      const int at = r * level.row;
      // The level's slopes of tau are not needed yet: they serve as scratch.
      term += histogram(field.S, field.s + r * field.row, mass, level.S, level.s + at,
                        level.weights + at, kEps, scale, level.to_weights + at, level.to_tau + at, 1);
    }
    return scale * term;
  }

  void clear_levels(int r) {
    for (Samples& level : block.levels)
      std::memset(level.to_weights + r * level.row, 0, level.row * sizeof(float));
  }
};

void write_rows(const Block& block, const float* from, int width, int64_t first, float* to) {
  for (int r = 0; r < block.count; ++r)
    std::memcpy(to + (first + r) * width, from + r * block.field.row, width * sizeof(float));
}

std::vector<Tensor> render_rays(std::vector<Tensor> parameters, std::vector<int64_t> shape,
                                std::vector<double> space, Tensor rays, std::optional<Tensor> key,
                                Tensor anneal, bool samples, int64_t before) {
  const ModelShape model = checked_shape(parameters, shape, space);
  const std::vector<const float*> values = pointers(parameters);
  const int64_t R = rays_in(rays), S = model.samples;
  const float* ray_values = floats(rays, "rays");
  const float exponent = *floats(anneal, "anneal");
  const int64_t* jitter_key = key_of(key);
  std::vector<Tensor> out = {new_floats(rays, {R, 3}), new_floats(rays, {R}), new_floats(rays, {R})};
  if (samples)
    for (std::vector<int64_t> size : std::vector<std::vector<int64_t>>{
             {R, S + 1}, {R, S + 1}, {R, S}, {R, S}, {R, S, 3}})
      out.push_back(new_floats(rays, size));
  std::vector<float*> to;
  for (const Tensor& tensor : out) to.push_back(static_cast<float*>(tensor.data_ptr()));
  const Networks networks(model, values.data());
  share_rays(R, torch::stable::get_num_threads(), [&](int64_t, int64_t begin, int64_t end) {
    const int most = Block::best_rays(model);
    Block block(model, values.data(), networks, most, false);
    for (int64_t first = begin; first < end; first += most) {
      block.begin(ray_values, first, static_cast<int>(std::min<int64_t>(most, end - first)),
                  jitter_key, before, exponent);
      for (int level = 0; level < kLevels; ++level) block.forward_level(level, false);
      block.sample_field();
      block.forward_field();
      for (int r = 0; r < block.count; ++r) {
        Composite sum = composite(block, r);
        std::memcpy(to[0] + (first + r) * 3, sum.rgb, sizeof(sum.rgb));
        to[1][first + r] = sum.accumulation;
        to[2][first + r] = sum.depth;
      }
      if (!samples) continue;
      write_rows(block, block.field.s, model.samples + 1, first, to[3]);
      write_rows(block, block.field.t, model.samples + 1, first, to[4]);
      write_rows(block, block.field.alpha, model.samples, first, to[5]);
      write_rows(block, block.field.weights, model.samples, first, to[6]);
      for (int64_t i = 0; i < block.count * S; ++i)
        std::memcpy(to[7] + (first * S + i) * 3, block.colours + i * block.colour_row,
                    3 * sizeof(float));
    }
  });
  return out;
}

// The gradients' copies, one for each thread.
struct Copies {
  float* data;
  int64_t count, length;
};

Copies copies_of(const Tensor& grads, int64_t length) {
  STD_TORCH_CHECK(grads.dim() == 2 && grads.size(1) == length, "grads must be (copies, ", length,
                  ")");
  STD_TORCH_CHECK(grads.size(0) >= torch::stable::get_num_threads(),
                  "grads needs a copy for each of ", torch::stable::get_num_threads(), " threads");
  return {mutable_floats(grads, "grads"), torch::stable::get_num_threads(), length};
}

// Runs `step(block, head, terms)` on every block and adds its gradients. The step does the forward
// passes and sets the slopes; `levels_learn` says whether the levels' backward passes follow.
template <int kTerms, class Step>
Tensor learn_rays(const std::vector<Tensor>& parameters, const Tensor& grads, const ModelShape& model,
                  const Tensor& rays, const Tensor& background, const Tensor& key,
                  int64_t before, const Tensor& anneal, bool with_alpha, bool levels_learn,
                  const Step& step) {
  const std::vector<const float*> values = pointers(parameters);
  const std::vector<int64_t> offsets = flat_offsets(parameters);
  const Copies copies = copies_of(grads, offsets.back());
  const int64_t R = rays_in(rays);
  const float *ray_values = floats(rays, "rays"), *behind = floats(background, "background");
  STD_TORCH_CHECK(background.numel() == 3, "background must be (3,)");
  const float exponent = *floats(anneal, "anneal");
  const int64_t* jitter_key = key_of(key);
  const Networks networks(model, values.data());
  std::vector<double> terms(copies.count * kTerms, 0.0);
  share_rays(R, copies.count, [&](int64_t thread, int64_t begin, int64_t end) {
    const int most = Block::best_rays(model);
    Block block(model, values.data(), networks, most, true);
    Networks to_networks(model);
    float* to = copies.data + thread * copies.length;
    Head head{block, R, behind};
    for (int64_t first = begin; first < end; first += most) {
      block.begin(ray_values, first, static_cast<int>(std::min<int64_t>(most, end - first)),
                  jitter_key, before, exponent);
      step(block, head, first, terms.data() + thread * kTerms);
      block.backward_field(with_alpha, to_networks, offsets.data(), to);
      for (int level = 0; levels_learn && level < kLevels; ++level)
        block.backward_level(level, to_networks, offsets.data(), to);
    }
    to_networks.add_to(model, offsets.data(), levels_learn, to);
  });
  Tensor result = new_floats(rays, {kTerms});
  float* out = static_cast<float*>(result.data_ptr());
  for (int term = 0; term < kTerms; ++term) {
    double total = 0;
    for (int64_t thread = 0; thread < copies.count; ++thread) total += terms[thread * kTerms + term];
    out[term] = static_cast<float>(total);
  }
  return result;
}

Tensor train_rays(std::vector<Tensor> parameters, Tensor grads, std::vector<int64_t> shape,
                  std::vector<double> space, Tensor rays, Tensor target, Tensor background,
                  Tensor key, Tensor anneal, bool learn, std::vector<double> weights,
                  int64_t before) {
  const ModelShape model = checked_shape(parameters, shape, space);
  STD_TORCH_CHECK(weights.size() == 3, "train_rays takes three weights");
  STD_TORCH_CHECK(target.numel() == rays_in(rays) * 3, "target must be (R, 3)");
  const float* wanted = floats(target, "target");
  const float photometric = static_cast<float>(weights[0]), spread = static_cast<float>(weights[1]),
              interlevel = static_cast<float>(weights[2]);
  return learn_rays<3>(
      parameters, grads, model, rays, background, key, before, anneal, false, learn,
      [&](Block& block, Head& head, int64_t first, double* terms) {
        for (int level = 0; level < kLevels; ++level) block.forward_level(level, learn);
        block.sample_field();
        block.forward_field();
        for (int r = 0; r < block.count; ++r) {
          terms[0] += head.colour_term(r, composite(block, r), wanted + (first + r) * 3, photometric,
                                       0.0F);
          if (spread != 0) terms[1] += head.distortion_term(r, spread);
          if (!learn) continue;
          head.clear_levels(r);
          terms[2] += head.histogram_term(r, block.field.weights + r * block.field.row, interlevel);
        }
      });
}

// What the experts say about the rays, whole.
struct Lesson {
  const float *s, *t, *alpha, *weights, *colours, *rgb, *accumulation;
};

// Eq. 5 to 7 and the rendered terms of one ray.
void distill_ray(Block& block, Head& head, const Lesson& lesson, int64_t first, int r, bool paper,
                 const float* weight, double* terms) {
  Samples& field = block.field;
  const int S = field.S;
  const int64_t at = (first + r) * S;
  const float R = static_cast<float>(head.rays), RS = R * static_cast<float>(S);
  Composite sum = composite(block, r);
  float expert_rgb[3], miss = sum.accumulation - lesson.accumulation[first + r];
  for (int channel = 0; channel < 3; ++channel)
    expert_rgb[channel] = lesson.rgb[(first + r) * 3 + channel] +
                          (1 - lesson.accumulation[first + r]) * head.background[channel];
  float accumulation = paper ? 0.0F : weight[4];
  terms[3] += head.colour_term(r, sum, expert_rgb, weight[3], accumulation * 2 * miss / R);
  terms[4] += static_cast<double>(accumulation) * miss * miss / R;
  double alpha_term = 0, colour_term = 0;
  for (int i = 0; i < S; ++i) {
    float error = field.alpha[r * field.row + i] - lesson.alpha[at + i];
    field.to_alpha[r * field.row + i] = weight[0] * 2 * error / RS;
    alpha_term += static_cast<double>(error) * error;
    const ptrdiff_t row = (static_cast<ptrdiff_t>(r) * S + i) * block.colour_row;
    float share = paper ? 1 / RS : lesson.weights[at + i] / R;
    for (int channel = 0; channel < 3; ++channel) {
      float off = block.colours[row + channel] - lesson.colours[(at + i) * 3 + channel];
      block.to_colours[row + channel] += weight[1] * 2 * share * off / 3;
      colour_term += static_cast<double>(share) * off * off / 3;
    }
  }
  terms[0] += weight[0] * alpha_term / RS;
  terms[1] += weight[1] * colour_term;
  head.clear_levels(r);
  terms[2] += head.histogram_term(r, (paper ? lesson.alpha : lesson.weights) + at, weight[2]);
  if (weight[5] != 0) terms[5] += head.distortion_term(r, weight[5]);
  if (weight[6] != 0) terms[6] += head.histogram_term(r, field.weights + r * field.row, weight[6]);
}

Tensor distill_rays(std::vector<Tensor> parameters, Tensor grads, std::vector<int64_t> shape,
                    std::vector<double> space, Tensor rays, std::vector<Tensor> lesson,
                    Tensor background, Tensor key, Tensor anneal, bool paper,
                    std::vector<double> weights, int64_t before) {
  ModelShape model = checked_shape(parameters, shape, space);
  STD_TORCH_CHECK(weights.size() == 7 && lesson.size() == 7, "distill_rays takes seven of each");
  const int64_t R = rays_in(rays);
  model.samples = static_cast<int>(lesson[2].size(1));  // the experts' samples
  const int64_t S = model.samples;
  const int64_t sizes[7] = {R * (S + 1), R * (S + 1), R * S, R * S, R * S * 3, R * 3, R};
  for (int part = 0; part < 7; ++part)
    STD_TORCH_CHECK(lesson[part].numel() == sizes[part], "part ", part, " of the lesson has ",
                    lesson[part].numel(), " numbers, not ", sizes[part]);
  const Lesson said{floats(lesson[0], "s"),       floats(lesson[1], "t"),
                    floats(lesson[2], "alpha"),   floats(lesson[3], "weights"),
                    floats(lesson[4], "colours"), floats(lesson[5], "rgb"),
                    floats(lesson[6], "accumulation")};
  const std::vector<float> weight(weights.begin(), weights.end());
  return learn_rays<7>(parameters, grads, model, rays, background, key, before, anneal, true, true,
                       [&](Block& block, Head& head, int64_t first, double* terms) {
                         for (int level = 0; level < kLevels; ++level)
                           block.forward_level(level, true);
                         block.take_samples(said.s, said.t);
                         block.forward_field();
                         for (int r = 0; r < block.count; ++r)
                           distill_ray(block, head, said, first, r, paper, weight.data(), terms);
                       });
}

STABLE_TORCH_LIBRARY_IMPL(dac, CPU, m) {
  m.impl("render_rays", TORCH_BOX(&render_rays));
  m.impl("train_rays", TORCH_BOX(&train_rays));
  m.impl("distill_rays", TORCH_BOX(&distill_rays));
}

}  // namespace
}  // namespace dac

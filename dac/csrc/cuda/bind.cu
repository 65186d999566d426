// The CUDA operations on whole rays as torch sees them.
//
// A list of parameters may end with one tensor more: all of them as halves in one flat buffer, each
// at the start that it has in the flat gradient. adam_tv then keeps these fresh, and the other
// operations read them; without it, each call makes halves of the planes anew.
//
// Environment: DAC_CUDA_FLOAT32=1 computes in float32 throughout, without tensor cores;
// DAC_DETERMINISTIC=1 sums gradients in 64-bit fixed point, so that a step gives the same bits each
// time.
#include <cstdlib>
#include <optional>
#include <tuple>

#include "binding.h"
#include "steps.h"

namespace dac::cuda {
namespace {

using torch::headeronly::ScalarType;

bool asked_for(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::string(value) == "1";
}

Choices choices() {
  Choices choices;
  choices.float32 = asked_for("DAC_CUDA_FLOAT32");
  choices.deterministic = asked_for("DAC_DETERMINISTIC");
  return choices;
}

Tensor bytes_like(const Tensor& like, size_t count) {
  return new_memory(like, {static_cast<int64_t>(count)}, ScalarType::Byte);
}

// Splits the halves off a list of parameters; null without them.
uint16_t* take_half(std::vector<Tensor>* parameters) {
  if (parameters->empty() || parameters->back().scalar_type() != ScalarType::Half) return nullptr;
  Tensor half = parameters->back();
  parameters->pop_back();
  STD_TORCH_CHECK(
      half.is_cuda() && half.is_contiguous() && half.numel() == flat_offsets(*parameters).back(),
      "the halves must be a flat buffer on the GPU, as long as the gradients");
  return static_cast<uint16_t*>(half.data_ptr());
}

Parameters described(std::vector<Tensor> tensors, const std::vector<int64_t>& shape,
                     const std::vector<double>& space) {
  Parameters model;
  model.half = take_half(&tensors);
  model.shape = checked_shape(tensors, shape, space);
  const std::vector<int64_t> offsets = flat_offsets(tensors);
  for (size_t i = 0; i < tensors.size(); ++i) {
    model.at[i] = on_gpu(tensors[i], "a parameter");
    model.sizes[i] = tensors[i].numel();
    model.offsets[i] = offsets[i];
  }
  model.offsets[tensors.size()] = offsets.back();
  return model;
}

RaySet ray_set(const ModelShape& shape, const Tensor& rays, const std::optional<Tensor>& key,
               int64_t before, const Tensor& anneal) {
  STD_TORCH_CHECK(rays.dim() == 2 && rays.size(1) == 8, "rays must be (R, 8)");
  RaySet set;
  set.R = rays.size(0);
  set.rays = on_gpu(rays, "rays");
  if (key.has_value()) {
    STD_TORCH_CHECK(key->is_cuda() && key->scalar_type() == ScalarType::Long && key->numel() == 1,
                    "the key must be one int64 on the GPU");
    set.key = static_cast<const int64_t*>(key->data_ptr());
  }
  set.first = static_cast<uint32_t>(before);
  STD_TORCH_CHECK(anneal.numel() == 1, "anneal must be one number");
  set.anneal = on_gpu(anneal, "anneal");
  set.space = shape.space;
  for (int axis = 0; axis < 3; ++axis) {
    set.centre[axis] = shape.centre[axis];
    set.half[axis] = shape.half[axis];
  }
  return set;
}

// Runs `call(arena)` twice: to count the memory it needs, and with it. The memory comes from
// torch's allocator on the current stream, which reuses it in the stream's order.
template <class Call>
void with_memory(const Tensor& like, const Call& call) {
  Arena counting(nullptr);
  call(counting);
  Tensor memory = bytes_like(like, counting.used());
  Arena arena(memory.data_ptr());
  call(arena);
}

std::vector<Tensor> render_rays_op(std::vector<Tensor> parameters, std::vector<int64_t> shape,
                                   std::vector<double> space, Tensor rays,
                                   std::optional<Tensor> key, Tensor anneal, bool samples,
                                   int64_t before) {
  OnDevice device(rays);
  const Parameters model = described(std::move(parameters), shape, space);
  const RaySet set = ray_set(model.shape, rays, key, before, anneal);
  const int64_t R = set.R, S = model.shape.samples;
  std::vector<Tensor> out{new_floats(rays, {R, 3}), new_floats(rays, {R}), new_floats(rays, {R})};
  if (samples)
    for (const std::vector<int64_t>& size :
         std::vector<std::vector<int64_t>>{{R, S + 1}, {R, S + 1}, {R, S}, {R, S}, {R, S, 3}})
      out.push_back(new_floats(rays, size));
  std::vector<float*> to;
  for (const Tensor& tensor : out) to.push_back(static_cast<float*>(tensor.data_ptr()));
  RenderCall call;
  call.out.rgb = to[0];
  call.out.accumulation = to[1];
  call.out.depth = to[2];
  if (samples) {
    call.s = to[3];
    call.t = to[4];
    call.out.alpha = to[5];
    call.out.weights = to[6];
    call.colours = to[7];
  }
  with_memory(rays, [&](Arena& arena) {
    render_rays(model, choices(), set, call, arena, device.stream());
  });
  return out;
}

// What both kinds of learning share; the call's lesson, weights and terms are set by then.
Tensor learn(const Parameters& model, const Tensor& grads, const RaySet& set, LearnCall call,
             const Tensor& background, const Tensor& rays, const OnDevice& device) {
  const int64_t length = model.offsets[model.shape.parameters];
  STD_TORCH_CHECK(grads.dim() == 2 && grads.size(0) == 1 && grads.size(1) == length,
                  "grads must be (1, ", length, ") on a GPU");
  STD_TORCH_CHECK(background.numel() == 3, "background must be (3,)");
  call.grads = on_gpu(grads, "grads");
  call.background = on_gpu(background, "background");
  Tensor result = new_floats(rays, {static_cast<int64_t>(call.terms.size())});
  call.out = static_cast<float*>(result.data_ptr());
  with_memory(
      rays, [&](Arena& arena) { learn_rays(model, choices(), set, call, arena, device.stream()); });
  return result;
}

Tensor train_rays_op(std::vector<Tensor> parameters, Tensor grads, std::vector<int64_t> shape,
                     std::vector<double> space, Tensor rays, Tensor target, Tensor background,
                     Tensor key, Tensor anneal, bool learn_levels, std::vector<double> weights,
                     int64_t before) {
  OnDevice device(rays);
  const Parameters model = described(std::move(parameters), shape, space);
  const RaySet set = ray_set(model.shape, rays, key, before, anneal);
  STD_TORCH_CHECK(weights.size() == 3, "train_rays takes three weights");
  STD_TORCH_CHECK(target.numel() == set.R * 3, "target must be (R, 3)");
  LearnCall call;
  call.lesson.rgb = on_gpu(target, "target");
  call.weights.of[kRendered] = static_cast<float>(weights[0]);
  call.weights.of[kDistortion] = static_cast<float>(weights[1]);
  call.weights.of[kInterlevel] = static_cast<float>(weights[2]);
  call.levels_learn = learn_levels;
  call.terms = {kRendered, kDistortion, kInterlevel};
  return learn(model, grads, set, call, background, rays, device);
}

Tensor distill_rays_op(std::vector<Tensor> parameters, Tensor grads, std::vector<int64_t> shape,
                       std::vector<double> space, Tensor rays, std::vector<Tensor> lesson,
                       Tensor background, Tensor key, Tensor anneal, bool paper,
                       std::vector<double> weights, int64_t before) {
  OnDevice device(rays);
  const Parameters model = described(std::move(parameters), shape, space);
  const RaySet set = ray_set(model.shape, rays, key, before, anneal);
  STD_TORCH_CHECK(weights.size() == kTerms && lesson.size() == 7,
                  "distill_rays takes seven of each");
  STD_TORCH_CHECK(lesson[2].dim() == 2, "the lesson's alpha must be (R, S)");
  const int64_t R = set.R, S = lesson[2].size(1);
  const int64_t sizes[7] = {R * (S + 1), R * (S + 1), R * S, R * S, R * S * 3, R * 3, R};
  const float* said[7];
  for (int part = 0; part < 7; ++part) {
    STD_TORCH_CHECK(lesson[part].numel() == sizes[part], "part ", part, " of the lesson has ",
                    lesson[part].numel(), " numbers, not ", sizes[part]);
    said[part] = on_gpu(lesson[part], "the lesson");
  }
  LearnCall call;
  call.s = said[0];
  call.t = said[1];
  call.samples = static_cast<int>(S);
  call.lesson = {said[0], said[2], said[3], said[4], said[5], said[6], paper};
  for (int term = 0; term < kTerms; ++term) {
    call.weights.of[term] = static_cast<float>(weights[term]);
    call.terms.push_back(term);
  }
  return learn(model, grads, set, call, background, rays, device);
}

AdamParameter adam_parameter(const Tensor& x, const Tensor& m, const Tensor& v) {
  AdamParameter p;
  p.x = on_gpu(x, "a parameter");
  p.m = on_gpu(m, "exp_avg");
  p.v = on_gpu(v, "exp_avg_sq");
  p.count = x.numel();
  STD_TORCH_CHECK(m.numel() == p.count && v.numel() == p.count,
                  "a parameter's moments have another size");
  if (x.dim() == 4) {
    p.planes = static_cast<int>(x.size(0));
    p.height = static_cast<int>(x.size(1));
    p.width = static_cast<int>(x.size(2));
    p.channels = static_cast<int>(x.size(3));
  }
  return p;
}

std::tuple<Tensor, Tensor> adam_tv_op(std::vector<Tensor> parameters, std::vector<Tensor> exp_avg,
                                      std::vector<Tensor> exp_avg_sq, Tensor grads,
                                      std::vector<double> tv, std::vector<bool> active,
                                      Tensor rates, std::vector<double> betas_eps) {
  OnDevice device(grads);
  uint16_t* half = take_half(&parameters);
  const size_t count = parameters.size();
  STD_TORCH_CHECK(exp_avg.size() == count && exp_avg_sq.size() == count && tv.size() == count &&
                      active.size() == count && betas_eps.size() == 3 && count <= kMaxParameters &&
                      rates.numel() == static_cast<int64_t>(2 * count),
                  "adam_tv takes one of each for a parameter");
  const std::vector<int64_t> offsets = flat_offsets(parameters);
  STD_TORCH_CHECK(grads.dim() == 2 && grads.size(0) == 1 && grads.size(1) == offsets.back(),
                  "grads must be (1, ", offsets.back(), ") on a GPU");
  AdamSet set;
  set.count = static_cast<int>(count);
  set.rates = on_gpu(rates, "rates");
  set.beta1 = static_cast<float>(betas_eps[0]);
  set.beta2 = static_cast<float>(betas_eps[1]);
  set.eps = static_cast<float>(betas_eps[2]);
  for (size_t i = 0; i < count; ++i) {
    AdamParameter& p = set.of[i];
    p = adam_parameter(parameters[i], exp_avg[i], exp_avg_sq[i]);
    p.g = on_gpu(grads, "grads") + offsets[i];
    p.half = half == nullptr ? nullptr : half + offsets[i];
    p.tv = static_cast<float>(tv[i]);
    p.active = active[i];
  }
  Tensor values = new_floats(rates, {static_cast<int64_t>(count)});
  Tensor norm = new_floats(rates, {});
  Tensor scratch = new_floats(rates, {adam_scratch(set)});
  adam_tv(set, static_cast<float*>(scratch.data_ptr()), static_cast<float*>(values.data_ptr()),
          static_cast<float*>(norm.data_ptr()), device.stream());
  return {values, norm};
}

STABLE_TORCH_LIBRARY_IMPL(dac, CUDA, m) {
  m.impl("render_rays", TORCH_BOX(&render_rays_op));
  m.impl("train_rays", TORCH_BOX(&train_rays_op));
  m.impl("distill_rays", TORCH_BOX(&distill_rays_op));
  m.impl("adam_tv", TORCH_BOX(&adam_tv_op));
}

}  // namespace
}  // namespace dac::cuda

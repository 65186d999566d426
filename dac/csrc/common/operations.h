// The operations on whole rays as torch sees them, once for CPU and GPU: tensors are checked and
// become the calls of calls.h. Schemas: bind.cpp; meaning: dac/ops/rays.py.
//
// A `Device` is made of a tensor that lies on it and is current as long as it lives. It has kGpu;
// copies(), how many copies of the gradient a step fills; and render, query, learn and adam.
#pragma once

#include <iterator>
#include <optional>
#include <tuple>
#include <utility>

#include "calls.h"
#include "tensor.h"

namespace dac {

// Floats of each parameter.
inline std::vector<int64_t> parameter_floats(const ModelShape& m) {
  const int64_t H = m.hidden;
  std::vector<int64_t> sizes;
  for (const ProposalShape& p : m.proposals)
    sizes.insert(sizes.end(), {p.encoder.floats(0), H * p.encoder.features(), H});
  for (int scale = 0; scale < m.encoder.scales; ++scale) sizes.push_back(m.encoder.floats(scale));
  sizes.insert(sizes.end(), {H * m.encoder.features(), (1 + m.geometry) * H});
  sizes.push_back(H * (kHarmonics + m.geometry));
  for (int layer = 1; layer < m.colour_layers; ++layer) sizes.push_back(H * H);
  sizes.push_back(3 * H);
  return sizes;
}

// Starts of the parameters in a flat buffer; the last entry is its length.
inline std::vector<int64_t> flat_offsets(const std::vector<Tensor>& parameters) {
  std::vector<int64_t> offsets{0};
  for (const Tensor& parameter : parameters)
    offsets.push_back(offsets.back() + (parameter.numel() + kAlign - 1) / kAlign * kAlign);
  return offsets;
}

inline ModelShape checked_shape(const std::vector<Tensor>& parameters,
                                const std::vector<int64_t>& shape,
                                const std::vector<double>& space) {
  STD_TORCH_CHECK(shape.size() > 11 && shape.size() <= 11 + kMaxScales && space.size() == 6,
                  "shape and space describe no model");
  ModelShape model = make_shape(shape.data(), static_cast<int64_t>(shape.size()), space.data());
  STD_TORCH_CHECK(model.colour_layers >= 1 && model.colour_layers <= kMaxColourLayers,
                  "the colour network may have 1 to ", kMaxColourLayers, " hidden layers");
  STD_TORCH_CHECK(static_cast<size_t>(model.parameters) == parameters.size(),
                  "the model has ", model.parameters, " parameters, not ", parameters.size());
  const std::vector<int64_t> sizes = parameter_floats(model);
  for (size_t i = 0; i < sizes.size(); ++i)
    STD_TORCH_CHECK(parameters[i].numel() == sizes[i], "parameter ", i, " has ",
                    parameters[i].numel(), " numbers, not ", sizes[i]);
  return model;
}

template <class Device>
class Operations {
  using Tensors = std::vector<Tensor>;
  using Integers = std::vector<int64_t>;
  using Doubles = std::vector<double>;

  static void check_device(const Tensor& tensor, const char* name) {
    STD_TORCH_CHECK(tensor.is_cuda() == Device::kGpu, name, " must be on the ",
                    Device::kGpu ? "GPU" : "CPU");
  }

  static float* floats(const Tensor& tensor, const char* name) {
    check_device(tensor, name);
    STD_TORCH_CHECK(tensor.scalar_type() == ScalarType::Float && tensor.is_contiguous(), name,
                    " must be contiguous float32");
    return out(tensor);
  }

  static float* floats(const Tensor& tensor, int64_t count, const char* name, const char* shape) {
    STD_TORCH_CHECK(tensor.numel() == count, name, " must be ", shape);
    return floats(tensor, name);
  }

  // Splits the halves off a list of parameters; null without them.
  static uint16_t* take_half(Tensors* parameters) {
    if (!Device::kGpu || parameters->empty() ||
        parameters->back().scalar_type() != ScalarType::Half)
      return nullptr;
    const Tensor half = parameters->back();
    parameters->pop_back();
    STD_TORCH_CHECK(
        half.is_cuda() && half.is_contiguous() && half.numel() == flat_offsets(*parameters).back(),
        "the halves must be a flat buffer on the GPU, as long as the gradients");
    return static_cast<uint16_t*>(half.data_ptr());
  }

  static Parameters described(Tensors tensors, const Integers& shape, const Doubles& space) {
    Parameters model;
    model.half = take_half(&tensors);
    model.shape = checked_shape(tensors, shape, space);
    const Integers offsets = flat_offsets(tensors);
    for (size_t i = 0; i < tensors.size(); ++i) {
      model.at[i] = floats(tensors[i], "a parameter");
      model.sizes[i] = tensors[i].numel();
      model.offsets[i] = offsets[i];
    }
    model.offsets[tensors.size()] = offsets.back();
    return model;
  }

  static RaySet ray_set(const Tensor& rays, const std::optional<Tensor>& key, const Tensor& anneal,
                        int64_t before) {
    STD_TORCH_CHECK(rays.dim() == 2 && rays.size(1) == kRayFloats, "rays must be (R, 8)");
    RaySet set;
    set.R = rays.size(0);
    set.rays = floats(rays, "rays");
    if (key.has_value()) {
      check_device(*key, "the key");
      STD_TORCH_CHECK(key->scalar_type() == ScalarType::Long && key->numel() == 1,
                      "the key must be one int64");
      set.key = static_cast<const int64_t*>(key->data_ptr());
    }
    set.anneal = floats(anneal, 1, "anneal", "one number");
    set.first = static_cast<uint32_t>(before);
    return set;
  }

  static Gradients gradients(const Tensor& grads, int64_t length, int64_t copies) {
    STD_TORCH_CHECK(grads.dim() == 2 && grads.size(1) == length, "grads must be (copies, ", length,
                    ")");
    STD_TORCH_CHECK(Device::kGpu ? grads.size(0) == 1 : grads.size(0) >= copies,
                    "grads needs a copy for each of ", copies, " threads");
    return {floats(grads, "grads"), grads.size(0), length};
  }

  // The rest of a call whose lesson, weights and terms are set.
  static Tensor learn(Device& device, const Parameters& model, const RaySet& set, LearnCall call,
                      const Tensor& grads, const Tensor& background) {
    call.grads = gradients(grads, model.offsets[model.shape.parameters], device.copies());
    call.background = floats(background, 3, "background", "(3,)");
    const Tensor result = new_floats(background, {static_cast<int64_t>(call.terms.size())});
    call.out = out(result);
    device.learn(model, set, call);
    return result;
  }

 public:
  static Tensors render_rays(Tensors parameters, Integers shape, Doubles space, Tensor rays,
                             std::optional<Tensor> key, Tensor anneal, bool samples,
                             int64_t before) {
    Device device(rays);
    const Parameters model = described(std::move(parameters), shape, space);
    const RaySet set = ray_set(rays, key, anneal, before);
    const int64_t R = set.R, S = model.shape.samples;
    std::vector<Integers> sizes{{R, 3}, {R}, {R}};
    if (samples) sizes.insert(sizes.end(), {{R, S + 1}, {R, S + 1}, {R, S}, {R, S}, {R, S, 3}});
    Tensors result;
    for (const Integers& size : sizes) result.push_back(new_floats(rays, size));
    Rendered to{out(result[0]), out(result[1]), out(result[2])};
    if (samples) {
      to.s = out(result[3]), to.t = out(result[4]);
      to.alpha = out(result[5]), to.weights = out(result[6]), to.colours = out(result[7]);
    }
    device.render(model, set, to);
    return result;
  }

  static Tensors query_points(Tensors parameters, Integers shape, Doubles space, Tensor points,
                              std::optional<Tensor> directions) {
    Device device(points);
    const Parameters model = described(std::move(parameters), shape, space);
    STD_TORCH_CHECK(points.dim() == 2 && points.size(1) == 3, "points must be (N, 3)");
    Query query;
    query.N = query.S = points.size(0);
    query.points = floats(points, "points");
    Tensors result{new_floats(points, {query.N})};
    query.sigma = out(result[0]);
    if (directions.has_value()) {
      const int64_t R = directions->size(0);
      STD_TORCH_CHECK(directions->dim() == 2 && directions->size(1) == 3 &&
                          (R == 0 ? query.N == 0 : query.N % R == 0),
                      "directions must be (R, 3), each for N / R points");
      query.directions = floats(*directions, "directions");
      query.S = R == 0 ? 0 : query.N / R;
      result.push_back(new_floats(points, {query.N, 3}));
      query.colours = out(result[1]);
    }
    if (query.N > 0) device.query(model, query);
    return result;
  }

  static Tensor train_rays(Tensors parameters, Tensor grads, Integers shape, Doubles space,
                           Tensor rays, Tensor target, Tensor background, Tensor key, Tensor anneal,
                           bool levels_learn, Doubles weights, int64_t before) {
    Device device(rays);
    const Parameters model = described(std::move(parameters), shape, space);
    const RaySet set = ray_set(rays, key, anneal, before);
    LearnCall call;
    call.terms.assign(std::begin(kTrainTerms), std::end(kTrainTerms));
    STD_TORCH_CHECK(weights.size() == call.terms.size(), "train_rays takes three weights");
    for (size_t i = 0; i < weights.size(); ++i)
      call.weights.of[call.terms[i]] = static_cast<float>(weights[i]);
    call.lesson.rgb = floats(target, set.R * 3, "target", "(R, 3)");
    call.levels_learn = levels_learn;
    return learn(device, model, set, call, grads, background);
  }

  static Tensor distill_rays(Tensors parameters, Tensor grads, Integers shape, Doubles space,
                             Tensor rays, Tensors lesson, Tensor background, Tensor key,
                             Tensor anneal, bool paper, Doubles weights, int64_t before) {
    Device device(rays);
    const Parameters model = described(std::move(parameters), shape, space);
    const RaySet set = ray_set(rays, key, anneal, before);
    STD_TORCH_CHECK(weights.size() == kTerms && lesson.size() == 7,
                    "distill_rays takes seven of each");
    STD_TORCH_CHECK(lesson[2].dim() == 2, "the lesson's alpha must be (R, S)");
    const int64_t R = set.R, S = lesson[2].size(1);
    const int64_t sizes[7] = {R * (S + 1), R * (S + 1), R * S, R * S, R * S * 3, R * 3, R};
    const float* said[7];
    for (int part = 0; part < 7; ++part) {
      STD_TORCH_CHECK(lesson[part].numel() == sizes[part], "part ", part, " of the lesson has ",
                      lesson[part].numel(), " numbers, not ", sizes[part]);
      said[part] = floats(lesson[part], "the lesson");
    }
    LearnCall call;
    call.lesson = {static_cast<int>(S), said[0], said[1], said[2], said[3],
                   said[4],             said[5], said[6], paper};
    for (int term = 0; term < kTerms; ++term) {
      call.weights.of[term] = static_cast<float>(weights[term]);
      call.terms.push_back(static_cast<Term>(term));
    }
    return learn(device, model, set, call, grads, background);
  }

  static std::tuple<Tensor, Tensor> adam_tv(Tensors parameters, Tensors exp_avg, Tensors exp_avg_sq,
                                            Tensor grads, Doubles tv, std::vector<bool> active,
                                            Tensor rates, Doubles betas_eps) {
    Device device(grads);
    uint16_t* half = take_half(&parameters);
    const size_t count = parameters.size();
    STD_TORCH_CHECK(exp_avg.size() == count && exp_avg_sq.size() == count && tv.size() == count &&
                        active.size() == count && betas_eps.size() == 3 &&
                        count <= kMaxParameters &&
                        rates.numel() == static_cast<int64_t>(2 * count),
                    "adam_tv takes one of each for a parameter");
    const Integers offsets = flat_offsets(parameters);
    AdamSet set;
    set.count = static_cast<int>(count);
    set.grads = gradients(grads, offsets.back(), 1);
    set.rates = floats(rates, "rates");
    set.beta1 = static_cast<float>(betas_eps[0]);
    set.beta2 = static_cast<float>(betas_eps[1]);
    set.eps = static_cast<float>(betas_eps[2]);
    for (size_t i = 0; i < count; ++i) {
      AdamParameter& p = set.of[i];
      const Tensor& x = parameters[i];
      p.x = floats(x, "a parameter");
      p.count = x.numel();
      STD_TORCH_CHECK(exp_avg[i].numel() == p.count && exp_avg_sq[i].numel() == p.count,
                      "the moments of parameter ", i, " have another size");
      p.m = floats(exp_avg[i], "exp_avg");
      p.v = floats(exp_avg_sq[i], "exp_avg_sq");
      p.g = set.grads.data + offsets[i];
      p.half = half == nullptr ? nullptr : half + offsets[i];
      if (x.dim() == 4) {
        p.planes = static_cast<int>(x.size(0)), p.height = static_cast<int>(x.size(1));
        p.width = static_cast<int>(x.size(2)), p.channels = static_cast<int>(x.size(3));
      }
      p.tv = tv[i];
      p.active = active[i];
    }
    const Tensor variations = new_floats(rates, {set.count}), norm = new_floats(rates, {});
    device.adam(set, out(variations), out(norm));
    return {variations, norm};
  }
};

// Registers them for a device.
template <class Device, class Library>
void implement(Library& m) {
  using Of = Operations<Device>;
  m.impl("render_rays", TORCH_BOX(&Of::render_rays));
  m.impl("query_points", TORCH_BOX(&Of::query_points));
  m.impl("train_rays", TORCH_BOX(&Of::train_rays));
  m.impl("distill_rays", TORCH_BOX(&Of::distill_rays));
  m.impl("adam_tv", TORCH_BOX(&Of::adam_tv));
}

}  // namespace dac

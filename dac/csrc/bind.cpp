// The schemas of all operations. Each file with kernels registers its own for its device; Python
// adds what torch.compile and autograd need (dac/ops/native.py).
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(dac, m) {
  m.def("vector_lanes() -> int");

  // Operations on samples, planes and histograms; meaning: dac/ops/reference.py.
  m.def("triplane(Tensor[] planes, Tensor points) -> Tensor");
  m.def("triplane_backward(Tensor grad, Tensor[] planes, Tensor points) -> Tensor[]");
  m.def("plane_tv(Tensor planes) -> Tensor");
  m.def("plane_tv_backward(Tensor grad, Tensor planes) -> Tensor");
  m.def("network(Tensor x, Tensor[] weights, Tensor? shift) -> Tensor");
  m.def(
      "network_backward(Tensor grad, Tensor x, Tensor[] weights, Tensor? shift, bool to_x) "
      "-> Tensor[]");
  m.def("density(Tensor[] planes, Tensor[] weights, Tensor points) -> Tensor");
  m.def(
      "density_backward(Tensor grad, Tensor[] planes, Tensor[] weights, Tensor points) "
      "-> Tensor[]");
  m.def("volume_weights(Tensor sigma, Tensor delta) -> (Tensor, Tensor)");
  m.def(
      "volume_weights_backward(Tensor to_alpha, Tensor to_weights, Tensor sigma, Tensor delta, "
      "bool delta_too) -> (Tensor, Tensor)");
  m.def("composite(Tensor weights, Tensor values) -> Tensor");
  m.def("composite_backward(Tensor grad, Tensor weights, Tensor values) -> (Tensor, Tensor)");
  m.def("resample(Tensor edges, Tensor weights, Tensor u, float padding) -> Tensor");
  m.def("distortion_loss(Tensor s, Tensor weights) -> Tensor");
  m.def("distortion_loss_backward(Tensor grad, Tensor s, Tensor weights) -> Tensor");
  m.def(
      "histogram_loss(Tensor s_fine, Tensor w_fine, Tensor s_coarse, Tensor w_coarse, float eps) "
      "-> Tensor");
  m.def(
      "histogram_loss_backward(Tensor grad, Tensor s_fine, Tensor w_fine, Tensor s_coarse, "
      "Tensor w_coarse, float eps) -> Tensor");
  m.def("outer_bound(Tensor s, Tensor s_coarse, Tensor weights_coarse) -> Tensor");
  m.def("outer_bound_backward(Tensor grad, Tensor s, Tensor s_coarse) -> Tensor");

  // Losses of distillation at given samples; meaning: dac/ops/distillation.py.
  m.def("alpha_loss(Tensor student, Tensor expert) -> Tensor");
  m.def("alpha_loss_backward(Tensor grad, Tensor student, Tensor expert) -> Tensor");
  m.def("colour_loss(Tensor student, Tensor expert, Tensor? weights) -> Tensor");
  m.def(
      "colour_loss_backward(Tensor grad, Tensor student, Tensor expert, Tensor? weights) "
      "-> Tensor");

  // Whole rays of the hybrid model; meaning: dac/ops/rays.py.
  m.def(
      "render_rays(Tensor[] parameters, int[] shape, float[] space, Tensor rays, Tensor? key, "
      "Tensor anneal, bool samples, int before=0) -> Tensor[]");
  m.def(
      "train_rays(Tensor[] parameters, Tensor(a!) grads, int[] shape, float[] space, Tensor rays, "
      "Tensor target, Tensor background, Tensor key, Tensor anneal, bool learn, float[] weights, "
      "int before=0) -> Tensor");
  m.def(
      "distill_rays(Tensor[] parameters, Tensor(a!) grads, int[] shape, float[] space, Tensor rays, "
      "Tensor[] lesson, Tensor background, Tensor key, Tensor anneal, bool paper, float[] weights, "
      "int before=0) -> Tensor");
  m.def(
      "adam_tv(Tensor(a!)[] parameters, Tensor(b!)[] exp_avg, Tensor(c!)[] exp_avg_sq, "
      "Tensor(d!) grads, float[] tv, bool[] active, Tensor rates, float[] betas_eps) "
      "-> (Tensor, Tensor)");
}

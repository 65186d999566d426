// The schemas of all operations. Each file with kernels registers its own for its device; Python
// adds what torch.compile and autograd need (dac/ops/native.py).
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(dac, m) {
  m.def("vector_lanes() -> int");

  // Operations on samples, planes and histograms; meaning: dac/ops/reference.py.
  m.def("volume_weights(Tensor sigma, Tensor delta) -> (Tensor, Tensor)");
  m.def(
      "volume_weights_backward(Tensor to_alpha, Tensor to_weights, Tensor sigma, Tensor delta, "
      "bool delta_too) -> (Tensor, Tensor)");

  // Whole rays of the hybrid model; meaning: dac/ops/rays.py.
  m.def(
      "render_rays(Tensor[] parameters, int[] shape, float[] space, Tensor rays, Tensor? key, "
      "Tensor anneal, bool samples) -> Tensor[]");
  m.def(
      "train_rays(Tensor[] parameters, Tensor(a!) grads, int[] shape, float[] space, Tensor rays, "
      "Tensor target, Tensor background, Tensor key, Tensor anneal, bool learn, float[] weights) "
      "-> Tensor");
  m.def(
      "distill_rays(Tensor[] parameters, Tensor(a!) grads, int[] shape, float[] space, Tensor rays, "
      "Tensor[] lesson, Tensor background, Tensor key, Tensor anneal, bool paper, float[] weights) "
      "-> Tensor");
  m.def(
      "adam_tv(Tensor(a!)[] parameters, Tensor(b!)[] exp_avg, Tensor(c!)[] exp_avg_sq, "
      "Tensor(d!) grads, float[] tv, bool[] active, Tensor rates, float[] betas_eps) -> Tensor");
}

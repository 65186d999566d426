// The schemas of all operations, which common/operations.h implements; meaning: dac/ops/rays.py.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(dac, m) {
  m.def("vector_lanes() -> int");

  m.def(
      "render_rays(Tensor[] parameters, int[] shape, float[] space, Tensor rays, Tensor? key, "
      "Tensor anneal, bool samples, int before=0) -> Tensor[]");
  m.def(
      "query_points(Tensor[] parameters, int[] shape, float[] space, Tensor points, "
      "Tensor? directions) -> Tensor[]");
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

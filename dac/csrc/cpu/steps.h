// The operations on whole rays on a CPU; meaning: dac/ops/rays.py.
#pragma once

#include <torch/csrc/stable/ops.h>

#include "calls.h"

namespace dac::cpu {

void render_rays(const Parameters& model, const RaySet& rays, const Rendered& out);
void query_points(const Parameters& model, const Query& query);
void learn_rays(const Parameters& model, const RaySet& rays, const LearnCall& call);
// variations (count,) of the active planes; norm (1,) of all active parameters' slopes.
void adam_tv(const AdamSet& set, float* variations, float* norm);

// Calls work(thread, first, end) for each thread's share of `count` things: fixed ones, so that for a
// given number of threads sums are the same bit for bit.
template <class Work>
void share(int64_t count, int64_t threads, const Work& work) {
  torch::stable::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread)
      work(thread, count * thread / threads, count * (thread + 1) / threads);
  });
}

}  // namespace dac::cpu

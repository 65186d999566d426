// Reduction of the threads' gradients, total variation of planes, and Adam, in one pass over memory.
//
// The work is a list of rows: a row of a plane is (W x C) floats; a weight is one row. Threads take
// contiguous rows. A row's total variation needs its neighbours' old values, which the pass overwrites:
// a thread keeps the row before, and rows at the threads' borders are copied beforehand.
#include <cstring>

#include "tensors.h"
#include "vec.h"

namespace dac {
namespace {

struct Parameter {
  float *x, *m, *v;
  int64_t offset;  // in a copy of the gradients
  int64_t planes = 0, height = 0, width = 0, channels = 0;  // planes = 0: a weight
  int64_t floats = 0;
  bool active = false;
  float rate = 0, scale = 0;
  double tv = 0;

  int64_t rows() const { return planes == 0 ? 1 : planes * height; }
  int64_t row_floats() const { return planes == 0 ? floats : width * channels; }
};

struct Moments {
  float beta1, beta2, eps;
};

struct Gradients {
  float* data;
  int64_t copies, length;
};

// The old values around a row; null beyond a plane's border.
struct Around {
  const float *before, *here, *after;
};

// Sum of squared differences to the row after and the entry after; adds the slope to `to` (or not).
double variation(const Parameter& p, const Around& row, float to_height, float to_width, float* to) {
  const int64_t n = p.row_floats(), C = p.channels;
  double down = 0, right = 0;
  constexpr int64_t kPart = 1024;  // short sums in float, long ones in double
  for (int64_t start = 0; start < n; start += kPart) {
    const int64_t end = start + kPart < n ? start + kPart : n;
    float part = 0;
    if (row.after != nullptr) {
#pragma GCC ivdep
      for (int64_t i = start; i < end; ++i) {
        float step = row.after[i] - row.here[i];
        part += step * step;
        to[i] -= to_height * step;
      }
      down += part;
    }
    if (row.before != nullptr)
#pragma GCC ivdep
      for (int64_t i = start; i < end; ++i) to[i] += to_height * (row.here[i] - row.before[i]);
  }
  for (int64_t start = 0; start + C < n; start += kPart) {
    const int64_t end = start + kPart < n - C ? start + kPart : n - C;
    float part = 0;
    for (int64_t i = start; i < end; ++i) {
      float step = row.here[i + C] - row.here[i];
      part += step * step;
    }
    right += part;
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < n - C; ++i) to[i] -= to_width * (row.here[i + C] - row.here[i]);
#pragma GCC ivdep
  for (int64_t i = C; i < n; ++i) to[i] += to_width * (row.here[i] - row.here[i - C]);
  const double W = static_cast<double>(p.width), H = static_cast<double>(p.height);
  const double channels = static_cast<double>(C);
  return down / ((H - 1) * W * channels) + right / (H * (W - 1) * channels);
}

// The copies' sum into `sum`, and zeros into the copies.
void take_gradients(const Gradients& grads, int64_t start, int64_t n, float* sum) {
  for (int64_t copy = 0; copy < grads.copies; ++copy) {
    float* from = grads.data + copy * grads.length + start;
    if (copy == 0) {
      std::memcpy(sum, from, n * sizeof(float));
    } else {
#pragma GCC ivdep
      for (int64_t i = 0; i < n; ++i) sum[i] += from[i];
    }
    std::memset(from, 0, n * sizeof(float));
  }
}

void adam_row(const Parameter& p, const Moments& k, int64_t start, const float* g) {
  float *x = p.x + start, *m = p.m + start, *v = p.v + start;
  const float rate = p.rate, scale = p.scale;
#pragma GCC ivdep
  for (int64_t i = 0; i < p.row_floats(); ++i)
    adam(x + i, m + i, v + i, g[i], k.beta1, k.beta2, k.eps, rate, scale);
}

// A thread's first and last rows' old neighbours, which other threads will overwrite.
struct Border {
  std::vector<float> before, after;
};

class Rows {
 public:
  Rows(std::vector<Parameter> parameters, int64_t threads) : parameters_(std::move(parameters)) {
    int64_t floats = 0;
    for (const Parameter& p : parameters_) {
      first_row_.push_back(rows_);
      rows_ += p.rows();
      floats += p.floats;
    }
    // Shares of equal floats, cut at whole rows.
    cuts_.assign(threads + 1, rows_);
    cuts_[0] = 0;
    int64_t seen = 0, row = 0, cut = 1;
    for (const Parameter& p : parameters_)
      for (int64_t i = 0; i < p.rows(); ++i, ++row) {
        while (cut < threads && seen >= floats * cut / threads) cuts_[cut++] = row;
        seen += p.row_floats();
      }
    borders_.resize(threads);
    for (int64_t thread = 0; thread < threads; ++thread) {
      if (cuts_[thread] == cuts_[thread + 1]) continue;
      copy_neighbour(cuts_[thread], -1, &borders_[thread].before);
      copy_neighbour(cuts_[thread + 1] - 1, 1, &borders_[thread].after);
    }
  }

  void update(int64_t thread, const Gradients& grads, const Moments& moments, double* tv) {
    std::vector<float> kept[2], sum;
    const float* before = nullptr;
    int turn = 0;
    for (int64_t row = cuts_[thread]; row < cuts_[thread + 1]; ++row) {
      const size_t index = parameter_of(row);
      const Parameter& p = parameters_[index];
      const int64_t local = row - first_row_[index], n = p.row_floats(), start = local * n;
      if (!p.active) continue;
      sum.resize(n);
      take_gradients(grads, p.offset + start, n, sum.data());
      if (p.planes != 0) {
        kept[turn].assign(p.x + start, p.x + start + n);
        const bool top = local % p.height == 0, bottom = local % p.height == p.height - 1;
        const bool first = row == cuts_[thread], last = row + 1 == cuts_[thread + 1];
        Around around{top ? nullptr : first ? borders_[thread].before.data() : before,
                      kept[turn].data(),
                      bottom ? nullptr : last ? borders_[thread].after.data() : p.x + start + n};
        const double H = static_cast<double>(p.height), W = static_cast<double>(p.width),
                     C = static_cast<double>(p.channels);
        tv[index] += variation(p, around, static_cast<float>(2 * p.tv / ((H - 1) * W * C)),
                               static_cast<float>(2 * p.tv / (H * (W - 1) * C)), sum.data());
        before = kept[turn].data();
        turn = 1 - turn;
      }
      adam_row(p, moments, start, sum.data());
    }
  }

 private:
  size_t parameter_of(int64_t row) const {
    size_t index = 0;
    while (index + 1 < first_row_.size() && first_row_[index + 1] <= row) ++index;
    return index;
  }

  void copy_neighbour(int64_t row, int step, std::vector<float>* to) const {
    const size_t index = parameter_of(row);
    const Parameter& p = parameters_[index];
    if (p.planes == 0) return;
    const int64_t local = row - first_row_[index], n = p.row_floats();
    const int64_t place = local % p.height + step;
    if (place < 0 || place >= p.height) return;
    const float* from = p.x + (local + step) * n;
    to->assign(from, from + n);
  }

  std::vector<Parameter> parameters_;
  std::vector<int64_t> first_row_, cuts_;
  std::vector<Border> borders_;
  int64_t rows_ = 0;
};

std::vector<Parameter> describe(const std::vector<Tensor>& parameters,
                                const std::vector<Tensor>& exp_avg,
                                const std::vector<Tensor>& exp_avg_sq, const std::vector<double>& tv,
                                const std::vector<bool>& active, const float* rates) {
  const std::vector<int64_t> offsets = flat_offsets(parameters);
  std::vector<Parameter> result;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& tensor = parameters[i];
    Parameter p{mutable_floats(tensor, "a parameter"), mutable_floats(exp_avg[i], "exp_avg"),
                mutable_floats(exp_avg_sq[i], "exp_avg_sq"), offsets[i]};
    p.floats = tensor.numel();
    STD_TORCH_CHECK(exp_avg[i].numel() == p.floats && exp_avg_sq[i].numel() == p.floats,
                    "the moments of parameter ", i, " have another size");
    if (tensor.dim() == 4) {
      p.planes = tensor.size(0);
      p.height = tensor.size(1);
      p.width = tensor.size(2);
      p.channels = tensor.size(3);
    }
    p.active = active[i];
    p.rate = rates[2 * i];
    p.scale = rates[2 * i + 1];
    p.tv = tv[i];
    result.push_back(p);
  }
  return result;
}

Tensor adam_tv(std::vector<Tensor> parameters, std::vector<Tensor> exp_avg,
               std::vector<Tensor> exp_avg_sq, Tensor grads, std::vector<double> tv,
               std::vector<bool> active, Tensor rates, std::vector<double> betas_eps) {
  const size_t count = parameters.size();
  STD_TORCH_CHECK(exp_avg.size() == count && exp_avg_sq.size() == count && tv.size() == count &&
                      active.size() == count && betas_eps.size() == 3 &&
                      rates.numel() == static_cast<int64_t>(2 * count),
                  "adam_tv takes one of each for a parameter");
  const int64_t length = flat_offsets(parameters).back();
  STD_TORCH_CHECK(grads.dim() == 2 && grads.size(1) == length, "grads must be (copies, ", length,
                  ")");
  const Gradients all{mutable_floats(grads, "grads"), grads.size(0), length};
  const Moments moments{static_cast<float>(betas_eps[0]), static_cast<float>(betas_eps[1]),
                        static_cast<float>(betas_eps[2])};
  const int64_t threads = torch::stable::get_num_threads();
  Rows rows(describe(parameters, exp_avg, exp_avg_sq, tv, active, floats(rates, "rates")), threads);
  std::vector<double> sums(threads * count, 0.0);
  torch::stable::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread)
      rows.update(thread, all, moments, sums.data() + thread * count);
  });
  Tensor result = new_floats(rates, {static_cast<int64_t>(count)});
  float* out = static_cast<float*>(result.data_ptr());
  for (size_t i = 0; i < count; ++i) {
    double total = 0;
    for (int64_t thread = 0; thread < threads; ++thread) total += sums[thread * count + i];
    out[i] = static_cast<float>(total);
  }
  return result;
}

STABLE_TORCH_LIBRARY_IMPL(dac, CPU, m) { m.impl("adam_tv", TORCH_BOX(&adam_tv)); }

}  // namespace
}  // namespace dac

// Reduction of the threads' gradients, total variation of planes, the gradient's norm, and Adam, in
// one pass over memory.
//
// The work is a list of rows: a row of a plane is (W x C) floats; a weight is one row. Threads take
// contiguous rows. A row's total variation needs its neighbours' old values, which the pass overwrites:
// a thread keeps the row before, and rows at the threads' borders are copied beforehand.
#include <cmath>
#include <tuple>

#include "parameters.h"
#include "stages.h"
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

// A row under way. `here` is its old values; `before` and `after` are its neighbours', or `here` where
// it has none: the difference to itself is zero.
struct Row {
  float *x, *m, *v;
  const float *here, *before, *after;
  float to_height, to_width;  // slopes of total variation by a difference along H, along W
  float *gradients;           // the first copy's
  int64_t copies, copy_floats;
  float rate, scale;
  Moments k;
};

template <int N>
struct Sums {
  typename Lanes<N>::Float down = {}, right = {};  // squared differences along H, along W
  typename Lanes<N>::Float slopes = {};            // squared slopes
};

// The same of whole rows.
struct Totals {
  double down = 0, right = 0, slopes = 0;
};

template <int N>
inline typename Lanes<N>::Float root(typename Lanes<N>::Float x) {
  for (int lane = 0; lane < N; ++lane) x[lane] = sqrtf(x[lane]);
  return x;
}

// Floats [i, i + N) of a row; `left` and `right` lead to the neighbouring entries, 0 for none. Where a
// slope is not finite, or too large for its square, the value and its moments stay as they are.
template <int N>
inline void update_part(const Row& row, int64_t i, int64_t left, int64_t right, Sums<N>* sums) {
  using Part = typename Lanes<N>::Float;
  Part g = {};
  for (int64_t copy = 0; copy < row.copies; ++copy) {
    float* from = row.gradients + copy * row.copy_floats + i;
    g += load<N>(from);
    store_lanes<N>(from, Part{});
  }
  const Part here = load<N>(row.here + i);
  const Part down = load<N>(row.after + i) - here, aside = load<N>(row.here + i + right) - here;
  sums->down += down * down;
  sums->right += aside * aside;
  g += row.to_height * (here - load<N>(row.before + i) - down) +
       row.to_width * (here - load<N>(row.here + i - left) - aside);
  sums->slopes += g * g;
  const Part m_old = load<N>(row.m + i), v_old = load<N>(row.v + i);
  Part m = m_old, v = v_old;
  m += (1 - row.k.beta1) * (g - m);
  v = row.k.beta2 * v + (1 - row.k.beta2) * g * g;
  const Part x = here - row.rate * m / (root<N>(v) * row.scale + row.k.eps);
  const auto held = v <= kLargest;  // false of NaN
  store_lanes<N>(row.m + i, held ? m : m_old);
  store_lanes<N>(row.v + i, held ? v : v_old);
  store_lanes<N>(row.x + i, held ? x : here);
}

// Floats [start, end); adds the squares.
inline void update_range(const Row& row, int64_t start, int64_t end, int64_t left, int64_t right,
                         Totals* totals) {
  Sums<kLanes> sums;
  int64_t i = start;
  for (; i + kLanes <= end; i += kLanes) update_part<kLanes>(row, i, left, right, &sums);
  totals->down += sum(sums.down);
  totals->right += sum(sums.right);
  totals->slopes += sum(sums.slopes);
  Sums<1> rest;
  for (; i < end; ++i) update_part<1>(row, i, left, right, &rest);
  totals->down += rest.down[0];
  totals->right += rest.right[0];
  totals->slopes += rest.slopes[0];
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

  // Updates a thread's rows; adds the planes' total variations, by parameter, and behind them the
  // squared slopes of all.
  void update(int64_t thread, const Gradients& grads, const Moments& moments, double* sums) {
    double& slopes = sums[parameters_.size()];
    std::vector<float> kept[2];
    for (int64_t number = cuts_[thread]; number < cuts_[thread + 1]; ++number) {
      const size_t index = parameter_of(number);
      const Parameter& p = parameters_[index];
      if (!p.active) continue;
      const int64_t local = number - first_row_[index], n = p.row_floats(), start = local * n;
      std::vector<float>& here = kept[number % 2];
      here.assign(p.x + start, p.x + start + n);
      Row row{p.x + start, p.m + start, p.v + start, here.data(), here.data(), here.data(), 0, 0,
              grads.data + p.offset + start, grads.copies, grads.length, p.rate, p.scale, moments};
      Totals totals;
      if (p.planes == 0) {
        update_range(row, 0, n, 0, 0, &totals);
        slopes += totals.slopes;
        continue;
      }
      const bool first = number == cuts_[thread], last = number + 1 == cuts_[thread + 1];
      if (local % p.height != 0)
        row.before = first ? borders_[thread].before.data() : kept[1 - number % 2].data();
      if (local % p.height != p.height - 1)
        row.after = last ? borders_[thread].after.data() : p.x + start + n;
      const double H = static_cast<double>(p.height), W = static_cast<double>(p.width),
                   C = static_cast<double>(p.channels);
      row.to_height = static_cast<float>(2 * p.tv / ((H - 1) * W * C));
      row.to_width = static_cast<float>(2 * p.tv / (H * (W - 1) * C));
      const int64_t entry = p.channels;
      update_range(row, 0, entry, 0, entry, &totals);
      update_range(row, entry, n - entry, entry, entry, &totals);
      update_range(row, n - entry, n, entry, 0, &totals);
      sums[index] += totals.down / ((H - 1) * W * C) + totals.right / (H * (W - 1) * C);
      slopes += totals.slopes;
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

std::tuple<Tensor, Tensor> adam_tv(std::vector<Tensor> parameters, std::vector<Tensor> exp_avg,
                                   std::vector<Tensor> exp_avg_sq, Tensor grads,
                                   std::vector<double> tv, std::vector<bool> active, Tensor rates,
                                   std::vector<double> betas_eps) {
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
  std::vector<double> sums(threads * (count + 1), 0.0);
  torch::stable::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread)
      rows.update(thread, all, moments, sums.data() + thread * (count + 1));
  });
  for (size_t i = 0; i <= count; ++i)
    for (int64_t thread = 1; thread < threads; ++thread)
      sums[i] += sums[thread * (count + 1) + i];
  Tensor variations = new_floats(rates, {static_cast<int64_t>(count)});
  std::copy_n(sums.data(), count, static_cast<float*>(variations.data_ptr()));
  return {variations, scalar(rates, std::sqrt(sums[count]))};
}

STABLE_TORCH_LIBRARY_IMPL(dac, CPU, m) { m.impl("adam_tv", TORCH_BOX(&adam_tv)); }

}  // namespace
}  // namespace dac

// Reduction of the threads' gradients, total variation of planes, the gradient's norm, and Adam, in
// one pass over memory.
//
// The work is a list of rows: a row of a plane is (W x C) floats; a weight is one row. Threads take
// contiguous rows. A row's total variation needs its neighbours' old values, which the pass overwrites:
// a thread keeps the row before, and rows at the threads' borders are copied beforehand.
#include <algorithm>
#include <cmath>

#include "steps.h"
#include "vec.h"

namespace dac::cpu {
namespace {

int64_t rows_of(const AdamParameter& p) { return p.planes == 0 ? 1 : int64_t{p.planes} * p.height; }

int64_t row_floats(const AdamParameter& p) {
  return p.planes == 0 ? p.count : int64_t{p.width} * p.channels;
}

// A row under way. `here` is its old values; `before` and `after` are its neighbours', or `here` where
// it has none: the difference to itself is zero.
struct Row {
  float *x, *m, *v;
  const float *here, *before, *after;
  float to_height, to_width;  // slopes of total variation by a difference along H, along W
  float* gradients;           // the first copy's
  int64_t copies, copy_floats;
  AdamStep k;
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
  const Part x = here - row.k.rate * m / (root<N>(v) * row.k.scale + row.k.eps);
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
  Rows(const AdamSet& set, int64_t threads) : set_(set) {
    int64_t floats = 0;
    for (int index = 0; index < set.count; ++index) {
      first_row_.push_back(rows_);
      rows_ += rows_of(set.of[index]);
      floats += set.of[index].count;
    }
    // Shares of equal floats, cut at whole rows.
    cuts_.assign(threads + 1, rows_);
    cuts_[0] = 0;
    int64_t seen = 0, row = 0, cut = 1;
    for (int index = 0; index < set.count; ++index)
      for (int64_t i = 0; i < rows_of(set.of[index]); ++i, ++row) {
        while (cut < threads && seen >= floats * cut / threads) cuts_[cut++] = row;
        seen += row_floats(set.of[index]);
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
  void update(int64_t thread, double* sums) {
    double& slopes = sums[set_.count];
    std::vector<float> kept[2];
    for (int64_t number = cuts_[thread]; number < cuts_[thread + 1]; ++number) {
      const int index = parameter_of(number);
      const AdamParameter& p = set_.of[index];
      if (!p.active) continue;
      const int64_t local = number - first_row_[index], n = row_floats(p), start = local * n;
      std::vector<float>& here = kept[number % 2];
      here.assign(p.x + start, p.x + start + n);
      Row row{p.x + start, p.m + start, p.v + start, here.data(), here.data(), here.data(), 0, 0,
              p.g + start, set_.grads.copies, set_.grads.length, step_of(index)};
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
      const double H = p.height, W = p.width, C = p.channels;
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
  AdamStep step_of(int index) const {
    const float* rates = set_.rates + 2 * index;
    return {set_.beta1, set_.beta2, set_.eps, rates[0], rates[1]};
  }

  int parameter_of(int64_t row) const {
    int index = 0;
    while (index + 1 < set_.count && first_row_[index + 1] <= row) ++index;
    return index;
  }

  void copy_neighbour(int64_t row, int step, std::vector<float>* to) const {
    const int index = parameter_of(row);
    const AdamParameter& p = set_.of[index];
    if (p.planes == 0) return;
    const int64_t local = row - first_row_[index], n = row_floats(p);
    const int64_t neighbour = local % p.height + step;
    if (neighbour < 0 || neighbour >= p.height) return;
    const float* from = p.x + (local + step) * n;
    to->assign(from, from + n);
  }

  const AdamSet& set_;
  std::vector<int64_t> first_row_, cuts_;
  std::vector<Border> borders_;
  int64_t rows_ = 0;
};

}  // namespace

void adam_tv(const AdamSet& set, float* variations, float* norm) {
  const int64_t threads = torch::stable::get_num_threads(), width = set.count + 1;
  Rows rows(set, threads);
  std::vector<double> sums(threads * width, 0.0);
  share(threads, threads, [&](int64_t thread, int64_t, int64_t) {
    rows.update(thread, sums.data() + thread * width);
  });
  for (int64_t i = 0; i < width; ++i)
    for (int64_t thread = 1; thread < threads; ++thread) sums[i] += sums[thread * width + i];
  std::copy_n(sums.data(), set.count, variations);
  *norm = static_cast<float>(std::sqrt(sums[set.count]));
}

}  // namespace dac::cpu

// The composable tri-plane lookup in chunks of points, for the operations that contain it.
//
// Notation: n points of a chunk, H x W entries a plane, C channels, F = scales x C features.
#pragma once

#include <memory>
#include <vector>

#include "gather.h"
#include "tensor.h"

namespace dac {

constexpr int kChunk = 256;  // points; all that they need stays in a core's cache
constexpr int kGroups = 16;  // of chunks, a unit of parallel work; see scatter_chunks

struct Scale {
  const float* planes;  // 3 x H x W x C
  int height, width, channels;
};

// Shapes of contiguous planes, checked.
std::vector<Scale> read_scales(const std::vector<Tensor>& planes);
int count_features(const std::vector<Scale>& scales);
// Each tensor contiguous, kept alive by the result.
std::vector<Tensor> dense(const std::vector<Tensor>& tensors);

// One chunk's points, and where they lie in the planes.
class Chunk {
 public:
  explicit Chunk(const std::vector<Scale>& scales);

  void read(const float* points, int n);  // (n, 3)
  // Features of all scales, `row` floats from point to point. What the transpose needs of the planes'
  // values is left in `values` (3 kChunk F floats) unless null.
  void gather(float* values, float* features, int64_t row);
  // Adds the chunk's share of d/d(planes), one plane of one scale, to `to_plane` (H x W x C).
  void scatter(int scale, int plane, const float* values, const float* to_features, int64_t row,
               float* to_plane);
  int size() const { return n_; }

 private:
  Cells find(int scale);

  const std::vector<Scale>& scales_;
  std::vector<int> first_feature_;
  int n_ = 0, found_ = -1;
  std::vector<float> places_, along_;
  std::vector<int32_t> cell_;
};

// Adds a gradient to planes (one tensor's memory a scale) in an order that no number of threads
// changes: a plane's points are always added by one thread, chunk after chunk. Points come in
// `groups` of chunks, each served by one thread; `prepare(group, chunk, begin, values, slopes)`
// gathers a chunk, whose first point is `begin`, and says its features' slopes (n x F).
template <class Prepare>
void scatter_chunks(const std::vector<Scale>& scales, int64_t N, const float* points, int groups,
                    const Prepare& prepare, const std::vector<float*>& to_planes) {
  const int F = count_features(scales), jobs = 3 * static_cast<int>(scales.size());
  const int64_t chunks = (N + kChunk - 1) / kChunk;
  const int64_t value_floats = int64_t{3} * kChunk * F, slope_floats = int64_t{kChunk} * F;
  auto read = [&](Chunk& chunk, int64_t at) {
    int64_t begin = at * kChunk;
    chunk.read(points + 3 * begin, static_cast<int>(std::min<int64_t>(kChunk, N - begin)));
  };
  auto scatter = [&](Chunk& chunk, int64_t job, const float* values, const float* slopes) {
    const Scale& scale = scales[job / 3];
    int64_t floats = int64_t{scale.height} * scale.width * scale.channels;
    chunk.scatter(static_cast<int>(job / 3), static_cast<int>(job % 3), values, slopes, F,
                  to_planes[job / 3] + job % 3 * floats);
  };
  // With one thread a chunk is scattered while it is in the cache; else all are kept.
  const bool alone = torch::stable::get_num_threads() == 1;
  auto values = std::make_unique_for_overwrite<float[]>((alone ? 1 : chunks) * value_floats);
  auto slopes = std::make_unique_for_overwrite<float[]>((alone ? 1 : chunks) * slope_floats);
  parallel(groups, 1, [&](int64_t first, int64_t last) {
    Chunk chunk(scales);
    for (int64_t group = first; group < last; ++group)
      for (int64_t at = group * chunks / groups; at < (group + 1) * chunks / groups; ++at) {
        float* v = values.get() + (alone ? 0 : at * value_floats);
        float* s = slopes.get() + (alone ? 0 : at * slope_floats);
        read(chunk, at);
        prepare(static_cast<int>(group), chunk, at * kChunk, v, s);
        for (int job = 0; alone && job < jobs; ++job) scatter(chunk, job, v, s);
      }
  });
  if (alone) return;
  parallel(jobs, 1, [&](int64_t first, int64_t last) {
    Chunk chunk(scales);
    for (int64_t at = 0; at < chunks; ++at) {
      read(chunk, at);
      for (int64_t job = first; job < last; ++job)
        scatter(chunk, job, values.get() + at * value_floats, slopes.get() + at * slope_floats);
    }
  });
}

}  // namespace dac

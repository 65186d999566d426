// The composable tri-plane lookup in chunks of points, for the operations that contain it.
//
// Notation: n points of a chunk, H x W entries a plane, C channels, F = scales x C features.
#pragma once

#include <memory>
#include <vector>

#include "corners.h"
#include "tensor.h"

namespace dac {

constexpr int kChunk = 256;  // points; all that they need stays in a core's cache
constexpr int kGroups = 16;  // of chunks, a unit of parallel work; see scatter_chunks

struct Scale {
  const float* planes;  // 3 x H x W x C
  Grid grid;
};

// Shapes of contiguous planes, checked.
std::vector<Scale> read_scales(const std::vector<Tensor>& planes);
int count_features(const std::vector<Scale>& scales);
// Contiguous (N, 3), checked.
Tensor read_points(const Tensor& points);
// Each tensor contiguous, kept alive by the result.
std::vector<Tensor> dense(const std::vector<Tensor>& tensors);

// One chunk's points, and where they lie in the planes.
class Chunk {
 public:
  explicit Chunk(const std::vector<Scale>& scales);

  void read(const float* points, int n);  // (n, 3)
  // Features of all scales, `row` floats from point to point. What the transpose needs of the
  // planes' values is left in `values` (3 kChunk F floats) unless null.
  void gather(float* values, float* features, int64_t row);
  // Adds the chunk's share of d/d(planes) of one scale to `to_planes` (3 x H x W x C): of all three
  // planes, or of one.
  void scatter(int scale, const float* values, const float* to_features, int64_t row,
               float* to_planes);
  void scatter(int scale, int plane, const float* values, const float* to_features, int64_t row,
               float* to_planes);
  int size() const { return n_; }

 private:
  Corners find(int scale);

  const std::vector<Scale>& scales_;
  std::vector<int> first_feature_;
  int n_ = 0, found_ = -1;
  std::vector<float> places_, weight_;
  std::vector<int32_t> first_;
};

// Adds a gradient to planes (one tensor's memory a scale) in an order that no number of threads
// changes: a plane's points are always added by one thread, chunk after chunk. Points come in
// `groups` of chunks, each served by one thread; `prepare(group, chunk, begin, values, scratch)`
// gathers a chunk, whose first point is `begin`, and returns where its features' slopes (n x F)
// lie: in the scratch (kChunk F floats) or in memory of its own.
template <class Prepare>
void scatter_chunks(const std::vector<Scale>& scales, int64_t N, const float* points, int groups,
                    const Prepare& prepare, const std::vector<float*>& to_planes) {
  const int F = count_features(scales), count = static_cast<int>(scales.size());
  const int64_t chunks = (N + kChunk - 1) / kChunk;
  const int64_t value_floats = int64_t{kPlanes} * kChunk * F, slope_floats = int64_t{kChunk} * F;
  auto read = [&](Chunk& chunk, int64_t at) {
    int64_t begin = at * kChunk;
    chunk.read(points + 3 * begin, static_cast<int>(std::min<int64_t>(kChunk, N - begin)));
  };
  // With one thread a chunk is scattered while it is in the cache; else all are kept.
  const bool alone = torch::stable::get_num_threads() == 1;
  auto values = std::make_unique_for_overwrite<float[]>((alone ? 1 : chunks) * value_floats);
  auto scratch = std::make_unique_for_overwrite<float[]>((alone ? 1 : chunks) * slope_floats);
  std::vector<const float*> slopes(chunks);
  parallel(groups, 1, [&](int64_t first, int64_t last) {
    Chunk chunk(scales);
    for (int64_t group = first; group < last; ++group)
      for (int64_t at = group * chunks / groups; at < (group + 1) * chunks / groups; ++at) {
        float* v = values.get() + (alone ? 0 : at * value_floats);
        read(chunk, at);
        slopes[at] = prepare(static_cast<int>(group), chunk, at * kChunk, v,
                             scratch.get() + (alone ? 0 : at * slope_floats));
        for (int scale = 0; alone && scale < count; ++scale)
          chunk.scatter(scale, v, slopes[at], F, to_planes[scale]);
      }
  });
  if (alone) return;
  parallel(kPlanes * count, 1, [&](int64_t first, int64_t last) {
    Chunk chunk(scales);
    for (int64_t at = 0; at < chunks; ++at) {
      read(chunk, at);
      for (int64_t job = first; job < last; ++job)
        chunk.scatter(static_cast<int>(job) / kPlanes, static_cast<int>(job) % kPlanes,
                      values.get() + at * value_floats, slopes[at], F, to_planes[job / kPlanes]);
    }
  });
}

}  // namespace dac

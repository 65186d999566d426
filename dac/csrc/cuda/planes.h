// Lookups in three axis-aligned planes (xy, xz, yz), a few channels at a time.
//
// Notation: N entries a side, C channels, last in memory; T is float or uint16_t (a half's bits); a
// chunk is kWide neighbouring channels, 16 bytes of T or fewer, loaded at once.
#pragma once

#include "device.h"
#include "kernels.h"
#include "stages.h"

namespace dac::cuda {

// Where a point lies along the three axes, in cells of N - 1 a side.
struct Place {
  int cell[3];
  float along[3];
};

DEVICE Place place_of(const float* x, int size) {
  Place p;
  for (int axis = 0; axis < 3; ++axis) p.cell[axis] = plane_cell(x[axis], size, &p.along[axis]);
  return p;
}

// The axes of a plane: the first runs along its rows' entries, the second from row to row.
DEVICE constexpr int first_axis(int plane) { return plane == 2 ? 1 : 0; }
DEVICE constexpr int second_axis(int plane) { return plane == 0 ? 1 : 2; }

// The first of a cell's four entries, in all three planes' entries.
DEVICE int first_entry(const Place& p, int plane, int size) {
  return (plane * size + p.cell[second_axis(plane)]) * size + p.cell[first_axis(plane)];
}

// Bilinear weights of a cell's entries: here, next along the row, the row after, the next there.
DEVICE void corner_weights(const Place& p, int plane, float* w) {
  float a = p.along[first_axis(plane)], b = p.along[second_axis(plane)];
  w[3] = a * b;
  w[1] = a - w[3];
  w[2] = b - w[3];
  w[0] = 1 - a - w[2];
}

DEVICE int64_t corner_entry(int first, int corner, int size) {
  return first + (corner & 1) + (corner >> 1) * size;
}

template <int kWide>
DEVICE void load_channels(const uint16_t* from, float* to) {
  static_assert(kWide == 8 || kWide == 4, "16 or 8 bytes at once");
  uint32_t bits[kWide / 2];
  if constexpr (kWide == 8) {
    uint4 all = __ldg(reinterpret_cast<const uint4*>(from));
    bits[0] = all.x, bits[1] = all.y, bits[2] = all.z, bits[3] = all.w;
  } else {
    uint2 all = __ldg(reinterpret_cast<const uint2*>(from));
    bits[0] = all.x, bits[1] = all.y;
  }
#pragma unroll
  for (int i = 0; i < kWide / 2; ++i) {
    float2 two = unpack_half(bits[i]);
    to[2 * i] = two.x;
    to[2 * i + 1] = two.y;
  }
}

template <int kWide>
DEVICE void load_channels(const float* from, float* to) {
  static_assert(kWide == 4 || kWide == 1, "16 bytes at once, or one value");
  if constexpr (kWide == 4) {
    float4 all = __ldg(reinterpret_cast<const float4*>(from));
    to[0] = all.x, to[1] = all.y, to[2] = all.z, to[3] = all.w;
  } else {
    to[0] = __ldg(from);
  }
}

// The chunk that starts at `channel`, interpolated in one plane.
template <int kWide, class T>
DEVICE void interpolate(const T* planes, int size, int channels, int channel, const Place& place,
                        int plane, float* value) {
  float w[4], corner[4][kWide];
  corner_weights(place, plane, w);
  int first = first_entry(place, plane, size);
#pragma unroll
  for (int c = 0; c < 4; ++c)
    load_channels<kWide>(planes + corner_entry(first, c, size) * channels + channel, corner[c]);
#pragma unroll
  for (int i = 0; i < kWide; ++i)
    value[i] =
        w[0] * corner[0][i] + w[1] * corner[1][i] + w[2] * corner[2][i] + w[3] * corner[3][i];
}

// The product over the planes.
template <int kWide, class T>
DEVICE void look_up(const T* planes, int size, int channels, int channel, const float* point,
                    float* value) {
  Place place = place_of(point, size);
  float other[2][kWide];
  interpolate<kWide>(planes, size, channels, channel, place, 0, value);
  interpolate<kWide>(planes, size, channels, channel, place, 1, other[0]);
  interpolate<kWide>(planes, size, channels, channel, place, 2, other[1]);
#pragma unroll
  for (int i = 0; i < kWide; ++i) value[i] *= other[0][i] * other[1][i];
}

}  // namespace dac::cuda

// Encoders in kernels: lookups in three axis-aligned planes (xy, xz, yz), a few channels at a time.
//
// A kernel takes an encoder's type as a template's parameter, and asks an encoder for
//
//   features()                   how many there are
//   encode(point, piece, value)  features [8 piece, 8 piece + 8) of a point in the cube
//
// Notation: N entries a side, C channels, last in memory; T is float or uint16_t (a half's bits); a
// chunk is kWide neighbouring channels, 16 bytes of T or fewer, loaded at once.
#pragma once

#include "device.h"
#include "kernels.h"
#include "stages.h"

namespace dac::cuda {

// Where a point lies along the three axes, in cells of N - 1 a side.
struct Cell {
  int first[3];
  float along[3];
};

DEVICE Cell cell_of(const float* x, int size) {
  Cell c;
  for (int axis = 0; axis < 3; ++axis) c.first[axis] = plane_cell(x[axis], size, &c.along[axis]);
  return c;
}

// The first of a cell's four entries, in all three planes' entries.
DEVICE int first_entry(const Cell& c, int plane, int size) {
  return (plane * size + c.first[row_axis(plane)]) * size + c.first[column_axis(plane)];
}

// Bilinear weights of a cell's entries: here, next along the row, the row after, the next there.
DEVICE void corner_weights(const Cell& c, int plane, float* w) {
  float a = c.along[column_axis(plane)], b = c.along[row_axis(plane)];
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
DEVICE void interpolate(const T* planes, int size, int channels, int channel, const Cell& cell,
                        int plane, float* value) {
  float w[4], corner[4][kWide];
  corner_weights(cell, plane, w);
  int first = first_entry(cell, plane, size);
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
  Cell cell = cell_of(point, size);
  float other[2][kWide];
  interpolate<kWide>(planes, size, channels, channel, cell, 0, value);
  interpolate<kWide>(planes, size, channels, channel, cell, 1, other[0]);
  interpolate<kWide>(planes, size, channels, channel, cell, 2, other[1]);
#pragma unroll
  for (int i = 0; i < kWide; ++i) value[i] *= other[0][i] * other[1][i];
}

// Halves at several scales, channels a multiple of 8.
struct HalfScales : TriPlanes {
  explicit HalfScales(const TriPlanes& planes) : TriPlanes(planes) {}

  DEVICE void encode(const float* point, int piece, float* value) const {
    const int chunks = channels / 8, scale = piece / chunks;
    look_up<8>(static_cast<const uint16_t*>(planes[scale]), sizes[scale], channels,
               piece % chunks * 8, point, value);
  }
};

// Halves at one scale, as many channels as the compiler is told.
template <int kChannels>
struct HalfScale {
  const uint16_t* planes;
  int size;

  explicit HalfScale(const TriPlanes& of)
      : planes(static_cast<const uint16_t*>(of.planes[0])), size(of.sizes[0]) {}

  static constexpr int features() { return kChannels; }
  DEVICE void encode(const float* point, int piece, float* value) const {
    look_up<8>(planes, size, kChannels, piece * 8, point, value);
  }
};

}  // namespace dac::cuda

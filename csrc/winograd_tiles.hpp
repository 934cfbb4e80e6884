// The tiles of images that Winograd's convolution is computed in (winograd.cpp): where they lie, how
// they become planes and planes become outputs, a row of tiles at a time, and which of them lose too
// many digits.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "windows.hpp"
#include "winograd_transform.hpp"

namespace minimeta::winograd {

// The tiles along an axis: how many there are, the first pixel under them, and how many outputs
// there are.
struct Tiling {
  Index tiles, first, outputs;

  Index pixel(Index t) const { return first + kOutputs * t; }
  Index outputs_of(Index t) const { return std::min(kOutputs, outputs - kOutputs * t); }
  bool even() const { return outputs % kOutputs == 0; }
};

inline Tiling tiling(Index outputs, Index first) { return {(outputs + kOutputs - 1) / kOutputs, first, outputs}; }

using Marks = std::vector<char>;  // of outputs or of tiles, row by row; empty if there is none

// The largest magnitude among the channels of a pixel, as its bits: they are in the order of the
// magnitudes, and an infinity and a NaN come last.
template <class T> using Size = simd::Unsigned<sizeof(T)>;

template <class T> Size<T> size_of(const char* pixel, Index channels, Index stride) {
  constexpr Size<T> magnitude = static_cast<Size<T>>(~Size<T>(0)) >> 1;
  Size<T> size = 0;
  for (Index c = 0; c < channels; ++c)
    size = std::max(size, simd::bits<Size<T>>(*reinterpret_cast<const T*>(pixel + c * stride)) & magnitude);
  return size;
}

// x[i] = the larger, or the smaller, of x[i] and x[i + step]: of n, from the first on.
template <bool larger, class S> void choose(S* x, Index step, Index n) {
  using V = simd::Vec<S>;
  const auto go = [&](auto vector, Index i) {
    using W = decltype(vector);
    const W here = simd::load<W>(x + i), there = simd::load<W>(x + i + step);
    simd::store(x + i, (larger ? here > there : here < there) ? here : there);
  };
  Index i = 0;
  for (; i + simd::kLanes<S> <= n; i += simd::kLanes<S>) go(V{}, i);
  for (; i < n; ++i) go(S{}, i);
}

// Squares of pixels along an axis, `step` apart: those under outputs, or under tiles.
struct Squares {
  Index first, n, step, side;

  Index pixels() const { return step * (n - 1) + side; }
};

inline Squares windows_of(const Tiling& t) { return {t.first, t.outputs, 1, kTaps}; }
inline Squares tiles_of(const Tiling& t, Index side) { return {t.first, t.tiles, kOutputs, side}; }

// Which squares of an image mix sizes: one pixel is far larger than another that is not zero. Says
// nothing if none does, as in most images.
template <class T> Marks mixing(const View& x, Index image, const Squares& down, const Squares& right) {
  constexpr Size<T> far = Size<T>(8) << (std::numeric_limits<T>::digits - 1);  // 2^8, on top of an exponent
  // The least is less by 1, so that 0 is large.
  const auto are_far = [](Size<T> largest, Size<T> least) { return largest > 0 && largest - least - 1 > far; };
  const Index rows = down.pixels(), columns = right.pixels();
  const Index top = std::max<Index>(-down.first, 0), bottom = std::min(rows, x.shape[1] - down.first);
  const Index begin = std::max<Index>(-right.first, 0), end = std::min(columns, x.shape[2] - right.first);
  std::vector<Size<T>> largest(static_cast<std::size_t>(rows * columns));  // 0 where there is no image
  Size<T> most = 0, fewest = static_cast<Size<T>>(-1);
  for (Index i = top; i < bottom; ++i)
    for (Index j = begin; j < end; ++j) {
      const char* const pixel =
          x.data + image * x.strides[0] + (down.first + i) * x.strides[1] + (right.first + j) * x.strides[2];
      const Size<T> size = x.strides[3] == Index{sizeof(T)} ? size_of<T>(pixel, x.shape[3], sizeof(T))
                                                            : size_of<T>(pixel, x.shape[3], x.strides[3]);
      largest[static_cast<std::size_t>(i * columns + j)] = size;
      most = std::max(most, size);
      fewest = std::min(fewest, static_cast<Size<T>>(size - 1));
    }
  if (!are_far(most, fewest)) return {};
  std::vector<Size<T>> least(largest.size());
  for (std::size_t i = 0; i < least.size(); ++i) least[i] = largest[i] - 1;
  // Of all pixels of a square, at its first: of two, then of up to four, in a row and in a column.
  const auto widen = [&](Index side, Index apart) {
    for (Index n = 1; n < side; n += std::min(n, side - n)) {
      const Index step = std::min(n, side - n) * apart;
      choose<true>(largest.data(), step, rows * columns - step);
      choose<false>(least.data(), step, rows * columns - step);
    }
  };
  widen(right.side, 1);
  widen(down.side, columns);
  Marks marks;
  for (Index s = 0; s < down.n; ++s)
    for (Index t = 0; t < right.n; ++t) {
      const auto i = static_cast<std::size_t>(down.step * s * columns + right.step * t);
      if (!are_far(largest[i], least[i])) continue;
      if (marks.empty()) marks.resize(static_cast<std::size_t>(down.n * right.n));
      marks[static_cast<std::size_t>(s * right.n + t)] = 1;
    }
  return marks;
}

// m x m' for a row of tiles of an image, whose upper pixels are row `top`: n channels, beginning
// with channel `first` of x. Tiles that do not lie inside of the image are copied first.
template <const auto& matrix, class T> void read_tiles(const View& x, Index image, Index top, const Tiling& right,
                                                       Index first, Index n, Scratch<T>& window, Square<T> to) {
  constexpr Index size = matrix[0].size(), element = sizeof(T);
  constexpr std::size_t shared = size - kOutputs;
  const Index channels = x.shape[3], pixel = x.strides[2] / element;
  const bool inside = x.strides[3] == element && top >= 0 && top + size <= x.shape[1];
  const Index begin = inside ? std::min(right.tiles, (std::max<Index>(-right.first, 0) + kOutputs - 1) / kOutputs) : 0;
  const Index room = x.shape[2] - right.pixel(begin) - size;
  const Index end = inside && room >= 0 ? std::min(right.tiles, begin + room / kOutputs + 1) : begin;
  const auto copied = [&](Index t, Index tiles) {
    if (tiles == 0) return;
    const Index columns = kOutputs * (tiles - 1) + size;
    T* const pixels = window.take(size * columns * channels);
    cut(x, image, top, size, right.pixel(t), columns, pixels);
    transform<matrix, shared>(Square<const T>{pixels + first, columns * channels, channels}, kOutputs * channels,
                              to.from(t * n), n, tiles, n);
  };
  copied(0, begin);
  if (begin < end) {
    const char* const corner = x.data + image * x.strides[0] + top * x.strides[1] + right.pixel(begin) * x.strides[2];
    const Square<const T> from{reinterpret_cast<const T*>(corner), x.strides[1] / element, pixel};
    transform<matrix, shared>(from.from(first), kOutputs * pixel, to.from(begin * n), n, end - begin, n);
  }
  copied(end, right.tiles - end);
}

// A m A' for a row of tiles, written to row t of the outputs of an image. Tiles at the edge are
// written as far as they exist.
template <class T> void write_tiles(Square<const T> from, Index image, Index t, const Tiling& down, const Tiling& right,
                                    Scratch<T>& window, const View& result) {
  const Index channels = result.shape[3], line = result.shape[2] * channels, rows = down.outputs_of(t);
  const Index whole = rows == kOutputs ? right.outputs / kOutputs : 0;
  T* const to = reinterpret_cast<T*>(result.data) + (image * result.shape[1] + kOutputs * t) * line;
  transform<kA>(from, channels, Square<T>{to, line, channels}, kOutputs * channels, whole, channels);
  if (whole == right.tiles) return;
  const Index columns = kOutputs * (right.tiles - whole) * channels, size = line - kOutputs * whole * channels;
  T* const pixels = window.take(kOutputs * columns);
  transform<kA>(from.from(whole * channels), channels, Square<T>{pixels, columns, channels}, kOutputs * channels,
                right.tiles - whole, channels);
  for (Index i = 0; i < rows; ++i) std::copy_n(pixels + i * columns, size, to + i * line + line - size);
}

}  // namespace minimeta::winograd

// The windows of a convolution as both of its algorithms see them (convolution.cpp, winograd.cpp): where they lie, and
// copies of the images under them, surrounded by their zeros.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "convolution.hpp"
#include "layout.hpp"
#include "parallel.hpp"

namespace minimeta {

// One axis of the windows: where position y and tap k meet is pixel stride * y + k - before.
struct Axis {
  Index pixels, taps, positions, stride, before;

  Index span(Index n) const { return (n - 1) * stride + taps; }  // pixels under n neighbouring positions
};

struct Geometry {
  Index images, in, out;
  Axis down, right;

  Geometry of_one_image() const { return {1, in, out, down, right}; }
  Index steps() const { return work({images, down.positions, right.positions, down.taps, right.taps, in, out}) / kAtOnce; }
};

// From arrays that a check has admitted.
inline Geometry geometry(const View& x, const View& w, const View& y, const Windows& windows) {
  const auto axis = [&](int a) {
    const Index before = windows.padding.size[2 * a], padded = x.shape[1 + a] + before + windows.padding.size[2 * a + 1];
    // A stride beyond the image leaves one position, whatever it is.
    return Axis{x.shape[1 + a], w.shape[a], y.shape[1 + a], std::min(windows.strides.size[a], padded), before};
  };
  return {x.shape[0], x.shape[3], y.shape[3], axis(0), axis(1)};
}

// The same elements side by side, in memory of its own where they are not yet.
class Contiguous4 {
 public:
  explicit Contiguous4(const View& x) : view(x) {
    describe(view, "conv2d", x.dtype, x);
    bool lies = true;
    for (int d = 0; d < x.ndim; ++d) lies = lies && (x.shape[d] == 1 || x.strides[d] == view.strides[d]);
    view.data = x.data;
    if (lies || count(x) == 0) return;
    memory_.reset(new char[static_cast<std::size_t>(count(x) * itemsize(x.dtype))]);
    view.data = memory_.get();
    copy(x, view);
  }
  View view;

 private:
  std::unique_ptr<char[]> memory_;
};

// One image of several, as a batch of its own.
inline View image_of(View x, Index image) {
  x.data += image * x.strides[0];
  x.shape[0] = 1;
  return x;
}

// Weights (kh, kw, I, O) as (kh, kw, O, I).
inline View turned(View w) {
  std::swap(w.shape[2], w.shape[3]);
  std::swap(w.strides[2], w.strides[3]);
  return w;
}

// A rectangle of one image, zero where there is no image.
template <class T>
void cut(const View& x, Index image, Index top, Index rows, Index left, Index columns, T* to) {
  const Index channels = x.shape[3], element = sizeof(T);
  if (channels == 0) return;
  const Index first = std::clamp<Index>(-left, 0, columns), last = std::clamp<Index>(x.shape[2] - left, first, columns);
  const bool dense = x.strides[3] == element || channels == 1;
  const bool merged = dense && x.strides[2] == channels * element;
  for (Index r = 0; r < rows; ++r, to += columns * channels) {
    const Index y = top + r;
    if (y < 0 || y >= x.shape[1] || first == last) {
      std::fill_n(to, columns * channels, T(0));
      continue;
    }
    std::fill_n(to, first * channels, T(0));
    std::fill_n(to + last * channels, (columns - last) * channels, T(0));
    const char* from = x.data + image * x.strides[0] + y * x.strides[1] + (left + first) * x.strides[2];
    T* pixel = to + first * channels;
    if (merged) {
      std::memcpy(pixel, from, static_cast<std::size_t>((last - first) * channels * element));
      continue;
    }
    for (Index c = first; c < last; ++c, from += x.strides[2], pixel += channels)
      for (Index i = 0; i < channels; ++i) pixel[i] = *reinterpret_cast<const T*>(from + i * x.strides[3]);
  }
}

// How many of n to take at a time, at most so many or one, so that the last are not much fewer.
inline Index evenly(Index n, Index most) {
  most = std::max<Index>(most, 1);
  const Index parts = (n + most - 1) / most;
  return (n + parts - 1) / parts;
}

}  // namespace minimeta

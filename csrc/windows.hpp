// Windows on images: where those of a convolution and of a pooling lie, and copies of the images
// under them, surrounded by their zeros.
//
// A window of `taps` pixels moves over an axis in steps of `stride`. At position y its tap k meets
// the pixel
//
//   stride * y + k - before
//
// where `before` is the padding at the beginning of the axis.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "layout.hpp"
#include "parallel.hpp"

namespace minimeta {

struct Windows {
  Shape strides;  // down, right
  Shape padding;  // top, bottom, left, right
};

struct Axis {
  Index pixels, taps, positions, stride, before;

  Index span(Index n) const { return (n - 1) * stride + taps; }  // pixels under n neighbouring positions
};

// Images (N, H, W, in), windows (kh, kw), and what belongs to their positions, (N, H', W', out).
struct Geometry {
  Index images, in, out;
  Axis down, right;

  Geometry of_one_image() const { return {1, in, out, down, right}; }
  Index steps() const {
    return work({images, down.positions, right.positions, down.taps, right.taps, in, out}) / kAtOnce;
  }
  bool has_at_positions(const View& y) const {
    return y.shape[0] == images && y.shape[1] == down.positions && y.shape[2] == right.positions && y.shape[3] == out;
  }
};

constexpr Index kFar = Index{1} << 60;  // three sizes below this have a sum that fits an Index

// Of images (N, H, W, in) and a kernel (kh, kw, in, out). Throws where the windows do not fit.
inline Geometry geometry(const char* operation, const Index* images, const Index* kernel, const Windows& windows) {
  require(windows.strides.ndim == 2 && windows.padding.ndim == 4, operation,
          "strides must have two entries, and padding four");
  const auto axis = [&](int d) {
    const Index pixels = images[1 + d], taps = kernel[d], stride = windows.strides.size[d];
    const Index before = windows.padding.size[2 * d], after = windows.padding.size[2 * d + 1];
    for (const Index size : {pixels, taps, before, after})
      require(0 <= size && size < kFar, operation, "sizes and padding must lie between 0 and 2^60");
    const Index padded = pixels + before + after;
    require(1 <= stride && 1 <= taps && taps <= padded, operation,
            "strides must be positive, and windows fit the image");
    // A stride beyond the image leaves one position, whatever it is.
    return Axis{pixels, taps, (padded - taps) / stride + 1, std::min(stride, padded), before};
  };
  return {images[0], kernel[2], kernel[3], axis(0), axis(1)};
}

// The same elements in C order: where they are, or in a copy.
class Contiguous4 {
 public:
  explicit Contiguous4(const View& x) : view(x) {
    describe(view, "contiguous", x.dtype, x);
    bool lies = true;
    for (int d = 0; d < x.ndim; ++d) lies = lies && (x.shape[d] == 1 || x.strides[d] == view.strides[d]);
    view.data = x.data;
    if (lies || count(x) == 0) return;
    memory_.reset(new char[static_cast<std::size_t>(count(x) * itemsize(x.dtype))]);
    view.data = memory_.get();
    copy(x, view);
  }
  template <class T> const T* data() const { return reinterpret_cast<const T*>(view.data); }

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

// Whether weights have no place in a second cache.
inline bool large(const View& w) { return count(w) * itemsize(w.dtype) > 2 * 1024 * 1024; }

// A rectangle of one image, zero where there is no image.
template <class T> void cut(const View& x, Index image, Index top, Index rows, Index left, Index columns, T* to) {
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

}  // namespace minimeta

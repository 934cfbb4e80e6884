// The few outputs that Winograd's convolution leaves to the definition (winograd.cpp): the windows
// of images under them become rows of a matrix.
#pragma once

#include <algorithm>
#include <vector>

#include "winograd_tiles.hpp"

namespace minimeta::winograd {

// An output of an image.
struct Place {
  Index image, row, column;
};
using Places = std::vector<Place>;

constexpr Index kFew = 4;  // the definition computes a part of 1 / kFew, or else all, which is faster

// The pixels under some outputs, a row for each: all channels of x.
template <class T> const T* unfold(const View& x, const Place* places, Index n, const Tiling& down, const Tiling& right,
                                   Scratch<T>& memory) {
  const Index row = kTaps * kTaps * x.shape[3];
  T* const rows = memory.take(n * row);
  for (Index i = 0; i < n; ++i)
    cut(x, places[i].image, down.first + places[i].row, kTaps, right.first + places[i].column, kTaps, rows + i * row);
  return rows;
}

// Outputs of x under taps w (3, 3, ., .), the last of which comes first if `reversed`.
template <class T> void define(const View& x, const Places& places, const Tiling& down, const Tiling& right,
                               const View& w, bool reversed, Scratch<T>& windows, Scratch<T>& packed,
                               const View& result) {
  constexpr Index element = sizeof(T);
  const Index in = x.shape[3], out = result.shape[3], n = static_cast<Index>(places.size());
  const Index first = w.strides[1] / element, tap = reversed ? -first : first, across = w.strides[3] / element;
  std::vector<Index> rows;  // of the product: of its left factor, and its own
  for (Index i = 0; i < n; ++i) rows.push_back(i * kTaps * kTaps * in);
  for (const Place& p : places)
    rows.push_back(((p.image * result.shape[1] + p.row) * result.shape[2] + p.column) * out);
  const Product<T> product{{kTaps, kTaps, in},
                           unfold(x, places.data(), n, down, right, windows),
                           rows.data(),
                           {kTaps * in, in, 1},
                           reinterpret_cast<const T*>(w.data) + (reversed ? 8 * first : 0),
                           {kTaps * tap, tap, w.strides[2] / element},
                           reinterpret_cast<T*>(result.data),
                           rows.data() + n,
                           1,
                           false};
  multiply(product, n, out, across, across != 1, packed);
}

// Adds to the cotangent of taps, `result` (3, 3, in, out), what outputs with cotangents g give to
// channels [begin, end).
template <class T> void add_definition(const View& x, const View& g, const Places& places, const Tiling& down,
                                       const Tiling& right, Index begin, Index end, Scratch<T>& windows,
                                       Scratch<T>& packed, const View& result) {
  if (places.empty()) return;
  const Index in = end - begin, out = g.shape[3], n = static_cast<Index>(places.size());
  View part = x;
  part.data += begin * x.strides[3];
  part.shape[3] = in;
  std::vector<Index> rows;  // of the product: of its left factor, and its own
  for (Index i = 0; i < kTaps * kTaps * in; ++i) rows.push_back(i);
  for (Index k = 0; k < kTaps * kTaps; ++k)
    for (Index c = begin; c < end; ++c) rows.push_back((k * x.shape[3] + c) * out);
  const Index m = kTaps * kTaps * in;
  T* const to = reinterpret_cast<T*>(result.data);
  Groups<T> groups(to, rows.data() + m, 1, m, out, true);
  Scratch<T> cotangents;
  for (Index i = 0; i < n; i += kChain) {
    const Index now = std::min(kChain, n - i);
    T* const given = cotangents.take(now * out);
    for (Index j = 0; j < now; ++j) {
      const Place& p = places[static_cast<std::size_t>(i + j)];
      cut(g, p.image, p.row, 1, p.column, 1, given + j * out);
    }
    const Product<T> product{{1, 1, now}, unfold(part, places.data() + i, now, down, right, windows),
                             rows.data(), {0, 0, m},
                             given,       {0, 0, out},
                             to,          rows.data() + m,
                             1,           groups.next(1)};
    multiply(product, m, out, 1, m >= kOften, packed);
  }
  groups.finish();
}

}  // namespace minimeta::winograd

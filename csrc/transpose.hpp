// Transposing a matrix in registers: reads its rows as vectors, and writes its columns as vectors.
//
//   to[j, i] = from[i, j]
//
// A block has as many rows as a vector has lanes, and 16 bytes of each, inside of which every level
// shuffles in one step: n = 2^s elements. Let the n vectors x_0 ... x_{n-1} hold the rows. Zipping
// the first half of them with the second half moves the first bit of an element's row number to the
// end of its column number, and the first bit of its column number to the end of its row number.
// After s zips rows and columns have changed places.
#pragma once

#include <algorithm>
#include <utility>

#include "array.hpp"
#include "simd.hpp"

namespace minimeta {
namespace detail {

// Interleaves the lanes of two vectors, from the lower or the upper half of every 16 bytes.
template <bool upper, class V, int... I> V zip(V x, V y, std::integer_sequence<int, I...>) {
  constexpr int lanes = simd::kLanesOf<V>, n = 16 / sizeof(simd::Element<V>);
  return __builtin_shufflevector(x, y, (I / n * n + upper * n / 2 + I % n / 2 + I % 2 * lanes)...);
}
template <bool upper, class V> V zip(V x, V y) {
  return zip<upper>(x, y, std::make_integer_sequence<int, simd::kLanesOf<V>>{});
}

// Loads 16 bytes of every row, one after another. Loads from memory join them at no cost to the
// unit that shuffles.
template <class V, class T> V load_rows(const T* from, Index step) {
  if constexpr (sizeof(V) == 16) {
    return simd::load<V>(from);
  } else {
    using Half = simd::Vec<T, simd::kLanesOf<V> / 2>;
    return simd::joined(load_rows<Half>(from, step), load_rows<Half>(from + Index{sizeof(Half) / 16} * step, step));
  }
}

template <class V, class T> MINIMETA_INLINE void transpose_block(const T* from, Index from_row, T* to, Index to_row) {
  constexpr int n = 16 / sizeof(T);
  V x[n], zipped[n];
  MINIMETA_UNROLL
  for (int i = 0; i < n; ++i) x[i] = load_rows<V>(from + i * from_row, n * from_row);
  MINIMETA_UNROLL
  for (int step = 1; step < n; step *= 2) {
    MINIMETA_UNROLL
    for (int i = 0; i < n / 2; ++i) {
      zipped[2 * i] = zip<false>(x[i], x[i + n / 2]);
      zipped[2 * i + 1] = zip<true>(x[i], x[i + n / 2]);
    }
    MINIMETA_UNROLL
    for (int i = 0; i < n; ++i) x[i] = zipped[i];
  }
  MINIMETA_UNROLL
  for (int i = 0; i < n; ++i) simd::store(to + i * to_row, x[i]);
}

}  // namespace detail

// Rows of `from` and of `to` are contiguous. The loop takes a few columns at a time, so that the
// rows of `to` that they become are still in the first cache when the next block continues them.
// Rows that do not fill a vector take narrower ones, and the last blocks overlap those before them.
template <class T, int Lanes = simd::kLanes<T>>
void transpose(const T* from, Index from_row, Index rows, Index columns, T* to, Index to_row) {
  constexpr Index n = 16 / sizeof(T), few = 32;
  if (rows < n || columns < n) {
    for (Index j = 0; j < columns; ++j)
      for (Index i = 0; i < rows; ++i) to[j * to_row + i] = from[i * from_row + j];
    return;
  }
  const Index whole = rows - rows % Lanes, rest = std::min(whole, rows - n);
  for (Index begin = 0; begin < columns; begin += few)
    for (Index i = 0; i < whole; i += Lanes)
      for (Index column = begin; column < std::min(columns, begin + few); column += n) {
        const Index j = std::min(column, columns - n);
        detail::transpose_block<simd::Vec<T, Lanes>>(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
      }
  if (whole < rows)
    transpose<T, std::max<int>(Lanes / 2, n)>(from + rest * from_row, from_row, rows - rest, columns, to + rest, to_row);
}

}  // namespace minimeta

// Transposing a matrix in registers: reads its rows as vectors, and writes its columns as vectors.
//
//   to[j, i] = from[i, j]
//
// A block has as many rows as a vector has lanes, and 16 bytes of each, inside of which every level
// shuffles in one step: n = 2^s elements. Let the n vectors x_0 ... x_{n-1} hold the rows. Zipping
// the first half of them with the second half moves the first bit of an element's row number to the
// end of its column number, and the first bit of its column number to the end of its row number.
// After s zips rows and columns have changed places. Of vectors of 64 bytes a block has 32 bytes of
// each row, which takes half as many loads; at the end its two halves exchange quarters.
#pragma once

#include <algorithm>
#include <utility>

#include "array.hpp"
#include "short_rows.hpp"
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

// The quarters 0 and 2 of both vectors, or 1 and 3, in turns.
template <bool odd, class V, int... I> V quarters(V x, V y, std::integer_sequence<int, I...>) {
  constexpr int lanes = simd::kLanesOf<V>, n = lanes / 4;
  return __builtin_shufflevector(x, y, (I / n % 2 * lanes + (I / n / 2 * 2 + odd) * n + I % n)...);
}
template <bool odd, class V> V quarters(V x, V y) {
  return quarters<odd>(x, y, std::make_integer_sequence<int, simd::kLanesOf<V>>{});
}

// All zips of n vectors.
template <class V, std::size_t n> MINIMETA_INLINE void zip_all(V (&x)[n]) {
  V zipped[n];
  MINIMETA_UNROLL
  for (std::size_t step = 1; step < n; step *= 2) {
    MINIMETA_UNROLL
    for (std::size_t i = 0; i < n / 2; ++i) {
      zipped[2 * i] = zip<false>(x[i], x[i + n / 2]);
      zipped[2 * i + 1] = zip<true>(x[i], x[i + n / 2]);
    }
    MINIMETA_UNROLL
    for (std::size_t i = 0; i < n; ++i) x[i] = zipped[i];
  }
}

template <class V, class T> MINIMETA_INLINE void transpose_block(const T* from, Index from_row, T* to, Index to_row) {
  constexpr int n = 16 / sizeof(T);
  V x[n];
  MINIMETA_UNROLL
  for (int i = 0; i < n; ++i) x[i] = load_rows<V>(from + i * from_row, n * from_row);
  zip_all(x);
  MINIMETA_UNROLL
  for (int i = 0; i < n; ++i) simd::store(to + i * to_row, x[i]);
}

// The same of 32 bytes of each row. The i-th vector holds rows i and i + 2n.
template <class V, class T> MINIMETA_INLINE void transpose_wide(const T* from, Index from_row, T* to, Index to_row) {
  constexpr int n = 16 / sizeof(T);
  using Half = simd::Vec<T, simd::kLanesOf<V> / 2>;
  V x[2][n];
  MINIMETA_UNROLL
  for (int half = 0; half < 2; ++half) {
    MINIMETA_UNROLL
    for (int i = 0; i < n; ++i) {
      const T* const row = from + (half * n + i) * from_row;
      x[half][i] = simd::joined(simd::load<Half>(row), simd::load<Half>(row + 2 * n * from_row));
    }
    zip_all(x[half]);
  }
  MINIMETA_UNROLL
  for (int i = 0; i < n; ++i) {
    simd::store(to + i * to_row, quarters<false>(x[0][i], x[1][i]));
    simd::store(to + (n + i) * to_row, quarters<true>(x[0][i], x[1][i]));
  }
}

}  // namespace detail

// Rows of `from` and of `to` are contiguous. The loop takes a few columns at a time, so that the
// rows of `to` that they become are still in the first cache when the next block continues them.
// Rows that do not fill a vector take narrower ones, and the last blocks overlap those before them.
template <class T, int Lanes = simd::kLanes<T>>
void transpose(const T* from, Index from_row, Index rows, Index columns, T* to, Index to_row) {
  constexpr Index n = 16 / sizeof(T), few = 32;
  if (columns < n || rows < n) {
    const T* starts[n];
    for (Index i = 0; i < rows && rows < n; ++i) starts[i] = from + i * from_row;
    if (rows < n && to_row == rows) return short_rows::interleave(starts, rows, to, columns);
    for (Index j = 0; j < columns; ++j) short_rows::take_every(from + j, from_row, to + j * to_row, rows);
    return;
  }
  using V = simd::Vec<T, Lanes>;
  constexpr bool is_wide = sizeof(V) == 64;
  const Index whole = rows - rows % Lanes, rest = std::min(whole, rows - n);
  const Index step = is_wide && columns >= 2 * n ? 2 * n : n;
  for (Index begin = 0; begin < columns; begin += few)
    for (Index i = 0; i < whole; i += Lanes)
      for (Index column = begin; column < std::min(columns, begin + few); column += step) {
        const Index j = std::min(column, columns - step);
        const T* const block = from + i * from_row + j;
        if constexpr (is_wide)
          if (step == 2 * n) {
            detail::transpose_wide<V>(block, from_row, to + j * to_row + i, to_row);
            continue;
          }
        detail::transpose_block<V>(block, from_row, to + j * to_row + i, to_row);
      }
  if (whole < rows)
    transpose<T, std::max<int>(Lanes / 2, n)>(from + rest * from_row, from_row, rows - rest, columns, to + rest, to_row);
}

}  // namespace minimeta

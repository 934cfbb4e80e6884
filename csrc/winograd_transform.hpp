// The matrices of Winograd's convolution (winograd.cpp), applied to both axes of a square: y = m x
// m'.
//
// The entries of a square are rows of channels, so that the lanes of a vector are channels. The
// matrices are constants, and each sum is unrolled into the additions that it needs.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "array.hpp"
#include "product.hpp"
#include "simd.hpp"
#include "transpose.hpp"

namespace minimeta::winograd {

template <std::size_t Rows, std::size_t Columns> using Matrix = std::array<std::array<double, Columns>, Rows>;

template <std::size_t Rows, std::size_t Columns>
constexpr Matrix<Columns, Rows> transposed(const Matrix<Rows, Columns>& m) {
  Matrix<Columns, Rows> t{};
  for (std::size_t i = 0; i < Rows; ++i)
    for (std::size_t j = 0; j < Columns; ++j) t[j][i] = m[i][j];
  return t;
}

constexpr Index kOutputs = 2, kTaps = 3, kRank = 4;  // of a tile along an axis
constexpr Matrix<4, 4> kB{{{1, 0, -1, 0}, {0, 1, 1, 0}, {0, 1, -1, 0}, {0, 1, 0, -1}}};
constexpr Matrix<4, 3> kC{{{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}}};
constexpr Matrix<2, 4> kA{{{1, 1, -1, 0}, {0, 1, 1, -1}}};
constexpr Matrix<3, 4> kToC = transposed(kC);
constexpr Matrix<4, 2> kToA = transposed(kA);
constexpr Index kSecond = 3;  // only a tile's second output reads this product

// Rows of channels in a square: the pixels of a tile, taps, or planes, each of which holds one r
// for many tiles.
template <class T> struct Square {
  T* first;
  Index down, right;

  Square from(Index i) const { return {first + i, down, right}; }
  T* at(Index i, Index j) const { return first + i * down + j * right; }
};

// The planes of all pairs r. A gap between them keeps them from meeting in the same lines of a
// cache.
template <class T> Square<T> planes(Index elements, Scratch<T>& memory) {
  const Index plane = elements + 16;
  return {memory.take(kRank * kRank * plane), kRank * plane, plane};
}

// Row r of a matrix times x: additions first, then subtractions. Only the sums are rounded.
template <const auto& matrix, std::size_t r, class T, class V, std::size_t Columns>
inline V combination(const std::array<V, Columns>& x) {
  V sum{};
  bool begun = false;
  MINIMETA_UNROLL
  for (const bool subtracted : {false, true}) {
    MINIMETA_UNROLL
    for (std::size_t k = 0; k < Columns; ++k) {
      const double size = subtracted ? -matrix[r][k] : matrix[r][k];
      if (size <= 0) continue;
      const V term = size == 1 ? x[k] : x[k] * simd::broadcast<V>(static_cast<T>(size));
      sum = subtracted ? (begun ? sum - term : -term) : (begun ? sum + term : term);
      begun = true;
    }
  }
  return sum;
}

template <const auto& matrix, class T, class V, std::size_t Columns, std::size_t... r>
inline auto combinations(const std::array<V, Columns>& x, std::index_sequence<r...>) {
  return std::array<V, sizeof...(r)>{combination<matrix, r, T>(x)...};
}

// y = m x m' for one vector of channels, of so many squares, each some steps after the one before it.
// Neighbours may share columns, whose sums are then computed once. Not inlined, because GCC would keep
// all addresses in the caller, which has no registers for them.
template <const auto& matrix, std::size_t shared, class V, class T>
__attribute__((noinline)) void transform_vector(const T* x, Index x_down, Index x_right, Index x_step,  //
                                                T* y, Index y_down, Index y_right, Index y_step, Index squares) {
  constexpr std::size_t rows = matrix.size(), columns = matrix[0].size(), next = columns - shared;
  constexpr auto all = std::make_index_sequence<rows>{};
  std::array<std::array<V, columns>, rows> half;
  const auto add = [&](std::size_t j) {
    std::array<V, columns> column;
    MINIMETA_UNROLL
    for (std::size_t i = 0; i < columns; ++i)
      column[i] = simd::load<V>(x + static_cast<Index>(i) * x_down + static_cast<Index>(j) * x_right);
    const auto sums = combinations<matrix, T>(column, all);
    MINIMETA_UNROLL
    for (std::size_t r = 0; r < rows; ++r) half[r][j] = sums[r];
  };
  MINIMETA_UNROLL
  for (std::size_t j = 0; j < shared; ++j) add(j);
  for (; squares > 0; --squares, x += x_step, y += y_step) {
    MINIMETA_UNROLL
    for (std::size_t j = shared; j < columns; ++j) add(j);
    MINIMETA_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      const auto sums = combinations<matrix, T>(half[r], all);
      MINIMETA_UNROLL
      for (std::size_t q = 0; q < rows; ++q)
        simd::store(y + static_cast<Index>(r) * y_down + static_cast<Index>(q) * y_right, sums[q]);
      MINIMETA_UNROLL
      for (std::size_t j = 0; j < shared; ++j) half[r][j] = half[r][j + next];
    }
  }
}

// The same for n channels.
template <const auto& matrix, std::size_t shared = 0, class T>
void transform(Square<const T> x, Index x_step, Square<T> y, Index y_step, Index squares, Index n) {
  constexpr Index lanes = simd::kLanes<T>;
  const auto go = [&](auto vector, Index c) {
    transform_vector<matrix, shared, decltype(vector)>(x.first + c, x.down, x.right, x_step, y.first + c, y.down,
                                                       y.right, y_step, squares);
  };
  Index c = 0;
  for (; c + lanes <= n; c += lanes) go(simd::Vec<T>{}, c);
  for (; c < n; ++c) go(T{}, c);
}

// The same for a square of n elements in each entry, whose vectors are squares by themselves.
template <const auto& matrix, class T> void transform(Square<const T> x, Square<T> y, Index n) {
  constexpr Index lanes = simd::kLanes<T>;
  transform<matrix>(x, lanes, y, lanes, n / lanes, lanes);
  transform<matrix>(x.from(n / lanes * lanes), 0, y.from(n / lanes * lanes), 0, 1, n % lanes);
}

// C w C' for terms [p, p + terms) and columns [j, j + columns) of taps w, which may lie turned; the
// last of them comes first if `reversed`.
template <class T> void transform_taps(const View& w, bool reversed, Index p, Index terms, Index j, Index columns,
                                       Scratch<T>& scratch, Square<T> to) {
  constexpr Index element = sizeof(T);
  const Index tap = (reversed ? -1 : 1) * w.strides[1] / element;
  const Index down = w.strides[2] / element, across = w.strides[3] / element;
  const T* const first = reinterpret_cast<const T*>(w.data) + (reversed ? -8 * tap : 0) + p * down + j * across;
  const Square<const T> from{first, 3 * tap, tap};
  if (across == 1 && down == columns) return transform<kC>(from, to, terms * columns);
  if (across == 1) {
    for (Index i = 0; i < terms; ++i) transform<kC>(from.from(i * down), to.from(i * columns), columns);
    return;
  }
  const Index size = terms * columns;
  T* const copied = scratch.take(9 * size);
  for (Index k = 0; k < 9; ++k) transpose(first + k * tap, across, columns, terms, copied + k * size, columns);
  transform<kC>(Square<const T>{copied, 3 * size, size}, to, size);
}

}  // namespace minimeta::winograd

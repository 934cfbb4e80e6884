// Many products of small matrices, each in a lane of its own.
//
//   c[q] = a[q] b[q]  for q = 0, 1, ...
//
// A matrix of a few elements fills no vector, and to decide how a product is computed takes longer
// than to compute it. But there are many products of one shape, so a vector holds the same element
// of as many of them as it has lanes: their matrices, one under another, are the rows of a matrix
// that is transposed. Each sum has the order of product.hpp, a chain from 0, or that of
// vector_product.hpp, eight lanes and a tree.
#pragma once

#include <algorithm>

#include "functions.hpp"
#include "lanes.hpp"
#include "simd.hpp"
#include "transpose.hpp"

namespace minimeta {

// Strides in elements: to the next row, to the next column, to the next matrix.
struct SmallMatrix {
  Index rows, columns, row, column, next;
};

template <class T> class SmallProducts {
  using V = simd::Vec<T>;
  static constexpr Index kAtOnce = simd::kLanes<T>, kSide = 8, kMost = kSide * kSide, kFew = 4;

 public:
  // Whether there are so many products of so few elements that it pays.
  static bool fits(Index m, Index k, Index n, Index products) {
    return std::max({m, k, n}) <= kSide && k > 0 && m * n > 1 && products >= kFew;
  }

  SmallProducts(const SmallMatrix& a, const SmallMatrix& b, const SmallMatrix& c) : a_(a), b_(b), c_(c) {}

  void run(const T* a, const T* b, T* c, Index products) {
    for (Index n; products > 0; products -= n, a += n * a_.next, b += n * b_.next, c += n * c_.next) {
      n = std::min(kAtOnce, products);
      spend(n * (a_.rows * a_.columns + b_.rows * b_.columns + c_.rows * c_.columns));
      a_.take(a, n);
      b_.take(b, n);
      if (b_.columns == 1)
        multiply_vectors();
      else
        multiply();
      c_.give(c, n);
    }
  }

 private:
  // Some matrices, with one lane for each. Elements keep the order that they have in memory, if they
  // lie side by side.
  struct Matrices : SmallMatrix {
    explicit Matrices(const SmallMatrix& matrix) : SmallMatrix(matrix) {
      is_dense = (column == 1 && row == columns) || (row == 1 && column == rows);
      own_row = is_dense ? row : columns;
      own_column = is_dense ? column : 1;
      std::fill_n(elements, rows * columns * kAtOnce, T(0));
    }

    T* at(Index i, Index j) { return elements + (i * own_row + j * own_column) * kAtOnce; }
    V load(Index i, Index j) { return simd::load<V>(at(i, j)); }

    void take(const T* from, Index n) {
      if (next != 0 && is_dense) return transpose(from, next, n, rows * columns, elements, kAtOnce);
      for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < columns; ++j)
          for (Index q = 0; q < n; ++q) at(i, j)[q] = from[q * next + i * row + j * column];
    }

    void give(T* to, Index n) {
      if (is_dense) return transpose(elements, kAtOnce, rows * columns, n, to, next);
      for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < columns; ++j)
          for (Index q = 0; q < n; ++q) to[q * next + i * row + j * column] = at(i, j)[q];
    }

    bool is_dense;
    Index own_row, own_column;
    alignas(64) T elements[kMost * kAtOnce];
  };

  void multiply() {
    for (Index i = 0; i < a_.rows; ++i)
      for (Index j = 0; j < b_.columns; ++j) {
        V sum{};
        for (Index p = 0; p < a_.columns; ++p) sum = simd::fma(a_.load(i, p), b_.load(p, j), sum);
        simd::store(c_.at(i, j), sum);
      }
  }

  void multiply_vectors() {
    for (Index i = 0; i < a_.rows; ++i) {
      V lanes[kLanes];
    MINIMETA_UNROLL
      for (Index p = 0; p < kLanes; ++p) lanes[p] = p < a_.columns ? simd::fma(a_.load(i, p), b_.load(p, 0), V{}) : V{};
      simd::store(c_.at(i, 0), join_vectors<functions::Add>(lanes));
    }
  }

  Matrices a_, b_, c_;
};

}  // namespace minimeta

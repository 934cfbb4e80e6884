// Sums over columns of a matrix that exists a block of columns at a time.
//
//   c[i, j] = sum over columns q of  x[i, q] y[j, q],     s[i] = sum over columns q of  x[i, q]
//
// A product adds chains of 128 terms; 16 of them are a group, and groups are joined pairwise
// (product.hpp). A sum adds blocks of 1024 terms, and joins them pairwise (fold.hpp). So 2048
// columns are a group of the one and two blocks of the other. Threads share the columns in such
// pieces, each piece leaves its sums in memory of its own, and at the end those are joined: no bit
// differs from the product, or the sum, of the whole.
//
// All matrices y that meet one x are copied next to each other, so that their columns of c share
// the vectors of a tile.
#pragma once

#include <vector>

#include "product.hpp"

namespace minimeta {

class ColumnSums {
 public:
  static constexpr Index kPiece = kMatrixChain * kGroup;  // columns

  ColumnSums(int value, const View& x) : value_(value), x_(x) {}
  // y has a row for each column of c; both lie at addresses of the run.
  void add_product(const View& y, int operand, int result);
  void add_sum(int result) { sums_.push_back(result); }
  // How many bytes two rows of x lie apart in a block.
  void set_row(Index row);

  int value() const { return value_; }
  Index cost() const { return x_.shape[0] * (width_ + 1); }  // multiply-adds of a column
  // What the pieces leave, one row each.
  void describe_pieces(View& pieces) const;

  // Adds a block of columns, which begins and ends with a chain or with the matrix, to those of its
  // piece before it.
  void add(char* const* data, const char* x, Index first, Index size, char* pieces) const;
  void join(char* const* data, char* pieces) const;

 private:
  struct Factor {
    View y;
    int operand, result;
    Index place;  // its first column of c
  };
  Index rows() const { return x_.shape[0]; }
  Index columns() const { return x_.shape[1]; }
  // Of a piece, in elements: products, then the sums of its blocks, then the lanes of the last.
  Index blocks_at() const { return rows() * width_; }
  Index lanes_at() const;
  Index size() const;
  template <class T> void add(char* const* data, const T* x, Index first, Index size, T* piece) const;
  template <class T> void join(char* const* data, T* pieces) const;

  int value_;
  View x_;
  Index width_ = 0;  // columns of c
  std::vector<Factor> factors_;
  std::vector<int> sums_;  // results: the sum once for each
  std::vector<Index> x_rows_, c_rows_;  // where they begin
};

}  // namespace minimeta

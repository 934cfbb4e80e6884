// Every element of a product is one chain of fused multiply-adds, in increasing p, starting from 0:
//
//   c[i,j] = fma(a[i,k-1], b[k-1,j], ... fma(a[i,0], b[0,j], 0))
//
// One register tile computes all of them: a few rows of c by one panel of columns stay in registers while p runs.
// a is only ever broadcast, so its strides do not matter; the panel's rows of b must be contiguous. Where they are
// not (b transposed, or fewer columns left than a panel has) the panel is first copied, padded with zeros whose
// results are never stored. Or both operands trade places, c^T = b^T a^T, where that copies less: the chain of each
// element is the same, so the choice cannot be seen in the bits.
#include "matmul.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "loop.hpp"

namespace minimeta {
namespace {

constexpr int kRows = 5;  // rows by a panel of two registers: 10 accumulators, 2 of b, the rest for addresses

// A matrix with strides in elements.
template <class T> struct Matrix {
  T* data;
  Index row, column;
  Matrix transposed() const { return {data, column, row}; }
};

// The loops over rows and columns are constant and unrolled, and a sum is never indexed otherwise: so it stays in
// registers from the first multiply-add to the store.
template <class T, int Rows, int Columns>
void tile(Index k, Matrix<const T> a, const T* __restrict b, Index b_row, T* __restrict c, Index c_row) {
  T sum[Rows][Columns] = {};
  for (Index p = 0; p < k; ++p) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const T scale = a.data[i * a.row + p * a.column];
#pragma GCC unroll 16
      for (int j = 0; j < Columns; ++j) sum[i][j] = std::fma(scale, b[p * b_row + j], sum[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < Columns; ++j) c[i * c_row + j] = sum[i][j];
}

template <class T, int Columns, int Rows = kRows>
void tile_of(int rows, Index k, Matrix<const T> a, const T* b, Index b_row, T* c, Index c_row) {
  if constexpr (Rows > 0) {
    if (rows == Rows)
      tile<T, Rows, Columns>(k, a, b, b_row, c, c_row);
    else
      tile_of<T, Columns, Rows - 1>(rows, k, a, b, b_row, c, c_row);
  }
}

template <class T> constexpr int kPanel = 64 / sizeof(T);  // two 32-byte registers

// `columns` columns of b, a row at a time, padded with zeros to the width of the panel.
template <class T> void pack(Index k, Matrix<const T> b, int columns, int width, T* panel) {
  for (Index p = 0; p < k; ++p) {
    for (int j = 0; j < columns; ++j) panel[p * width + j] = b.data[p * b.row + j * b.column];
    for (int j = columns; j < width; ++j) panel[p * width + j] = 0;
  }
}

// Rows are dealt out evenly, so that 6 are 3 and 3, not 5 and a slow 1. A tile that does not fit c as it lies (fewer
// columns, or c transposed) is computed beside it.
template <class T, int Columns>
void panel_product(Index m, Index k, Matrix<const T> a, const T* b, Index b_row, Matrix<T> c, int columns) {
  const bool fits = columns == Columns && c.column == 1;
  T beside[kRows * Columns];
  Index blocks = (m + kRows - 1) / kRows;
  for (Index i = 0, rows; i < m; i += rows, --blocks) {
    rows = (m - i + blocks - 1) / blocks;
    T* target = c.data + i * c.row;
    tile_of<T, Columns>(static_cast<int>(rows), k, {a.data + i * a.row, a.row, a.column}, b, b_row,
                        fits ? target : beside, fits ? c.row : Columns);
    if (fits) continue;
    for (Index r = 0; r < rows; ++r)
      for (int j = 0; j < columns; ++j) target[r * c.row + j * c.column] = beside[r * Columns + j];
  }
}

template <class T>
void product(Index m, Index k, Index n, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, T* scratch) {
  for (Index j = 0; j < n; j += kPanel<T>) {
    const int columns = static_cast<int>(std::min<Index>(kPanel<T>, n - j));
    const int width = columns > kPanel<T> / 2 ? kPanel<T> : kPanel<T> / 2;
    Matrix<const T> panel{b.data + j * b.column, b.row, b.column};
    if (columns < width || b.column != 1) {
      pack(k, panel, columns, width, scratch);
      panel = {scratch, width, 1};
    }
    const Matrix<T> target{c.data + j * c.column, c.row, c.column};
    if (width == kPanel<T>)
      panel_product<T, kPanel<T>>(m, k, a, panel.data, panel.row, target, columns);
    else
      panel_product<T, kPanel<T> / 2>(m, k, a, panel.data, panel.row, target, columns);
  }
}

// A rough count of cycles: registers multiplied, elements packed.
template <class T> double cost(Index m, Index k, Index n, Index b_column) {
  const double half = kPanel<T> / 2;
  const double padded = std::ceil(static_cast<double>(n) / half) * half;
  const double packed = b_column != 1 ? static_cast<double>(n) : static_cast<double>(n % (kPanel<T> / 2));
  return static_cast<double>(k) * (static_cast<double>(m) * padded / kPanel<T> + packed);
}

template <class T> void matmul(const View& x, const View& y, const View& result) {
  const int d = x.ndim - 2;
  const Index element = sizeof(T);
  const Index m = x.shape[d], k = x.shape[d + 1], n = y.shape[d + 1];
  // A stride along an axis of size 1 is never taken; 1 says that it is as good as contiguous.
  const auto step = [=](const View& v, int axis) { return v.shape[axis] == 1 ? 1 : v.strides[axis] / element; };
  Matrix<const T> a{nullptr, step(x, d), step(x, d + 1)}, b{nullptr, step(y, d), step(y, d + 1)};
  Matrix<T> c{nullptr, n, 1};
  const bool swap = cost<T>(n, k, m, a.row) < cost<T>(m, k, n, b.column);
  const bool packs = swap ? a.row != 1 || m % kPanel<T> : b.column != 1 || n % kPanel<T>;
  if (k > PTRDIFF_MAX / Index{64}) throw std::invalid_argument("matmul: the inner size is too large");
  const std::unique_ptr<T[]> scratch(packs ? new T[static_cast<std::size_t>(k * kPanel<T>)] : nullptr);

  Loop<3> batch;
  plan<3>(batch, {&x, &y, &result}, 0, d);
  char* data[3] = {x.data, y.data, result.data};
  for_each_row<3>(batch, data, [&](char* const* first, const Index* strides, Index size) {
    for (Index i = 0; i < size; ++i) {
      a.data = reinterpret_cast<const T*>(first[0] + i * strides[0]);
      b.data = reinterpret_cast<const T*>(first[1] + i * strides[1]);
      c.data = reinterpret_cast<T*>(first[2] + i * strides[2]);
      if (swap)
        product<T>(n, k, m, b.transposed(), a.transposed(), c.transposed(), scratch.get());
      else
        product<T>(m, k, n, a, b, c, scratch.get());
    }
  });
}

}  // namespace

void swap_last_axes(View& matrix) {
  if (matrix.ndim < 2) return;
  std::swap(matrix.shape[matrix.ndim - 1], matrix.shape[matrix.ndim - 2]);
  std::swap(matrix.strides[matrix.ndim - 1], matrix.strides[matrix.ndim - 2]);
}

void check_matmul(const View& x, const View& y, View& result) {
  require_float("matmul", "x", x);
  require_same_dtype("matmul", x, y);
  const int d = x.ndim - 2;
  bool fits = d >= 0 && y.ndim == x.ndim && x.shape[d + 1] == y.shape[d];
  for (int i = 0; fits && i < d; ++i) fits = x.shape[i] == y.shape[i];
  if (!fits)
    throw std::invalid_argument("matmul: shapes must be (..., m, k) and (..., k, n), not " + to_string(x) + " and " +
                                to_string(y));
  Shape shape;
  shape.ndim = x.ndim;
  std::copy_n(x.shape, d + 1, shape.size);
  shape.size[d + 1] = y.shape[d + 1];
  describe(result, "matmul", x.dtype, shape.ndim, shape.size);
}

void run_matmul(const View& x, const View& y, const View& result) {
  if (count(result) == 0) return;
  with_float(x.dtype, [&](auto tag) { matmul<typename decltype(tag)::type>(x, y, result); });
}

}  // namespace minimeta

// Gaussian elimination: with its rows exchanged, A = L U, where L has ones on its diagonal.
//
//   step c:  the row with the largest element in column c, of those that are left, comes first;
//            from each row r below it the multiple L[r][c] = A[r][c] / A[c][c] of it is taken
//   solve:   L Y = B from the first row to the last, then U X = Y from the last to the first
//   det:     the product of U's diagonal; minus that for an odd number of exchanges
//
// A call of LAPACK takes some microseconds, however small the matrices are. These take less, and
// every step is the same for all elements of a row, so that no bit depends on the width of vectors.
#include "elimination.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "loop.hpp"
#include "parallel.hpp"
#include "transcendental.hpp"

namespace minimeta {
namespace {

template <class T> struct Factors {
  T lu[kMostSide][kMostSide];
  int rows[kMostSide];  // where each row of LU was in A
  bool odd = false, singular = false;

  Factors(const char* a, const Index* strides, Index n) {
    for (Index r = 0; r < n; ++r) {
      rows[r] = static_cast<int>(r);
      for (Index c = 0; c < n; ++c) lu[r][c] = *reinterpret_cast<const T*>(a + r * strides[0] + c * strides[1]);
    }
    for (Index c = 0; c < n; ++c) {
      Index first = c;
      for (Index r = c + 1; r < n; ++r)
        if (std::fabs(lu[r][c]) > std::fabs(lu[first][c])) first = r;
      if (first != c) {
        std::swap_ranges(lu[c], lu[c] + n, lu[first]);
        std::swap(rows[c], rows[first]);
        odd = !odd;
      }
      if (lu[c][c] == 0) {
        singular = true;
        continue;
      }
      for (Index r = c + 1; r < n; ++r) {
        const T multiple = lu[r][c] /= lu[c][c];
        for (Index k = c + 1; k < n; ++k) lu[r][k] -= multiple * lu[c][k];
      }
    }
  }

  // X of (L U) X = B, whose rows are exchanged already; X is B.
  void solve(T* x, Index n, Index columns) const {
    for (Index c = 0; c < n; ++c)
      for (Index r = c + 1; r < n; ++r) subtract(x + r * columns, lu[r][c], x + c * columns, columns);
    for (Index c = n; c-- > 0;) {
      for (Index k = 0; k < columns; ++k) x[c * columns + k] /= lu[c][c];
      for (Index r = 0; r < c; ++r) subtract(x + r * columns, lu[r][c], x + c * columns, columns);
    }
  }

  // The product of U's diagonal. Its parts may be out of range where the whole is not, as those of
  // 1e200 * 1e200 * 1e-200 * 1e-200 are: their powers of two are then counted apart.
  T product(Index n) const {
    constexpr T least = std::numeric_limits<T>::min(), most = std::numeric_limits<T>::max();
    T whole = odd ? T(-1) : T(1), fraction = whole;
    bool fits = true;
    for (Index i = 0; i < n; ++i) {
      whole *= lu[i][i];
      fits &= std::fabs(whole) >= least && std::fabs(whole) <= most;
    }
    if (fits) return whole;
    int exponent = 0;
    for (Index i = 0; i < n; ++i) {
      int of_factor = 0, of_product = 0;
      fraction = std::frexp(fraction * std::frexp(lu[i][i], &of_factor), &of_product);
      if (std::isfinite(fraction)) exponent += of_factor + of_product;
    }
    return std::ldexp(fraction, exponent);
  }

  static void subtract(T* __restrict x, T multiple, const T* __restrict y, Index n) {
    for (Index k = 0; k < n; ++k) x[k] -= multiple * y[k];
  }
};

void check_square(const char* operation, const View& a) {
  require_float(operation, a);
  require(a.ndim >= 2 && a.shape[a.ndim - 1] == a.shape[a.ndim - 2], operation, "it needs square matrices");
  require(a.shape[a.ndim - 1] <= kMostSide, operation, "matrices have at most 16 rows");
}

// Calls item(tag, pointers) for each matrix of a stack, on threads.
template <int N, class Item> void for_each_matrix(const View* const (&operands)[N], Index cost, const Item& item) {
  const View& a = *operands[0];
  Loop<N> loop;
  plan(loop, operands, 0, a.ndim - 2);
  char* data[N];
  for (int i = 0; i < N; ++i) data[i] = operands[i]->data;
  const Index n = count(loop);
  with_float(a.dtype, [&](auto tag) {
    parallel_for(n, work({n, cost}), [&](Index begin, Index end) {
      in_pieces(begin, end, cost, [&](Index first, Index last) {
        for_each_row(loop, data, first, last, [&](char* const* from, const Index* strides, Index size) {
          char* now[N];
          std::copy_n(from, N, now);
          for (Index i = 0; i < size; ++i) {
            item(tag, now);
            for (int k = 0; k < N; ++k) now[k] += strides[k];
          }
        });
      });
    });
  });
}

Index side(const View& a) { return a.shape[a.ndim - 1]; }
const Index* last_two(const View& a) { return a.strides + a.ndim - 2; }
Index cubed(Index n) { return n * n * n + 1; }

}  // namespace

void check_solve(const View& a, const View& b, View& x) {
  check_square("solve", a);
  require_same_dtype("solve", a, b);
  require(a.ndim == b.ndim && std::equal(a.shape, a.shape + a.ndim - 1, b.shape), "solve",
          "there must be as many right-hand sides, of as many rows");
  describe(x, "solve", b.dtype, b);
}

void run_solve(const View& a, const View& b, const View& x) {
  const Index n = side(a), columns = b.shape[b.ndim - 1], *steps = last_two(b);
  for_each_matrix<3>({&a, &b, &x}, cubed(n) + n * n * columns, [&](auto tag, char* const* data) {
    using T = typename decltype(tag)::type;
    const Factors<T> factors(data[0], last_two(a), n);
    if (factors.singular) throw Singular("solve: a matrix is singular");
    T* const to = reinterpret_cast<T*>(data[2]);
    for (Index r = 0; r < n; ++r)
      for (Index k = 0; k < columns; ++k)
        to[r * columns + k] = *reinterpret_cast<const T*>(data[1] + factors.rows[r] * steps[0] + k * steps[1]);
    factors.solve(to, n, columns);
  });
}

void check_inv(const View& a, View& inverse) {
  check_square("inv", a);
  describe(inverse, "inv", a.dtype, a);
}

void run_inv(const View& a, const View& inverse) {
  const Index n = side(a);
  for_each_matrix<2>({&a, &inverse}, 3 * cubed(n), [&](auto tag, char* const* data) {
    using T = typename decltype(tag)::type;
    const Factors<T> factors(data[0], last_two(a), n);
    if (factors.singular) throw Singular("inv: a matrix is singular");
    T* const to = reinterpret_cast<T*>(data[1]);
    std::fill_n(to, n * n, T(0));
    for (Index r = 0; r < n; ++r) to[r * n + factors.rows[r]] = T(1);
    factors.solve(to, n, n);
  });
}

void check_det(const View& a, View& determinant) {
  check_square("det", a);
  describe(determinant, "det", a.dtype, a.ndim - 2, a.shape);
}

void run_det(const View& a, const View& determinant) {
  const Index n = side(a);
  for_each_matrix<2>({&a, &determinant}, cubed(n), [&](auto tag, char* const* data) {
    using T = typename decltype(tag)::type;
    const Factors<T> factors(data[0], last_two(a), n);
    *reinterpret_cast<T*>(data[1]) = factors.singular ? T(0) : factors.product(n);
  });
}

void check_slogdet(const View& a, View& both) {
  check_square("slogdet", a);
  Index shape[kMaxDims];
  std::copy_n(a.shape, a.ndim - 2, shape);
  shape[a.ndim - 2] = 2;
  describe(both, "slogdet", a.dtype, a.ndim - 1, shape);
}

void run_slogdet(const View& a, const View& both) {
  const Index n = side(a);
  for_each_matrix<2>({&a, &both}, cubed(n), [&](auto tag, char* const* data) {
    using T = typename decltype(tag)::type;
    const Factors<T> factors(data[0], last_two(a), n);
    T* const to = reinterpret_cast<T*>(data[1]);
    if (factors.singular) {
      to[0] = T(0);
      to[1] = -std::numeric_limits<T>::infinity();
      return;
    }
    using V = simd::Vec<T>;
    constexpr Index lanes = simd::kLanes<T>;
    static_assert(kMostSide % lanes == 0);
    T magnitudes[kMostSide] = {}, sum = T(0);
    bool odd = factors.odd;
    for (Index i = 0; i < n; ++i) {
      odd ^= factors.lu[i][i] < 0;
      magnitudes[i] = std::fabs(factors.lu[i][i]);
    }
    for (Index i = 0; i < n; i += lanes) simd::store(magnitudes + i, functions::Log{}(simd::load<V>(magnitudes + i)));
    for (Index i = 0; i < n; ++i) sum += magnitudes[i];
    to[0] = odd ? T(-1) : T(1);
    to[1] = sum;
  });
}

}  // namespace minimeta

// Matrix products on the register tile (tile.hpp), in blocks that stay in a cache:
//
//   for a block of columns of c, for a block of terms of the inner index (b's block: the second cache)
//     for a block of rows (a's block: there, too), for a panel of b (the first cache), for a few rows: the tile
//
// A small product is a single block, and b is read where it lies. A large b that many rows read is
// copied, so that its panels are contiguous; if its own rows lie far apart, fewer rows pay for that.
// The factors change places, c^T = b^T a^T, if that copies less. None of this shows in a result:
// each element is summed in increasing order of the inner index, in the chains and groups of
// product.hpp. A product by a vector has another order (vector_product.hpp).
#include "matmul.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "finishing.hpp"
#include "loop.hpp"
#include "parallel.hpp"
#include "product.hpp"
#include "small_products.hpp"
#include "vector_product.hpp"

namespace minimeta {
namespace {

constexpr Index kColumns = 240, kTerms = 2 * kMatrixChain;
constexpr Index kManyPieces = 8;  // enough of them to be shared out evenly
constexpr Index kFar = 256 * 1024;  // bytes: a larger factor is fetched ahead
constexpr Index kLarge = 64 * 1024;  // bytes: a larger b does not stay in the first cache
constexpr Index kApart = 4096;  // bytes: rows so far apart lie in pages of their own

// A matrix with strides in elements.
template <class T> struct Matrix {
  T* data;
  Index row, column;
  Matrix transposed() const { return {data, column, row}; }
  Matrix at(Index i, Index j) const { return {data + i * row + j * column, row, column}; }
};

template <class T> struct Factors {
  Index m, k, n;
  Matrix<const T> a, b;
  Matrix<T> c;
  const Finishing<T>* finishing = nullptr;  // so many of them
  Index finishes = 0;
  Factors traded() const { return {n, k, m, b.transposed(), a.transposed(), c.transposed()}; }
  VectorProduct<T> by_vector() const { return {m, k, a.data, a.row, a.column, b.data, b.row, c.data, c.row}; }
};

// For n columns from the j-th on, terms [p, p + now) of each; its rows begin where the tables say.
template <class T>
Product<T> part_of(const Factors<T>& f, const Index* a_rows, const Index* c_rows, Index j, Index p, Index now) {
  return {{1, 1, now},     f.a.at(0, p).data, a_rows, {0, 0, f.a.column}, f.b.at(p, j).data,
          {0, 0, f.b.row}, f.c.at(0, j).data, c_rows, f.c.column,         false};
}

// Where a product of no more than one block of columns goes on after its first block, in a and in b,
// so that they are fetched ahead of the tiles; only in one piece of memory. The blocks of a are rows,
// or terms, if those lie a row apart.
template <class T> bool reads_ahead(const Factors<T>& f, Ahead (&ahead)[2]) {
  constexpr Index panel = 3 * simd::kLanes<T>;
  const Index tiles = (f.m + 7) / 8 * ((f.n + panel - 1) / panel) * ((f.k + kMatrixChain - 1) / kMatrixChain);
  const auto after = [&](const T* x, Index block, Index size) {
    const char* const end = reinterpret_cast<const char*>(x + size);
    if (block >= size || size * Index{sizeof(T)} < kFar) return Ahead{end, end, 0};
    return Ahead{reinterpret_cast<const char*>(x + block), end, size * Index{sizeof(T)} / tiles + 64};
  };
  const bool rows = f.a.column == 1 && f.a.row == f.k && f.k <= kTerms, terms = f.a.row == 1 && f.a.column == f.m;
  ahead[0] = after(f.a.data, rows ? kBlockRows * f.k : kTerms * f.m, rows || terms ? f.m * f.k : 0);
  ahead[1] = after(f.b.data, kTerms * f.n, f.b.column == 1 && f.b.row == f.n ? f.k * f.n : 0);
  return f.n <= kColumns && ahead[0].step + ahead[1].step > 0;
}

// Apart from what small products run, whose time is the code around the tile.
template <class T> __attribute__((noinline)) void product_in_blocks(const Factors<T>& f, const Index* a_rows,
                                                                    const Index* c_rows, bool copy, Ahead* ahead) {
  Scratch<T> scratch;
  for (Index j = 0; j < f.n; j += kColumns) {
    const Index n = std::min(kColumns, f.n - j);
    Groups<T> groups(f.c.at(0, j).data, c_rows, f.c.column, f.m, n, false);
    const PartFinishes<T> finishes(f.finishing, f.finishes, 0, j);
    for (Index p = 0; p < f.k; p += kTerms) {
      const Index now = std::min(kTerms, f.k - p);
      spend(work({f.m, n, now}) / kAtOnce);
      Product<T> part = part_of(f, a_rows, c_rows, j, p, now);
      part.ahead = ahead;
      part.finishing = finishes.each;
      part.finishes = p + now == f.k ? finishes.n : 0;
      part.accumulate = groups.next((now + kMatrixChain - 1) / kMatrixChain);
      multiply(part, f.m, n, f.b.column, copy, scratch, kMatrixChain);
    }
    groups.finish();
  }
}

template <class T> void product(const Factors<T>& f) {
  const bool large = f.k * f.n * Index{sizeof(T)} > kLarge, apart = f.b.row * Index{sizeof(T)} >= kApart;
  const bool copy = f.b.column != 1 || (large && f.m >= (apart ? kOften : 2 * kBlockRows));

  Index few[256];  // a small product takes less time than an allocation
  std::unique_ptr<Index[]> many(f.m > 128 ? new Index[static_cast<std::size_t>(2 * f.m)] : nullptr);
  Index *a_rows = many ? many.get() : few, *c_rows = a_rows + f.m;
  for (Index i = 0, a = 0, c = 0; i < f.m; ++i, a += f.a.row, c += f.c.row) {
    a_rows[i] = a;
    c_rows[i] = c;
  }
  Ahead factors[2];
  Ahead* const ahead = reads_ahead(f, factors) ? factors : nullptr;
  if (large) return product_in_blocks(f, a_rows, c_rows, copy, ahead);
  Scratch<T> scratch;
  Product<T> whole = part_of(f, a_rows, c_rows, 0, 0, f.k);
  whole.ahead = ahead;
  whole.finishing = f.finishing;
  whole.finishes = f.finishes;
  multiply(whole, f.m, f.n, f.b.column, copy, scratch, kMatrixChain);
}

// The same product on several threads: the longer side of c is shared out. Many columns are dealt
// out in pieces, so that a thread that loses its core to another process takes fewer; each piece
// copies its part of b alone, where pieces of rows would all copy the whole.
template <class T> void shared_product(const Factors<T>& f) {
  constexpr Index panel = 2 * simd::kLanes<T>, piece = 4 * panel;
  const auto part = [&](Index i, Index m, Index j, Index n) {
    const PartFinishes<T> finishes(f.finishing, f.finishes, i, j);
    product<T>({m, f.k, n, f.a.at(i, 0), f.b.at(0, j), f.c.at(i, j), finishes.each, finishes.n});
  };
  const auto columns = [&](Index first, Index last) { part(0, f.m, first, std::min(f.n, last) - first); };
  const Index steps = work({f.m, f.n, f.k}) / kAtOnce;
  if (f.n == 1)
    return parallel_for(f.m, steps, [&](Index first, Index last) {
      VectorProduct<T> q = f.by_vector();
      q.m = last - first;
      q.a += first * q.row;
      q.c += first * q.c_step;
      multiply(q);
    });
  if (deserved_threads(std::max(f.m, f.n), steps) == 1) return product(f);
  if (f.n >= kManyPieces * piece)
    for_each_in_parallel((f.n + piece - 1) / piece, steps, [&](Index i) { columns(i * piece, (i + 1) * piece); });
  else if (f.m >= f.n)
    parallel_for(f.m, steps, [&](Index first, Index last) { part(first, last - first, 0, f.n); });
  else
    parallel_for((f.n + panel - 1) / panel, steps,
                 [&](Index first, Index last) { columns(first * panel, last * panel); });
}

// A rough cost of each term, in multiply-adds of quarters of vectors: those, the copy of b if its
// columns do not lie side by side, and the single elements of c if its own columns do not. Columns
// that fill no vector take one by themselves.
template <class T> Index cost(const Factors<T>& f) {
  constexpr Index lanes = simd::kLanes<T>;
  const Index quarters = f.n < lanes ? 4 : f.n / lanes * 4 + detail::quarters_of_rest<T>(f.n);
  return (f.m + (f.b.column != 1 ? 5 : 0)) * quarters + (f.c.column != 1 ? 8 * f.m * f.n / std::max<Index>(f.k, 1) : 0);
}

// The last two axes.
template <class T> Factors<T> factors(const View& x, const View& y, const View& result) {
  const int d = x.ndim - 2;
  // A stride along an axis of size 1 is never taken; 1 says that it is as good as contiguous.
  const auto step = [=](const View& v, int axis) {
    return v.shape[axis] == 1 ? 1 : v.strides[axis] / Index{sizeof(T)};
  };
  return {x.shape[d],
          x.shape[d + 1],
          y.shape[d + 1],
          {reinterpret_cast<const T*>(x.data), step(x, d), step(x, d + 1)},
          {reinterpret_cast<const T*>(y.data), step(y, d), step(y, d + 1)},
          {reinterpret_cast<T*>(result.data), step(result, d), step(result, d + 1)}};
}

// Exchanges the factors if that is faster, and returns whether it did. A vector goes to the right.
template <class T> bool trade(Factors<T>& f) {
  const Factors<T> traded = f.traded();
  const bool better = f.m == 1 || f.n == 1 ? f.n != 1 : cost(traded) < cost(f);
  if (better) f = traded;
  return better;
}

// Products of one shape, whose factors and results lie so many bytes apart.
template <class T> void small_products(const Factors<T>& f, char* const* data, const Index* strides, Index products) {
  constexpr Index element = sizeof(T);
  SmallProducts<T> small({f.m, f.k, f.a.row, f.a.column, strides[0] / element},
                         {f.k, f.n, f.b.row, f.b.column, strides[1] / element},
                         {f.m, f.n, f.c.row, f.c.column, strides[2] / element});
  small.run(reinterpret_cast<const T*>(data[0]), reinterpret_cast<const T*>(data[1]), reinterpret_cast<T*>(data[2]),
            products);
}

template <class T> void matmul(const View& x, const View& y, const View& result) {
  const int d = x.ndim - 2;
  Factors<T> f = factors<T>(x, y, result);
  const bool traded = trade(f);
  if (d == 0) return shared_product(f);

  Loop<3> batch;
  const View& left = traded ? y : x;
  const View& right = traded ? x : y;
  plan<3>(batch, {&left, &right, &result}, 0, d);
  const Index products = count(d, x.shape);
  parallel_for(products, work({count(result), f.k}) / kAtOnce, [&](Index first, Index last) {
    char* const data[3] = {left.data, right.data, result.data};
    for_each_row(batch, data, first, last, [&](char* const* row, const Index* strides, Index size) {
      if (SmallProducts<T>::fits(f.m, f.k, f.n, size)) return small_products(f, row, strides, size);
      Factors<T> g = f;
      for (Index i = 0; i < size; ++i) {
        g.a.data = reinterpret_cast<const T*>(row[0] + i * strides[0]);
        g.b.data = reinterpret_cast<const T*>(row[1] + i * strides[1]);
        g.c.data = reinterpret_cast<T*>(row[2] + i * strides[2]);
        shared_product(g);
      }
    });
  });
}

template <class T> class Prepared final : public PreparedMatmul {
 public:
  Prepared(const Factors<T>& f, bool traded)
      : traded_(traded), product_(f.m, f.k, f.n, {f.a.row, f.a.column}, {f.b.row, f.b.column}, f.c.row) {}

  void run(const char* x, const char* y, char* result) const override {
    if (traded_) std::swap(x, y);
    product_.run(reinterpret_cast<const T*>(x), reinterpret_cast<const T*>(y), reinterpret_cast<T*>(result));
  }

 private:
  bool traded_;
  TiledProduct<T> product_;
};

template <class T> class PreparedByVector final : public PreparedMatmul {
 public:
  PreparedByVector(const Factors<T>& f, bool traded)
      : traded_(traded), product_(f.by_vector()), is_block_(is_one_block(product_)) {}

  void run(const char* x, const char* y, char* result) const override {
    if (traded_) std::swap(x, y);
    const T *const a = reinterpret_cast<const T*>(x), *const vector = reinterpret_cast<const T*>(y);
    T* const c = reinterpret_cast<T*>(result);
    if (is_block_) return multiply_block(product_, a, vector, c);
    VectorProduct<T> q = product_;
    q.a = a;
    q.x = vector;
    q.c = c;
    multiply(q);
  }

 private:
  bool traded_;
  VectorProduct<T> product_;
  bool is_block_;
};

template <class T> std::unique_ptr<PreparedMatmul> prepare(const View& x, const View& y, const View& result) {
  Factors<T> f = factors<T>(x, y, result);
  const bool traded = trade(f);
  const bool small = work({f.m, f.n, f.k}) / kAtOnce < 2 * kWorthWaking && f.k * f.n * Index{sizeof(T)} <= kLarge;
  if (small && f.n == 1) return std::make_unique<PreparedByVector<T>>(f, traded);
  if (!small || !TiledProduct<T>::fits(f.m, f.k, f.n, f.c.column)) return nullptr;
  return std::make_unique<Prepared<T>>(f, traded);
}

}  // namespace

std::unique_ptr<PreparedMatmul> prepare_matmul(const View& x, const View& y, const View& result) {
  std::unique_ptr<PreparedMatmul> prepared;
  if (x.ndim == 2 && count(result) > 0)
    with_float(x.dtype, [&](auto tag) { prepared = prepare<typename decltype(tag)::type>(x, y, result); });
  return prepared;
}

void swap_last_axes(View& matrix) {
  if (matrix.ndim < 2) return;
  std::swap(matrix.shape[matrix.ndim - 1], matrix.shape[matrix.ndim - 2]);
  std::swap(matrix.strides[matrix.ndim - 1], matrix.strides[matrix.ndim - 2]);
}

void check_matmul(const View& x, const View& y, View& result) {
  require_float("matmul", x);
  require_same_dtype("matmul", x, y);
  const int d = x.ndim - 2;
  bool fits = d >= 0 && y.ndim == x.ndim && x.shape[d + 1] == y.shape[d];
  for (int i = 0; fits && i < d; ++i) fits = x.shape[i] == y.shape[i];
  require(fits, "matmul", "shapes must be (..., m, k) and (..., k, n)");
  Shape shape;
  shape.ndim = x.ndim;
  std::copy_n(x.shape, d + 1, shape.size);
  shape.size[d + 1] = y.shape[d + 1];
  describe(result, "matmul", x.dtype, shape.ndim, shape.size);
}

template <class T> void run_finished_matmul(const View& x, const View& y, const Finishing<T>* finishing, Index finishes,
                                            const View& result) {
  Factors<T> f = factors<T>(x, y, result);
  f.finishing = finishing;
  f.finishes = finishes;
  shared_product(f);
}

template void run_finished_matmul(const View&, const View&, const Finishing<float>*, Index, const View&);
template void run_finished_matmul(const View&, const View&, const Finishing<double>*, Index, const View&);

void run_matmul(const View& x, const View& y, const View& result) {
  if (count(result) == 0) return;
  with_float(x.dtype, [&](auto tag) { matmul<typename decltype(tag)::type>(x, y, result); });
}

}  // namespace minimeta

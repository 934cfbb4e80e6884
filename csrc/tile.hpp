// One register tile runs every product: matrices, and the three forms of a convolution.
//
//   c[i, j] (+)= sum over s, t, p of  a[i; s, t, p] * b[s, t, p; j]
//
// The reduction is three nested loops, outermost first (images, rows of a window, terms that lie evenly apart); a matrix
// product needs only the last. A few rows of c by a panel of two or three vectors stay in registers while they run. a is
// only ever broadcast, one element at a time, so its rows may begin anywhere (a table says where) and its steps may be
// any; the rows of b are contiguous vectors. So no operand is ever unfolded into a matrix for the sake of the product.
//
// The last vector of a panel ends with its last column, so that it may overlap the one before: those columns are
// computed twice. Fewer columns than a vector has are computed by the same tile with narrower vectors, and up to half of
// one more by a tile whose last vector is a half: a processor with multipliers of half a vector is done sooner, and to any
// other it is the same.
//
// Each element of c is a sum in the order of the loops. At most 128 terms (of a convolution 256) are one chain of fused
// multiply-adds that begins at 0, at most 16 chains are added one after another, and such groups are added pairwise. Where
// there are more terms, a chain takes whole inner loops, as many as it has room for, or else so many steps of one. So the
// error of n terms is at most 144 + log2(n / 2048) roundings of the sum of their magnitudes (of a convolution 272 +
// log2(n / 4096)), where a single chain has n.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "array.hpp"
#include "simd.hpp"
#include "transpose.hpp"

namespace minimeta {

template <class T> struct Product {
  Index counts[3];  // of the three loops
  const T* a;
  const Index* a_rows;  // where row i of a begins, in elements
  Index a_steps[3];
  const T* b;
  Index b_steps[3];
  T* c;
  const Index* c_rows;
  Index c_column;  // how far two columns of c lie apart
  bool accumulate;    // or c is written over
};

// The longest chains. Those of matrices are as accurate as OpenBLAS's, which sums some columns in chains of 320 terms and
// others in two of half that. The chains of a convolution take a row of 3 x 64 taps at once: cutting it costs 5 % of a step.
constexpr Index kMatrixChain = 128, kChain = 256;  // terms
constexpr Index kGroup = 16;                       // chains

namespace detail {

// A row of a tile: so many vectors of so many lanes, and perhaps half a one.
template <int Vectors, int Lanes, bool Half = false> struct Row {
  static constexpr int vectors = Vectors, lanes = Lanes, half = Half ? Lanes / 2 : 0;
  static constexpr int width = Vectors * Lanes + half, registers = Vectors + Half;
};

// Rows of a tile. Its sums, a row of b and one element of a share the registers; more than eight rows would not find a
// register for where each of them begins.
template <class Row> constexpr int kTileRows = std::min(8, (simd::kRegisters - Row::registers - 1) / Row::registers);

// What the innermost loop does not read. Beside more than six rows no register is left for it, and GCC would move it to
// one of vectors or masks: to have it back is to wait for all the multiply-adds that are in the queue before it, when the
// next ones cannot begin without it. What is volatile is in memory.
template <int Rows, class X> using Kept = std::conditional_t<(Rows > 6), volatile X, X>;

// The loops are of the kind that runs at least once: a way around them would cost a copy of the sums.
template <class T, int Rows, class Row> void tile(const Product<T>& product, Index first, Index columns) {
  constexpr int Vectors = Row::vectors, Lanes = Row::lanes;
  constexpr bool half = Row::half > 0;
  using Vec = simd::Vec<T, Lanes>;
  using Half = simd::Vec<T, std::max(1, Row::half)>;
  Kept<Rows, const Product<T>*> kept = &product;
  Kept<Rows, Index> row = first, s = 0, t = 0;
  const auto at = [=](int j) { return half || j + 1 < Vectors || Vectors == 1 ? Index{j} * Lanes : columns - Lanes; };
  [[maybe_unused]] const Index rest = columns - Row::half;  // where the half begins
  Index below[Rows];  // the first row of a
  MINIMETA_UNROLL
  for (int i = 0; i < Rows; ++i) below[i] = product.a_rows[first + i] - product.a_rows[first];
  Vec sum[Rows][Vectors];
  [[maybe_unused]] Half half_sum[Rows];
  MINIMETA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    MINIMETA_UNROLL
    for (int j = 0; j < Vectors; ++j) sum[i][j] = Vec{};
    if constexpr (half) half_sum[i] = Half{};
  }
  do {
    t = 0;
    do {
      const Product<T>& q = *kept;
      const T* a = q.a + q.a_rows[row] + s * q.a_steps[0] + t * q.a_steps[1];
      const T* b = q.b + s * q.b_steps[0] + t * q.b_steps[1];
      Index left = q.counts[2];
      do {
        Vec b_row[Vectors];
        MINIMETA_UNROLL
        for (int j = 0; j < Vectors; ++j) b_row[j] = simd::load<Vec>(b + at(j));
        [[maybe_unused]] Half half_row;
        if constexpr (half) half_row = simd::load<Half>(b + rest);
        MINIMETA_UNROLL
        for (int i = 0; i < Rows; ++i) {
          const Vec scale = simd::broadcast<Vec>(a[i == 0 ? 0 : below[i]]);
          MINIMETA_UNROLL
          for (int j = 0; j < Vectors; ++j) sum[i][j] = simd::fma(scale, b_row[j], sum[i][j]);
          if constexpr (half) half_sum[i] = simd::fma(simd::halves(scale).low, half_row, half_sum[i]);
        }
        a += q.a_steps[2];
        b += q.b_steps[2];
      } while (--left > 0);
      t = t + 1;
    } while (t < kept->counts[1]);
    s = s + 1;
  } while (s < kept->counts[0]);
  const Product<T>& q = *kept;
  const Index* const c_rows = q.c_rows + row;
  if (q.accumulate) {  // all is read before any of it is written, as vectors may overlap
    MINIMETA_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const T* const c = q.c + c_rows[i];
      MINIMETA_UNROLL
      for (int j = 0; j < Vectors; ++j) sum[i][j] = simd::load<Vec>(c + at(j)) + sum[i][j];
      if constexpr (half) half_sum[i] = simd::load<Half>(c + rest) + half_sum[i];
    }
  }
  MINIMETA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    T* const c = q.c + c_rows[i];
    MINIMETA_UNROLL
    for (int j = 0; j < Vectors; ++j) simd::store(c + at(j), sum[i][j]);
    if constexpr (half) simd::store(c + rest, half_sum[i]);
  }
}

template <class T> using Tile = void (*)(const Product<T>&, Index, Index);

template <class T, class Row, int... Rows> constexpr auto tiles_of(std::integer_sequence<int, Rows...>) {
  return std::array<Tile<T>, sizeof...(Rows)>{tile<T, Rows + 1, Row>...};
}
template <class T, class Row>
constexpr auto tiles = tiles_of<T, Row>(std::make_integer_sequence<int, kTileRows<Row>>{});

// go(tile, i, n) for blocks of n rows, dealt out evenly, so that 7 are 4 and 3, not 6 and a slow 1.
template <class T, class Row, class Go> void deal_rows(Index first, Index last, Go go) {
  constexpr Index most = kTileRows<Row>;
  const Index blocks = (last - first + most - 1) / most;
  if (blocks == 0) return;
  const Index rows = (last - first) / blocks, larger = (last - first) % blocks;  // so many blocks take a row more
  const auto row_tile = [](Index n) { return tiles<T, Row>[static_cast<std::size_t>(n - 1)]; };
  Index i = first;
  for (const Index end = first + larger * (rows + 1); i < end; i += rows + 1) go(row_tile(rows + 1), i, rows + 1);
  for (; i < last; i += rows) go(row_tile(rows), i, rows);
}

// A tile that does not fit c as it lies (some of its columns do not exist, or they lie apart) is computed beside it.
template <class T, class Row> void panel(const Product<T>& q, Index first, Index last, Index columns) {
  if (columns >= Row::lanes && q.c_column == 1)
    return deal_rows<T, Row>(first, last, [&](Tile<T> tile, Index i, Index) { tile(q, i, columns); });
  constexpr Index most = kTileRows<Row>, width = Row::width;
  alignas(64) T beside[most * width];
  Index beside_rows[most];
  for (Index i = 0; i < most; ++i) beside_rows[i] = i * width;
  Product<T> r = q;
  r.c = beside;
  r.c_rows = beside_rows;
  r.accumulate = false;
  deal_rows<T, Row>(first, last, [&](Tile<T> tile, Index i, Index n) {
    r.a_rows = q.a_rows + i;
    tile(r, 0, std::max<Index>(columns, Row::lanes));
    for (Index k = 0; k < n; ++k) {
      T* const c = q.c + q.c_rows[i + k];
      const T* const sums = beside + k * width;
      if (q.accumulate)
        for (Index j = 0; j < columns; ++j) c[j * q.c_column] += sums[j];
      else
        for (Index j = 0; j < columns; ++j) c[j * q.c_column] = sums[j];
    }
  });
}

// The next narrower vector: a half, down to the smallest register, then single elements.
template <class T> constexpr int narrower(int lanes) { return lanes * int{sizeof(T)} > 16 ? lanes / 2 : 1; }

// go(row), the row for at most three vectors of columns; of narrower vectors if they do not fill one, unless there is
// memory to fill it.
template <class T, int Lanes = simd::kLanes<T>, class Go> void with_tiles(Index columns, bool padded, Go go) {
  if constexpr (Lanes > 1)
    if (columns < Lanes && !padded) return with_tiles<T, narrower<T>(Lanes)>(columns, padded, go);
  if (columns <= Lanes) return go(Row<1, Lanes>{});
  constexpr bool halves = Lanes * sizeof(T) == 64;  // no multiplier is narrower than half of that
  if constexpr (halves) {
    if (columns <= Lanes + Lanes / 2) return go(Row<1, Lanes, true>{});
    if (columns > 2 * Lanes && columns <= 2 * Lanes + Lanes / 2) return go(Row<2, Lanes, true>{});
  }
  if (columns <= 2 * Lanes)
    go(Row<2, Lanes>{});
  else
    go(Row<3, Lanes>{});
}

}  // namespace detail

// Aligned memory that grows to what the largest product so far has asked for; a little of it takes no allocation.
template <class T> class Scratch {
 public:
  T* take(Index size) {
    if (size <= kFew) return few_;
    if (size > size_) {
      many_.reset(static_cast<T*>(::operator new(static_cast<std::size_t>(size) * sizeof(T), kAlignment)));
      size_ = size;
    }
    return many_.get();
  }

  // Gives it back if it is more than so much.
  void keep(Index most) {
    if (size_ <= most) return;
    many_.reset();
    size_ = 0;
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  static constexpr Index kFew = 16 * 1024 / sizeof(T);
  struct Free {
    void operator()(T* memory) const { ::operator delete(memory, kAlignment); }
  };
  alignas(64) T few_[kFew];
  std::unique_ptr<T, Free> many_;
  Index size_ = 0;
};

// The sum of groups, pairwise: level j holds the sum of 2^j groups, or nothing, like a digit of a binary counter. The group
// that is being summed is in c.
template <class T> class Groups {
 public:
  // Of an m x n part of c, which may hold the beginning of a sum.
  Groups(T* c, const Index* rows, Index column, Index m, Index n, bool begun)
      : c_(c), rows_(rows), column_(column), m_(m), n_(n), begun_(begun) {}

  // Whether c accumulates the next product, of so many chains. Otherwise they begin a group, and c is overwritten.
  bool next(Index chains) {
    if (chains_ > 0 && chains_ + chains > kGroup) {
      close();
      chains_ = 0;
      begun_ = false;
    }
    const bool accumulate = begun_ || chains_ > 0;
    chains_ += chains;
    return accumulate;
  }

  void finish() {
    for (std::size_t j = 0; j < levels_.size(); ++j)
      if (closed_ >> j & 1) for_each(levels_[j].get(), [](T& level, T& c) { c = level + c; });
  }

 private:
  void close() {
    std::size_t j = 0;
    for (; closed_ >> j & 1; ++j) for_each(levels_[j].get(), [](T& level, T& c) { c = level + c; });
    if (j == levels_.size()) levels_.emplace_back(new T[static_cast<std::size_t>(m_ * n_)]);
    for_each(levels_[j].get(), [](T& level, T& c) { level = c; });
    ++closed_;
  }

  template <class Body> void for_each(T* level, Body body) {
    for (Index i = 0; i < m_; ++i)
      for (Index j = 0; j < n_; ++j) body(level[i * n_ + j], c_[rows_[i] + j * column_]);
  }

  T* const c_;
  const Index* const rows_;
  const Index column_, m_, n_;
  bool begun_;
  Index chains_ = 0;
  std::size_t closed_ = 0;
  std::vector<std::unique_ptr<T[]>> levels_;
};

constexpr Index kOften = 48;  // rows that pay for a copy of the panel they all read

namespace detail {

// The steps of each loop that a chain takes.
struct ChainSteps {
  ChainSteps(const Index (&counts)[3], Index room) : counts{counts[0], counts[1], counts[2]} {
    for (int d = 2; d >= 0; --d) {
      steps[d] = std::clamp<Index>(room, 1, counts[d]);
      room /= counts[d];
    }
  }

  Index chains() const {
    Index n = 1;
    for (int d = 0; d < 3; ++d) n *= (counts[d] + steps[d] - 1) / steps[d];
    return n;
  }

  // go() for each chain of a product, which q is meanwhile.
  template <class T, class Go> void for_each(Product<T>& q, Go go) const {
    const T *const a = q.a, *const b = q.b;
    Index at[3];
    for (at[0] = 0; at[0] < counts[0]; at[0] += steps[0])
      for (at[1] = 0; at[1] < counts[1]; at[1] += steps[1])
        for (at[2] = 0; at[2] < counts[2]; at[2] += steps[2]) {
          q.a = a;
          q.b = b;
          for (int d = 0; d < 3; ++d) {
            q.counts[d] = std::min(steps[d], counts[d] - at[d]);
            q.a += at[d] * q.a_steps[d];
            q.b += at[d] * q.b_steps[d];
          }
          go();
        }
    q.a = a;
    for (int d = 0; d < 3; ++d) q.counts[d] = counts[d];
  }

  Index counts[3], steps[3];
};

// A panel of more terms than a chain has, which q is one after the other of meanwhile. What is done rarely stands by itself,
// so that small products do not pay for it.
template <class T, class Row>
__attribute__((noinline)) void panel_in_chains(Product<T>& q, Index first, Index last, Index columns, bool begun,
                                               Index chain) {
  Groups<T> groups(q.c, q.c_rows + first, q.c_column, last - first, columns, begun);
  ChainSteps(q.counts, chain).for_each(q, [&] {
    q.accumulate = groups.next(1);
    panel<T, Row>(q, first, last, columns);
  });
  groups.finish();
}

// How many columns to take next, where so many are left. Vectors go in pairs, in a trio where their number is odd, and
// alone, too few sums to keep the multipliers busy, only where there is no other.
template <class T> Index panel_columns(Index left) {
  constexpr Index lanes = simd::kLanes<T>;
  return std::min(left, (left + lanes - 1) / lanes % 2 ? 3 * lanes : 2 * lanes);
}

// The panel's rows of b one after another, filled up with zeros.
template <class T> void pack(const Product<T>& q, Index b_column, Index columns, Index width, T* panel) {
  if (columns < width) std::fill_n(panel, q.counts[0] * q.counts[1] * q.counts[2] * width, T(0));
  for (Index s = 0; s < q.counts[0]; ++s)
    for (Index t = 0; t < q.counts[1]; ++t, panel += q.counts[2] * width) {
      const T* const b = q.b + s * q.b_steps[0] + t * q.b_steps[1];
      if (q.b_steps[2] == 1 && b_column != 1) {
        transpose(b, b_column, columns, q.counts[2], panel, width);
      } else {
        for (Index p = 0; p < q.counts[2]; ++p)
          for (Index j = 0; j < columns; ++j) panel[p * width + j] = b[p * q.b_steps[2] + j * b_column];
      }
    }
}

}  // namespace detail

// How many chains a product of so many terms has, if none is longer than kChain.
inline Index chains(const Index (&counts)[3]) { return detail::ChainSteps(counts, kChain).chains(); }

namespace detail {

// c = a b, or c += a b, in one chain or in several: in two functions, so that small products do not pay for chains.
template <class T, bool OneChain>
void multiply_panels(Product<T>& q, Index m, Index n, Index b_column, bool copy, Scratch<T>& scratch, Index chain) {
  constexpr Index lanes = simd::kLanes<T>, rows = 96;  // of a that stay in the second cache
  const Index terms = q.counts[0] * q.counts[1] * q.counts[2];
  const bool padded = n < lanes && std::min(m, terms) >= kOften;
  copy = copy || padded;
  // Panels that several blocks of rows read are all kept.
  T* const packed = copy ? scratch.take(std::max(lanes, m > rows ? n : std::min(n, 3 * lanes)) * terms) : nullptr;
  // One q is changed for every panel: a copy of it would wait for the memory that it was just written to.
  const T* const b = q.b;
  T* const c = q.c;
  const Index steps[3] = {q.b_steps[0], q.b_steps[1], q.b_steps[2]};
  [[maybe_unused]] const bool begun = q.accumulate;
  for (Index i = 0; i < m; i += rows)
    for (Index j = 0, columns; j < n; j += columns) {
      columns = panel_columns<T>(n - j);
      q.b = b + j * b_column;
      q.c = c + j * q.c_column;
      for (int d = 0; d < 3; ++d) q.b_steps[d] = steps[d];
      if (copy) {
        const Index width = padded ? lanes : columns;
        T* const target = packed + (m > rows ? j * terms : 0);
        if (i == 0) pack(q, b_column, columns, width, target);
        q.b = target;
        q.b_steps[2] = width;
        q.b_steps[1] = width * q.counts[2];
        q.b_steps[0] = q.b_steps[1] * q.counts[1];
      }
      with_tiles<T>(columns, padded, [&](auto row) {
        if constexpr (OneChain)
          panel<T, decltype(row)>(q, i, std::min(m, i + rows), columns);
        else
          panel_in_chains<T, decltype(row)>(q, i, std::min(m, i + rows), columns, begun, chain);
      });
    }
}

}  // namespace detail

// c = a b, or c += a b, for m rows and n columns. b is copied panel by panel if it is to be, which it must where its
// columns do not lie side by side; so are in any case the few columns of many rows, to fill a vector.
template <class T>
void multiply(Product<T> q, Index m, Index n, Index b_column, bool copy, Scratch<T>& scratch, Index chain = kChain) {
  const Index terms = q.counts[0] * q.counts[1] * q.counts[2];
  if (terms == 0) {
    for (Index i = 0; i < m && !q.accumulate; ++i)
      for (Index j = 0; j < n; ++j) q.c[q.c_rows[i] + j * q.c_column] = 0;
  } else if (terms <= chain) {
    detail::multiply_panels<T, true>(q, m, n, b_column, copy, scratch, chain);
  } else {
    detail::multiply_panels<T, false>(q, m, n, b_column, copy, scratch, chain);
  }
}

// A small matrix product that is taken again and again: which tile computes which part of c is decided once. The columns
// of c lie side by side, as do those of b, or else b's rows do, and b is turned first.
template <class T> class TiledProduct {
 public:
  static bool fits(Index m, Index k, Index n, Index c_column) {
    const bool padded = n < simd::kLanes<T> && std::min(m, k) >= kOften;
    return k > 0 && k <= kMatrixChain * kGroup && c_column == 1 && m <= 96 && !padded;
  }

  TiledProduct(Index m, Index k, Index n, const Index (&a)[2], const Index (&b)[2], Index c_row) : b_column_(b[1]) {
    for (Index i = 0; i < m; ++i) rows_.push_back(i * a[0]);
    for (Index i = 0; i < m; ++i) rows_.push_back(i * c_row);
    product_ = {{1, 1, k}, nullptr, nullptr, {0, 0, a[1]}, nullptr, {0, 0, b[0]}, nullptr, nullptr, 1, false};
    for (Index j = 0, columns; j < n; j += columns) {
      columns = detail::panel_columns<T>(n - j);
      detail::with_tiles<T>(columns, false, [&](auto row) {
        detail::deal_rows<T, decltype(row)>(0, m, [&](detail::Tile<T> tile, Index i, Index) {
          parts_.push_back({tile, i, j, columns});
        });
      });
    }
  }

  void run(const T* a, const T* b, T* c) const {
    const Index terms = product_.counts[2];
    Product<T> q = product_;
    q.a_rows = rows_.data();
    q.c_rows = q.a_rows + rows_.size() / 2;
    const T* panel_b = nullptr;
    Index panel = -1;
    for (const Part& part : parts_) {
      if (part.column != panel) {
        panel = part.column;
        panel_b = q.b = b + panel * b_column_;
        q.c = c + panel;
        if (b_column_ != 1) {
          static thread_local Scratch<T> scratch;
          T* const turned = scratch.take(part.columns * terms);
          q.counts[2] = terms;
          q.b_steps[2] = product_.b_steps[2];
          detail::pack(q, b_column_, part.columns, part.columns, turned);
          panel_b = turned;
          q.b_steps[2] = part.columns;
        }
      }
      for (Index p = 0; p < terms; p += kMatrixChain) {
        q.counts[2] = std::min(kMatrixChain, terms - p);
        q.a = a + p * q.a_steps[2];
        q.b = panel_b + p * q.b_steps[2];
        q.accumulate = p > 0;
        part.tile(q, part.row, part.columns);
      }
    }
  }

 private:
  struct Part {
    detail::Tile<T> tile;
    Index row, column, columns;
  };
  Product<T> product_;
  Index b_column_;
  std::vector<Index> rows_;  // of a, then of c
  std::vector<Part> parts_;
};

}  // namespace minimeta

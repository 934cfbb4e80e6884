// One register tile runs every product: matrices, and the three forms of a convolution.
//
//   c[i, j] (+)= sum over s, t, p of  a[i; s, t, p] * b[s, t, p; j]
//
// The reduction is three nested loops, outermost first (images, rows of a window, terms that lie
// evenly apart); a matrix product needs only the last. A few rows of c by a panel of two or three
// vectors stay in registers while they run. a is only ever broadcast, one element at a time, so its
// rows may begin anywhere (a table says where) and its steps may be any; the rows of b are
// contiguous vectors. So no operand is ever unfolded into a matrix for the sake of the product.
//
// The last vector of a panel ends with its last column. It may overlap the vector before it, and
// then some columns are computed twice. Fewer columns than a vector holds take the same tile with
// narrower vectors. With AVX-512 two rows share a vector for half a vector of further columns, and
// four rows for a quarter. There, b's columns are repeated, and the lanes of each row have its own
// element of a:
//
//   b:  b0 b1 b2 b3   b0 b1 b2 b3   b0 b1 b2 b3   b0 b1 b2 b3
//   a:  a0 a0 a0 a0   a1 a1 a1 a1   a2 a2 a2 a2   a3 a3 a3 a3
//
// Long sums are cut into several runs of a tile (product.hpp).
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "array.hpp"
#include "simd.hpp"

namespace minimeta {

// Memory that a product reads before long. Each tile fetches a little of it into the second cache: a
// tile that goes down the columns of a matrix would wait for it, because the processor itself
// fetches ahead along rows.
struct Ahead {
  const char *at, *end;
  Index step;  // bytes for each tile
  void fetch() {
    constexpr Index line = 64;
    for (const char* const stop = at + std::min(step, end - at); at < stop; at += line) __builtin_prefetch(at, 0, 2);
  }
};

// What is computed of a sum and of another array before it is stored: up to three of these, one after
// another. `mask` is the derivative of a relu that gave z.
enum class Finish { add, add_relu, step, mask };
constexpr Index kMostFinishes = 3;

template <class T> struct Finishing {
  Finish finish;
  const T* z;
  Index row;  // elements from one row of z to the next; 0 if it repeats
  T rate;
  const T* like = nullptr;  // or, if z lies as an array of results does, where that begins

  // Calls go(f), which rounds as the elementwise operations do.
  template <class Go> MINIMETA_INLINE void with(Go go) const {
    switch (finish) {
      case Finish::add: return go([](auto sum, auto z) { return sum + z; });
      case Finish::add_relu:
        return go([](auto sum, auto z) {
          const auto y = sum + z;
          return y <= 0 ? decltype(sum){} : y;
        });
      case Finish::step:
        return go([r = rate](auto sum, auto z) { return z - simd::broadcast<decltype(sum)>(r) * sum; });
      case Finish::mask: return go([](auto sum, auto z) { return z > 0 ? sum : decltype(sum){}; });
    }
  }
};

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
  bool accumulate;    // false: overwrite c
  Ahead* ahead = nullptr;  // of a and of b, or nothing
  const Finishing<T>* finishing = nullptr;  // so many of them
  Index finishes = 0;
};

namespace detail {

// A row of a tile: so many vectors of so many lanes, and perhaps a part of one that so many rows
// share.
template <int Vectors, int Lanes, int Sharing = 0> struct TileRow {
  static constexpr int vectors = Vectors, lanes = Lanes, sharing = Sharing, part = Sharing > 0 ? Lanes / Sharing : 0;
  static constexpr int width = Vectors * Lanes + part, registers = Vectors + (Sharing > 0);
};

// How many rows a tile has. Its sums, a row of b and one element of a share the vector registers.
// More than eight rows would leave no general register for the beginning of each.
template <class Row> constexpr int kTileRows = std::min(8, (simd::kRegisters - Row::registers - 1) / Row::registers);

// Loop state that the innermost loop does not touch. With more than four rows no general register is
// left for it, and GCC spills it into vector or mask registers; reading it back then stalls behind
// every queued multiply-add. `volatile` keeps it in memory instead.
template <int Rows, class X> using Kept = std::conditional_t<(Rows > 4), volatile X, X>;

// The loops are do-while loops, because every count is at least 1: for a way around a loop, GCC
// would copy the sums.
template <class T, int Rows, class Row> void tile(const Product<T>& product, Index first, Index columns) {
  constexpr int Vectors = Row::vectors, Lanes = Row::lanes;
  constexpr int sharing = Row::sharing, parts = sharing > 0 ? (Rows + sharing - 1) / sharing : 1;
  using Vec = simd::Vec<T, Lanes>;
  using Part = simd::Vec<T, std::max(1, Row::part)>;
  Kept<Rows, const Product<T>*> kept = &product;
  Kept<Rows, Index> row = first, s = 0, t = 0;
  const auto at = [=](int j) {
    return sharing > 0 || j + 1 < Vectors || Vectors == 1 ? Index{j} * Lanes : columns - Lanes;
  };
  [[maybe_unused]] const Index rest = columns - Row::part;  // where the part begins
  Index below[Rows];  // the first row of a
  MINIMETA_UNROLL
  for (int i = 0; i < Rows; ++i) below[i] = product.a_rows[first + i] - product.a_rows[first];
  Vec sum[Rows][Vectors];
  [[maybe_unused]] Vec shared[parts];
  MINIMETA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    MINIMETA_UNROLL
    for (int j = 0; j < Vectors; ++j) sum[i][j] = Vec{};
    if constexpr (sharing > 0) shared[i / sharing] = Vec{};
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
        [[maybe_unused]] Vec repeated, scales;
        if constexpr (sharing > 0) repeated = simd::repeat<Vec>(simd::load<Part>(b + rest));
        MINIMETA_UNROLL
        for (int i = 0; i < Rows; ++i) {
          const Vec scale = simd::broadcast<Vec>(a[i == 0 ? 0 : below[i]]);
          MINIMETA_UNROLL
          for (int j = 0; j < Vectors; ++j) sum[i][j] = simd::fma(scale, b_row[j], sum[i][j]);
          if constexpr (sharing > 0) {
            scales = i % sharing == 0 ? scale : simd::blend(scales, scale, i % sharing * Row::part);
            if (i % sharing == sharing - 1 || i == Rows - 1)
              shared[i / sharing] = simd::fma(scales, repeated, shared[i / sharing]);
          }
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
  [[maybe_unused]] Part last[Rows];
  if constexpr (sharing > 0) {
    MINIMETA_UNROLL
    for (int i = 0; i < Rows; ++i) last[i] = simd::part<Part>(shared[i / sharing], i % sharing);
  }
  if (q.accumulate) {  // read everything before writing, because vectors may overlap
    MINIMETA_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const T* const c = q.c + c_rows[i];
      MINIMETA_UNROLL
      for (int j = 0; j < Vectors; ++j) sum[i][j] = simd::load<Vec>(c + at(j)) + sum[i][j];
      if constexpr (sharing > 0) last[i] = simd::load<Part>(c + rest) + last[i];
    }
  }
  for (Index k = 0; k < q.finishes; ++k) {
    const Finishing<T>& finishing = q.finishing[k];
    finishing.with([&](auto f) {
      const auto go_on = [&](int i, const T* z) {
        MINIMETA_UNROLL
        for (int j = 0; j < Vectors; ++j) sum[i][j] = f(sum[i][j], simd::load<Vec>(z + at(j)));
        if constexpr (sharing > 0) last[i] = f(last[i], simd::load<Part>(z + rest));
      };
      const T* z = finishing.z + (finishing.like ? q.c - finishing.like : row * finishing.row);
      if (finishing.like) {
        MINIMETA_UNROLL
        for (int i = 0; i < Rows; ++i) go_on(i, z + c_rows[i]);
      } else {
        MINIMETA_UNROLL
        for (int i = 0; i < Rows; ++i, z += finishing.row) go_on(i, z);
      }
    });
  }
  MINIMETA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    T* const c = q.c + c_rows[i];
    MINIMETA_UNROLL
    for (int j = 0; j < Vectors; ++j) simd::store(c + at(j), sum[i][j]);
    if constexpr (sharing > 0) simd::store(c + rest, last[i]);
  }
}

template <class T> using Tile = void (*)(const Product<T>&, Index, Index);

template <class T, class Row, int... Rows> constexpr auto tiles_of(std::integer_sequence<int, Rows...>) {
  return std::array<Tile<T>, sizeof...(Rows)>{tile<T, Rows + 1, Row>...};
}
template <class T, class Row>
constexpr auto tiles = tiles_of<T, Row>(std::make_integer_sequence<int, kTileRows<Row>>{});

// Calls go(tile, i, n) for blocks of n rows, dealt out evenly: 7 rows become 4 and 3, not 6 and a
// slow 1.
template <class T, class Row, class Go> void deal_rows(Index first, Index last, Go go) {
  constexpr Index most = kTileRows<Row>;
  const Index blocks = (last - first + most - 1) / most;
  if (blocks == 0) return;
  const Index rows = (last - first) / blocks, larger = (last - first) % blocks;  // `larger` blocks take one row more
  const auto row_tile = [](Index n) { return tiles<T, Row>[static_cast<std::size_t>(n - 1)]; };
  Index i = first;
  for (const Index end = first + larger * (rows + 1); i < end; i += rows + 1) go(row_tile(rows + 1), i, rows + 1);
  for (; i < last; i += rows) go(row_tile(rows), i, rows);
}

// Computes in a buffer first if a tile does not fit c: some of its columns do not exist, or they
// lie apart. For that it changes q and restores it.
template <class T, class Row> void panel(Product<T>& q, Index first, Index last, Index columns) {
  if (columns >= Row::lanes && q.c_column == 1)
    return deal_rows<T, Row>(first, last, [&](Tile<T> tile, Index i, Index) {
      if (q.ahead) q.ahead[0].fetch(), q.ahead[1].fetch();
      tile(q, i, columns);
    });
  constexpr Index most = kTileRows<Row>, width = Row::width;
  alignas(64) T buffer[most * width];
  Index buffer_rows[most];
  for (Index i = 0; i < most; ++i) buffer_rows[i] = i * width;
  const Index *const a_rows = q.a_rows, *const c_rows = q.c_rows;
  T* const c = q.c;
  const bool accumulate = q.accumulate;
  const Index finishes = std::exchange(q.finishes, 0);
  q.c = buffer;
  q.c_rows = buffer_rows;
  q.accumulate = false;
  deal_rows<T, Row>(first, last, [&](Tile<T> tile, Index i, Index n) {
    q.a_rows = a_rows + i;
    tile(q, 0, std::max<Index>(columns, Row::lanes));
    for (Index k = 0; k < n; ++k) {
      T* const to = c + c_rows[i + k];
      const T* const sums = buffer + k * width;
      if (accumulate)
        for (Index j = 0; j < columns; ++j) to[j * q.c_column] += sums[j];
      else
        for (Index j = 0; j < columns; ++j) to[j * q.c_column] = sums[j];
      for (Index each = 0; each < finishes; ++each) {
        const Finishing<T>& finishing = q.finishing[each];
        finishing.with([&, z = finishing.z + (finishing.like ? to - finishing.like : (i + k) * finishing.row)](auto f) {
          using One = simd::Vec<T, 1>;
          for (Index j = 0; j < columns; ++j) {
            T* const at = to + j * q.c_column;
            simd::store(at, f(simd::load<One>(at), simd::load<One>(z + j)));
          }
        });
      }
    }
  });
  q.a_rows = a_rows;
  q.c = c;
  q.c_rows = c_rows;
  q.accumulate = accumulate;
  q.finishes = finishes;
}

// The lanes of the next narrower vector: half as many, down to the smallest register, then one.
template <class T> constexpr int narrower(int lanes) { return lanes * int{sizeof(T)} > 16 ? lanes / 2 : 1; }

// Whether rows share vectors: only AVX-512 has lanes and registers enough.
template <class T, int Lanes = simd::kLanes<T>> constexpr bool kShares = Lanes * sizeof(T) == 64;

// How many quarters of a vector the columns that do not fill one take.
template <class T> Index quarters_of_rest(Index columns) {
  constexpr Index lanes = simd::kLanes<T>;
  const Index rest = columns % lanes;
  if (rest == 0) return 0;
  if (!kShares<T> || rest > lanes / 2) return 4;
  return rest > lanes / 4 ? 2 : 1;
}

// Calls go(row) with the row for at most three vectors of columns. It has narrower vectors if the
// columns do not fill one and are not padded. `Most` columns are all that there can be, so that no
// tile is compiled for more.
template <class T, int Lanes = simd::kLanes<T>, int Most = 3 * Lanes, class Go>
void with_tiles(Index columns, bool padded, Go go) {
  if constexpr (Lanes > 1)
    if (columns < Lanes && !padded) return with_tiles<T, narrower<T>(Lanes), Lanes - 1>(columns, padded, go);
  if (Most <= Lanes || columns <= Lanes) return go(TileRow<1, Lanes>{});
  if constexpr (kShares<T, Lanes>) {
    const Index quarters = columns > Lanes ? quarters_of_rest<T>(columns) : 0;
    if (quarters == 1) return columns < 2 * Lanes ? go(TileRow<1, Lanes, 4>{}) : go(TileRow<2, Lanes, 4>{});
    if (quarters == 2) return columns < 2 * Lanes ? go(TileRow<1, Lanes, 2>{}) : go(TileRow<2, Lanes, 2>{});
  }
  if constexpr (Most > Lanes) {
    if (Most <= 2 * Lanes || columns <= 2 * Lanes) return go(TileRow<2, Lanes>{});
  }
  if constexpr (Most > 2 * Lanes) go(TileRow<3, Lanes>{});
}

}  // namespace detail

}  // namespace minimeta

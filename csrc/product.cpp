// Products in panels: see product.hpp. Every tile is compiled here, once.
#include "product.hpp"

#include "finishing.hpp"
#include "transpose.hpp"

namespace minimeta {
namespace detail {
namespace {

// The rows [first, last) of a chain, box by box. Neighbours that have the same terms here go together,
// if they all end with this chain, or none does.
template <class T, class Row> void panel_in_boxes(const Product<T>& chain, const ChainSteps& steps,
                                                  const Index (&at)[3], Index first, Index last, Index columns,
                                                  const Boxes& boxes) {
  const auto begin = [&](const Box& box, int d) { return std::max(box.first[d] - at[d], Index{0}); };
  const auto count = [&](const Box& box, int d) {
    return std::max(std::min(box.last[d] - at[d], chain.counts[d]) - begin(box, d), Index{0});
  };
  const auto ends = [&](const Box& box) {
    bool here = true, empty = false;
    for (int d = 0; d < 3; ++d) {
      const Index end = std::min(box.last[d], steps.counts[d]);
      here = here && at[d] < end && end <= at[d] + chain.counts[d];
      empty = empty || end <= std::max(box.first[d], Index{0});
    }
    return empty ? steps.is_last(at) : here;
  };
  const auto alike = [&](const Box& x, const Box& y) {
    bool same = chain.finishes == 0 || ends(x) == ends(y);
    for (int d = 0; d < 3; ++d) same = same && begin(x, d) == begin(y, d) && count(x, d) == count(y, d);
    return same;
  };
  for (auto box = boxes.begin(); first < last; ++box) {
    if (box->rows <= first) continue;
    while (box->rows < last && alike(box[0], box[1])) ++box;
    const Index end = std::min(last, box->rows);
    Product<T> q = chain;
    if (q.finishes > 0 && !ends(*box)) q.finishes = 0;
    for (int d = 0; d < 3; ++d) {
      q.a += begin(*box, d) * q.a_steps[d];
      q.b += begin(*box, d) * q.b_steps[d];
      q.counts[d] = count(*box, d);
    }
    while (q.counts[2] == 1 && q.counts[0] * q.counts[1] > 1)  // the longest loop is the innermost
      for (int d = 2; d >= 0; --d) {
        q.counts[d] = d > 0 ? q.counts[d - 1] : 1;
        q.a_steps[d] = d > 0 ? q.a_steps[d - 1] : 0;
        q.b_steps[d] = d > 0 ? q.b_steps[d - 1] : 0;
      }
    if (q.counts[0] * q.counts[1] * q.counts[2] > 0) {
      panel<T, Row>(q, first, end, columns);
    } else {
      for (Index i = first; i < end && !q.accumulate; ++i)
        for (Index j = 0; j < columns; ++j) q.c[q.c_rows[i] + j * q.c_column] = 0;
      finish_rows(q, first, end, columns);
    }
    first = end;
  }
}

// A panel of more terms than a chain has, or of boxes; q becomes one chain after another. A function
// of its own, so that small products do not pay for it.
template <class T, class Row> __attribute__((noinline)) void panel_in_chains(Product<T>& q, Index first, Index last,
                                                                             Index columns, bool begun, Index chain,
                                                                             const Boxes* boxes) {
  Groups<T> groups(q.c, q.c_rows + first, q.c_column, last - first, columns, begun);
  const ChainSteps steps(q.counts, chain);
  const Index finishes = q.finishes;
  steps.for_each(q, [&](const Index(&at)[3]) {
    q.accumulate = groups.next(1);
    q.finishes = boxes || steps.is_last(at) ? finishes : 0;
    if (boxes)
      panel_in_boxes<T, Row>(q, steps, at, first, last, columns, *boxes);
    else
      panel<T, Row>(q, first, last, columns);
  });
  q.finishes = finishes;
  groups.finish();
}

constexpr Index kTurned = 32;      // terms that are transposed at a time
constexpr Index kFew = 64 * 1024;  // elements of b that stay in the second cache

// How many of the columns left to take next. Vectors go in trios, and in pairs before a single one
// would be left, which has too few sums to keep the multipliers busy. A part that rows share goes
// with the last one or two.
template <class T> Index panel_columns(Index left) {
  constexpr Index lanes = simd::kLanes<T>;
  const Index quarters = quarters_of_rest<T>(left), vectors = left / lanes + quarters / 4;
  const bool shared = quarters % 4 != 0;
  if (shared && vectors < 3) return left;
  return std::min(left, vectors % 3 == (shared ? 2 : 0) ? 3 * lanes : 2 * lanes);
}

template <class T> void fetch(const T* x, Index n) {
  for (Index i = 0; i < n; i += 64 / Index{sizeof(T)}) __builtin_prefetch(x + i, 0, 2);
}

// Copies the panel's rows of b one after another, `width` apart; columns that fill no vector are
// padded with zeros. Meanwhile it fetches the `next`
// columns, which the processor does not foresee: a step down a column of a large b is a page. (A
// small one has none of them fetched, because it stays in a cache.)
template <class T> void pack(const Product<T>& q, Index b_column, Index columns, Index width, Index next, T* panel) {
  constexpr Index lanes = simd::kLanes<T>;
  if (columns < lanes) std::fill_n(panel, q.counts[0] * q.counts[1] * q.counts[2] * width, T(0));
  for (Index s = 0; s < q.counts[0]; ++s)
    for (Index t = 0; t < q.counts[1]; ++t, panel += q.counts[2] * width) {
      const T* const b = q.b + s * q.b_steps[0] + t * q.b_steps[1];
      if (q.b_steps[2] == 1 && b_column != 1) {
        for (Index p = 0; p < q.counts[2]; p += kTurned) {
          const Index n = std::min(kTurned, q.counts[2] - p);
          for (Index j = 0; j < next; ++j) fetch(b + (columns + j) * b_column + p, n);
          transpose(b + p, b_column, columns, n, panel + p * width, width);
        }
      } else if (b_column == 1 && columns >= lanes) {  // whole vectors, the last of which may overlap
        for (Index p = 0; p < q.counts[2]; ++p) {
          const auto copy = [&, from = b + p * q.b_steps[2], to = panel + p * width](Index j) {
            simd::store(to + j, simd::load<simd::Vec<T>>(from + j));
          };
          fetch(b + p * q.b_steps[2] + columns, next);
          for (Index j = 0; j + lanes < columns; j += lanes) copy(j);
          copy(columns - lanes);
        }
      } else {
        for (Index p = 0; p < q.counts[2]; ++p)
          for (Index j = 0; j < columns; ++j) panel[p * width + j] = b[p * q.b_steps[2] + j * b_column];
      }
    }
}

// c = a b, or c += a b, in one chain or in several, or in boxes: in two functions, so that small
// products do not pay for chains.
template <class T, bool OneChain> void multiply_panels(Product<T>& q, Index m, Index n, Index b_column, bool copy,
                                                       Scratch<T>& scratch, Index chain, const Boxes* boxes) {
  constexpr Index lanes = simd::kLanes<T>;
  const Index terms = q.counts[0] * q.counts[1] * q.counts[2];
  const bool padded = n < lanes && std::min(m, terms) >= kOften;
  copy = copy || padded;
  const Index block = boxes ? evenly(m, std::max(kBlockRows, kBlockTerms / terms)) : kBlockRows;
  // If several blocks of rows read the panels, keep all of them.
  T* const packed = copy ? scratch.take(std::max(lanes, m > block ? n : std::min(n, 3 * lanes)) * terms) : nullptr;
  // Change one q for every panel: a copy of it would wait for the stores that just wrote it.
  const T* const b = q.b;
  T* const c = q.c;
  const Index steps[3] = {q.b_steps[0], q.b_steps[1], q.b_steps[2]};
  const Finishing<T>* const finishing = q.finishing;
  [[maybe_unused]] const bool begun = q.accumulate;
  for (Index i = 0; i < m; i += block)
    for (Index j = 0, columns; j < n; j += columns) {
      columns = panel_columns<T>(n - j);
      q.b = b + j * b_column;
      q.c = c + j * q.c_column;
      const PartFinishes<T> of_panel(finishing, q.finishes, 0, j);
      q.finishing = of_panel.each;
      for (int d = 0; d < 3; ++d) q.b_steps[d] = steps[d];
      if (copy) {
        const Index width = padded ? lanes : columns;
        T* const target = packed + (m > block ? j * terms : 0);
        const Index next = n * terms < kFew ? 0 : panel_columns<T>(n - j - columns);
        if (i == 0) pack(q, b_column, columns, width, next, target);
        q.b = target;
        q.b_steps[2] = width;
        q.b_steps[1] = width * q.counts[2];
        q.b_steps[0] = q.b_steps[1] * q.counts[1];
      }
      with_tiles<T>(columns, padded, [&](auto row) {
        if constexpr (OneChain)
          panel<T, decltype(row)>(q, i, std::min(m, i + block), columns);
        else
          panel_in_chains<T, decltype(row)>(q, i, std::min(m, i + block), columns, begun, chain, boxes);
      });
    }
}

// Turns a panel of b, of which rows lie side by side, and lets q read it. Its rows then begin with cache lines.
template <class T>
__attribute__((noinline)) void turn(Product<T>& q, Index b_row, Index b_column, Index columns, Index terms) {
  constexpr Index lanes = simd::kLanes<T>;
  const Index width = (columns + lanes - 1) / lanes * lanes;
  static thread_local Scratch<T> scratch;
  T* const turned = scratch.take(width * terms);
  q.counts[2] = terms;
  q.b_steps[2] = b_row;
  pack(q, b_column, columns, width, Index{0}, turned);
  q.b = turned;
  q.b_steps[2] = width;
}

}  // namespace
}  // namespace detail

template <class T> void finish_rows(const Product<T>& q, Index first, Index last, Index columns) {
  using V = simd::Vec<T, 1>;
  for (Index k = 0; k < q.finishes; ++k)
    q.finishing[k].with([&](auto f) {
      for (Index i = first; i < last; ++i) {
        T* const c = q.c + q.c_rows[i];
        const T* const z = q.finishing[k].z + (c - q.finishing[k].like);
        for (Index j = 0; j < columns; ++j) simd::store(c + j, f(simd::load<V>(c + j), simd::load<V>(z + j)));
      }
    });
}

template <class T> void multiply(Product<T> q, Index m, Index n, Index b_column, bool copy, Scratch<T>& scratch,
                                 Index chain, const Boxes* boxes) {
  const Index terms = q.counts[0] * q.counts[1] * q.counts[2];
  if (terms == 0) {
    for (Index i = 0; i < m && !q.accumulate; ++i)
      for (Index j = 0; j < n; ++j) q.c[q.c_rows[i] + j * q.c_column] = 0;
    finish_rows(q, 0, m, n);
  } else if (terms <= chain && !boxes) {
    detail::multiply_panels<T, true>(q, m, n, b_column, copy, scratch, chain, boxes);
  } else {
    detail::multiply_panels<T, false>(q, m, n, b_column, copy, scratch, chain, boxes);
  }
}

template <class T>
TiledProduct<T>::TiledProduct(Index m, Index k, Index n, const Index (&a)[2], const Index (&b)[2], Index c_row)
    : b_column_(b[1]) {
  for (Index i = 0; i < m; ++i) rows_.push_back(i * a[0]);
  for (Index i = 0; i < m; ++i) rows_.push_back(i * c_row);
  product_ = {{1, 1, k}, nullptr, nullptr, {0, 0, a[1]}, nullptr, {0, 0, b[0]}, nullptr, nullptr, 1, false};
  for (Index j = 0, columns; j < n; j += columns) {
    columns = detail::panel_columns<T>(n - j);
    detail::with_tiles<T>(columns, false, [&](auto row) {
      detail::deal_rows<T, decltype(row)>(
          0, m, [&](detail::Tile<T> tile, Index i, Index) { parts_.push_back({tile, i, j, columns}); });
    });
  }
}

template <class T>
void TiledProduct<T>::run(const T* a, const T* b, T* c, const Finishing<T>* finishing, Index finishes) const {
  const Index terms = product_.counts[2];
  alignas(64) Product<T> q = product_;  // copied by whole vectors, which are read from one cache line each
  q.a = a;
  q.a_rows = rows_.data();
  q.c_rows = q.a_rows + rows_.size() / 2;
  q.finishing = finishing;
  q.finishes = finishes;
  PartFinishes<T> of_panel;
  Index panel = -1;
  for (const Part& part : parts_) {
    if (part.column != panel) {
      panel = part.column;
      q.b = b + panel * b_column_;
      q.c = c + panel;
      if (b_column_ != 1) detail::turn(q, product_.b_steps[2], b_column_, part.columns, terms);
      if (panel > 0 && finishes > 0) {
        of_panel = PartFinishes<T>(finishing, finishes, 0, panel);
        q.finishing = of_panel.each;
      }
    }
    if (terms <= kMatrixChain) {
      part.tile(q, part.row, part.columns);
      continue;
    }
    const T* const panel_b = q.b;
    for (Index p = 0; p < terms; p += kMatrixChain) {
      q.counts[2] = std::min(kMatrixChain, terms - p);
      q.a = a + p * q.a_steps[2];
      q.b = panel_b + p * q.b_steps[2];
      q.accumulate = p > 0;
      q.finishes = p + kMatrixChain >= terms ? finishes : 0;
      part.tile(q, part.row, part.columns);
    }
    q.b = panel_b;
  }
}

template void finish_rows(const Product<float>&, Index, Index, Index);
template void finish_rows(const Product<double>&, Index, Index, Index);
template void multiply(Product<float>, Index, Index, Index, bool, Scratch<float>&, Index, const Boxes*);
template void multiply(Product<double>, Index, Index, Index, bool, Scratch<double>&, Index, const Boxes*);
template class TiledProduct<float>;
template class TiledProduct<double>;

}  // namespace minimeta

// A matrix times a vector, and the scalar product of two vectors.
//
//   c[i] = sum over p of  a[i, p] x[p]
//
// Such a product reads every element of a once and waits for memory, so it spends the spare time of
// the multipliers on digits. Each c[i] is summed in blocks of 128 terms, eight lanes and a tree
// (lanes.hpp), every term by a fused multiply-add. Its error is some two roundings of the sum of
// the terms' magnitudes, for any number of terms. The layout of the matrix only decides what the
// lanes of a register are:
//
//   along     rows of a are contiguous: the eight lanes of an output
//   across    columns of a are contiguous: neighbouring outputs, and the eight lanes are eight registers
//   gathered  short rows, copied to where `across` can read them
//
// The scalar product is summed in double and rounded once at the end; a product of two floats is
// exact there. In blocks of 1024 terms it has 32 lanes, and four more for what is left of a block.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "functions.hpp"
#include "interruption.hpp"
#include "lanes.hpp"
#include "simd.hpp"
#include "transpose.hpp"

namespace minimeta {

template <class T> struct VectorProduct {
  Index m, k;
  const T* a;
  Index row, column;  // strides in elements
  const T* x;
  Index x_step;
  T* c;
  Index c_step;
};

namespace detail {

constexpr Index kTermsOfBlock = 128;
constexpr Index kStrip = 256;  // outputs that `across` sums at once
constexpr Index kRowsAtOnce = 4;
constexpr Index kShortRow = 32;  // the longest rows that are gathered,
constexpr Index kGather = 64;  // and how many of them at once

// A block of one vector of neighbouring outputs. Rows of a^T lie `step` apart.
template <int Lanes, class T> void sum_vector(const T* a, Index step, const T* x, Index size, T* sums) {
  using V = simd::Vec<T, Lanes>;
  V lanes[kLanes] = {};
  const auto add = [&](Index p, int l) {
    lanes[l] = simd::fma(simd::load<V>(a + p * step), simd::broadcast<V>(x[p]), lanes[l]);
  };
  Index p = 0;
  for (; p + kLanes <= size; p += kLanes) {
  MINIMETA_UNROLL
    for (int l = 0; l < kLanes; ++l) add(p + l, l);
  }
  MINIMETA_UNROLL
  for (int l = 0; l < kLanes; ++l)
    if (p + l < size) add(p + l, l);
  simd::store(sums, join_vectors<functions::Add>(lanes));
}

// A block of two vectors: a row of both is a cache line, which is read once. The registers hold
// half of the lanes at a time.
template <int Lanes, class T> void sum_two_vectors(const T* a, Index step, const T* x, Index size, T* sums) {
  using V = simd::Vec<T, Lanes>;
  constexpr int half = kLanes / 2;
  V lanes[2][kLanes];
  MINIMETA_UNROLL
  for (const int first : {0, half}) {
    V left[half] = {}, right[half] = {};
    const auto add = [&](Index p, int l) {
      const V factor = simd::broadcast<V>(x[p]);
      left[l] = simd::fma(simd::load<V>(a + p * step), factor, left[l]);
      right[l] = simd::fma(simd::load<V>(a + p * step + Lanes), factor, right[l]);
    };
    Index p = first;
    for (; p + half <= size; p += kLanes) {
      MINIMETA_UNROLL
      for (int l = 0; l < half; ++l) add(p + l, l);
    }
    MINIMETA_UNROLL
    for (int l = 0; l < half; ++l)
      if (p + l < size) add(p + l, l);
    MINIMETA_UNROLL
    for (int l = 0; l < half; ++l) {
      lanes[0][first + l] = left[l];
      lanes[1][first + l] = right[l];
    }
  }
  simd::store(sums, join_vectors<functions::Add>(lanes[0]));
  simd::store(sums + Lanes, join_vectors<functions::Add>(lanes[1]));
}

// A block of `width` outputs, in narrower vectors if they do not fill one. The last vector may
// overlap the one before it.
template <class T, int Lanes = simd::kLanes<T>>
void sum_strip(const T* a, Index step, const T* x, Index size, Index width, T* sums) {
  if constexpr (Lanes > 1) {
    constexpr int narrower = Lanes * int{sizeof(T)} > 16 ? Lanes / 2 : 1;
    if (width < Lanes) return sum_strip<T, narrower>(a, step, x, size, width, sums);
  }
  Index w = 0;
  if (size >= 4 * kLanes)
    for (; w + 2 * Lanes <= width; w += 2 * Lanes) sum_two_vectors<Lanes>(a + w, step, x, size, sums + w);
  for (; w < width; w += Lanes) {
    const Index j = std::min(w, width - Lanes);
    sum_vector<Lanes>(a + j, step, x, size, sums + j);
  }
}

// A block of some rows.
template <int Rows, class T> void sum_along(const T* a, Index row, const T* x, Index size, T* sums) {
  using V = Part<T>;
  static constexpr T kOrdinals[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7};
  V lanes[Rows][kParts<T>] = {};
  Index p = 0;
  for (; p + kLanes <= size; p += kLanes)
    MINIMETA_UNROLL for (int part = 0; part < kParts<T>; ++part) {
      const V factor = simd::load<V>(x + p + part * kPart<T>);
      MINIMETA_UNROLL
      for (int i = 0; i < Rows; ++i)
        lanes[i][part] = simd::fma(simd::load<V>(a + i * row + p + part * kPart<T>), factor, lanes[i][part]);
    }
  if (p < size)
    MINIMETA_UNROLL for (int part = 0; part < kParts<T>; ++part) {
      const Index at = part * kPart<T>, left = std::clamp<Index>(size - p - at, 0, kPart<T>);
      const auto begun = simd::load<V>(kOrdinals + at) < static_cast<T>(size - p);
      const V factor = simd::load_first<V>(x + p + at, left);
      MINIMETA_UNROLL
      for (int i = 0; i < Rows; ++i) {
        const V sum = simd::fma(simd::load_first<V>(a + i * row + p + at, left), factor, lanes[i][part]);
        lanes[i][part] = begun ? sum : lanes[i][part];
      }
    }
  for (int i = 0; i < Rows; ++i) sums[i] = join_lanes<functions::Add>(join_vectors<functions::Add>(lanes[i]));
}

template <class T> void sum_rows(Index rows, const T* a, Index row, const T* x, Index size, T* sums) {
  static_assert(kRowsAtOnce == 4);
  if (rows == 4) return sum_along<4>(a, row, x, size, sums);
  if (rows == 3) return sum_along<3>(a, row, x, size, sums);
  if (rows == 2) return sum_along<2>(a, row, x, size, sums);
  sum_along<1>(a, row, x, size, sums);
}

// Calls sum_block(first term, terms, sums) for one block after another, and joins them in a tree
// into c.
template <class T, class SumBlock> void join_blocks(Index k, Index width, T* c, Index c_step, const SumBlock& sum_block) {
  T sums[kStrip];
  if (k <= kTermsOfBlock) {
    T* const to = c_step == 1 ? c : sums;
    sum_block(Index{0}, k, to);
    for (Index i = 0; i < width && to != c; ++i) c[i * c_step] = sums[i];
    return;
  }
  using Blocks = Tree<T, functions::Add>;
  const std::unique_ptr<T[]> levels(new T[static_cast<std::size_t>(Blocks::levels(k / kTermsOfBlock + 1) * width)]);
  Blocks tree(static_cast<int>(width), levels.get());
  for (Index p = 0; p < k; p += kTermsOfBlock) {
    const Index size = std::min(kTermsOfBlock, k - p);
    spend(width * size / 4);
    sum_block(p, size, sums);
    tree.push(sums);
  }
  const T* const total = tree.finish();
  for (Index i = 0; i < width; ++i) c[i * c_step] = total[i];
}

template <class T> void multiply_across(const VectorProduct<T>& q) {
  for (Index i = 0, width; i < q.m; i += width) {
    width = std::min(kStrip, q.m - i);
    join_blocks(q.k, width, q.c + i * q.c_step, q.c_step, [&](Index p, Index size, T* sums) {
      sum_strip(q.a + i + p * q.column, q.column, q.x + p, size, width, sums);
    });
  }
}

template <class T> void multiply_gathered(const VectorProduct<T>& q) {
  T copies[kShortRow * kGather];
  for (Index i = 0, width; i < q.m; i += width) {
    width = std::min(kGather, q.m - i);
    const T* const a = q.a + i * q.row;
    if (q.column == 1) {
      transpose(a, q.row, width, q.k, copies, kGather);
    } else {
      for (Index j = 0; j < width; ++j)
        for (Index p = 0; p < q.k; ++p) copies[p * kGather + j] = a[j * q.row + p * q.column];
    }
    multiply_across<T>({width, q.k, copies, 1, kGather, q.x, 1, q.c + i * q.c_step, q.c_step});
  }
}

template <class T> void multiply_along(const VectorProduct<T>& q) {
  T copies[kRowsAtOnce * kTermsOfBlock];
  for (Index i = 0, rows; i < q.m; i += rows) {
    rows = std::min(kRowsAtOnce, q.m - i);
    join_blocks(q.k, rows, q.c + i * q.c_step, q.c_step, [&](Index p, Index size, T* sums) {
      const T* const a = q.a + i * q.row + p * q.column;
      if (q.column == 1) return sum_rows(rows, a, q.row, q.x + p, size, sums);
      for (Index j = 0; j < rows; ++j)
        for (Index t = 0; t < size; ++t) copies[j * kTermsOfBlock + t] = a[j * q.row + t * q.column];
      sum_rows(rows, copies, kTermsOfBlock, q.x + p, size, sums);
    });
  }
}

}  // namespace detail

template <class T> T scalar_product(Index k, const T* x, Index x_step, const T* y, Index y_step) {
  constexpr Index width = simd::kLanes<double>, lanes = 32, rest = 4, block = 1024;
  constexpr std::size_t vectors = lanes / width;
  using Wide = simd::Vec<double>;
  using Narrow = simd::Vec<T, width>;
  using Blocks = Tree<double, functions::Add>;
  const auto wide = [](const T* from) { return __builtin_convertvector(simd::load<Narrow>(from), Wide); };
  double levels[Blocks::kLevels];
  Blocks tree(1, levels);
  T x_copy[block], y_copy[block];
  const auto contiguous = [](const T* from, Index step, Index size, T* copy) {
    if (step == 1) return from;
    for (Index i = 0; i < size; ++i) copy[i] = from[i * step];
    return static_cast<const T*>(copy);
  };
  for (Index p = 0; p < k; p += block) {
    const Index size = std::min(block, k - p);
    spend(size);
    const T* const a = contiguous(x + p * x_step, x_step, size, x_copy);
    const T* const b = contiguous(y + p * y_step, y_step, size, y_copy);
    double tails[rest] = {};
    Index i = size - size % lanes;
    for (Index t = 0; i + t < size; ++t)
      tails[t % rest] = std::fma(double(a[i + t]), double(b[i + t]), tails[t % rest]);
    double sum = (tails[0] + tails[2]) + (tails[1] + tails[3]);
    if (i > 0) {
      Wide sums[vectors] = {};
      for (i = 0; i + lanes <= size; i += lanes)
        MINIMETA_UNROLL for (std::size_t v = 0; v < vectors; ++v)
          sums[v] = simd::fma(wide(a + i + Index(v) * width), wide(b + i + Index(v) * width), sums[v]);
      sum = join_lanes<functions::Add>(join_vectors<functions::Add>(sums)) + sum;
    }
    tree.push(&sum);
  }
  return k > 0 ? static_cast<T>(*tree.finish()) : T(0);
}

// Whether a product is one block of terms of one strip of outputs, all where they can be read and written.
template <class T> bool is_one_block(const VectorProduct<T>& q) {
  const bool across = q.row == 1, along = q.column == 1 && (q.k > detail::kShortRow || q.m < 4);
  return 1 < q.m && q.m <= detail::kStrip && 0 < q.k && q.k <= detail::kTermsOfBlock && q.x_step == 1 &&
         q.c_step == 1 && (across || along);
}

// The same as `multiply` for such a product, which takes no longer than to decide what it is.
template <class T> void multiply_block(const VectorProduct<T>& q, const T* a, const T* x, T* c) {
  if (q.row == 1) return detail::sum_strip(a, q.column, x, q.k, q.m, c);
  Index i = 0;
  for (; i + detail::kRowsAtOnce <= q.m; i += detail::kRowsAtOnce)
    detail::sum_along<detail::kRowsAtOnce>(a + i * q.row, q.row, x, q.k, c + i);
  if (i < q.m) detail::sum_rows(q.m - i, a + i * q.row, q.row, x, q.k, c + i);
}

// c = a x.
template <class T> __attribute__((noinline)) void multiply(VectorProduct<T> q) {
  if (q.m == 1) {
    *q.c = scalar_product(q.k, q.a, q.column, q.x, q.x_step);
    return;
  }
  if (q.k == 0) {
    for (Index i = 0; i < q.m; ++i) q.c[i * q.c_step] = 0;
    return;
  }
  T few[256];
  std::unique_ptr<T[]> many;
  if (q.x_step != 1) {
    if (q.k > 256) many.reset(new T[static_cast<std::size_t>(q.k)]);
    T* const copy = many ? many.get() : few;
    for (Index p = 0; p < q.k; ++p) copy[p] = q.x[p * q.x_step];
    q.x = copy;
    q.x_step = 1;
  }
  if (q.row == 1) return detail::multiply_across(q);
  if (q.k <= detail::kShortRow && q.m >= 4) return detail::multiply_gathered(q);
  detail::multiply_along(q);
}

}  // namespace minimeta

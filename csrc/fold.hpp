// The order of a sum.
//
// An axis reduction folds, for every output, the sequence x_0 ... x_{K-1} of its elements: the
// reduced axes in increasing order, C order. The result depends on that sequence alone, never on
// strides or on the path taken here:
//
//   blocks of 1024 elements;  inside a block 8 interleaved lanes, lane = k mod 8, joined by a fixed tree;
//   blocks joined pairwise: 2^j blocks become one subtree as soon as they are complete.
//
// A register holds eight lanes, and they cut the chain of dependent additions; with the pairwise
// tree the rounding error grows with log K. Three paths give these bits:
//
//   along     reading along the sequences of one output, or a few; vector lanes are the eight lanes
//   across    a panel of neighbouring outputs; vector lanes are outputs, and the eight lanes are eight vectors;
//             if the outputs do not fill one, narrow.hpp
//   gathered  short sequences of any layout: a panel of them is copied to where `across` can read it
//
// A fold is made of a Map, applied to each element together with a parameter of its output, and of
// a Join, whose identity fills lanes that receive nothing. Both are functions of vectors.
#pragma once

#include <memory>

#include "functions.hpp"
#include "lanes.hpp"
#include "narrow.hpp"
#include "panel.hpp"
#include "short_sequences.hpp"

namespace minimeta {

struct Itself {
  template <class V> V operator()(V x, V) const { return x; }
};
struct Sum : functions::Add {  // -0 and not 0: the sum of a single -0 is -0
  template <class T> static T identity() { return T(-0.0); }
};

// Contiguous blocks of one size, `step` bytes apart, each with its parameter.
template <int Chains, class T, class Map, class Join>
void fold_blocks(const char* data, Index step, Index size, const T* parameters, T* folded) {
  using V = Part<T>;
  static constexpr T kOrdinals[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7};
  V lanes[Chains][kParts<T>], parameter[Chains];
  const T* x[Chains];
  for (int c = 0; c < Chains; ++c) {
    for (V& lane : lanes[c]) lane = part(Join::template identity<T>());
    parameter[c] = part(parameters[c]);
    x[c] = reinterpret_cast<const T*>(data + c * step);
  }
  Index i = 0;
  for (; i + kLanes <= size; i += kLanes) MINIMETA_UNROLL for (int c = 0; c < Chains; ++c)
      MINIMETA_UNROLL for (int p = 0; p < kParts<T>; ++p)
        lanes[c][p] = Join{}(lanes[c][p], Map{}(simd::load<V>(x[c] + i + p * kPart<T>), parameter[c]));
  for (int c = 0; i < size && c < Chains; ++c) {
    T rest[kLanes] = {};
    std::copy_n(x[c] + i, size - i, rest);
    for (int p = 0; p < kParts<T>; ++p) {
      const V joined = Join{}(lanes[c][p], Map{}(simd::load<V>(rest + p * kPart<T>), parameter[c]));
      lanes[c][p] = simd::load<V>(kOrdinals + p * kPart<T>) < static_cast<T>(size - i) ? joined : lanes[c][p];
    }
  }
  for (int c = 0; c < Chains; ++c) folded[c] = join_lanes<Join>(join_vectors<Join>(lanes[c]));
}

// The next `size` elements as contiguous ones: where they are, or copied to `scratch`.
template <class T> const char* contiguous(Cursor& cursor, Index size, T* scratch) {
  const char* x = reinterpret_cast<const char*>(scratch);
  Index filled = 0;
  cursor.next(size, [&](const char* piece, Index stride, Index n) {
    if (n == size && stride == Index{sizeof(T)}) {
      x = piece;
      return;
    }
    const Strided<T> from{piece, stride};
    for (Index i = 0; i < n; ++i) scratch[filled + i] = from[i];
    filled += n;
  });
  return x;
}

// One output of any length.
template <class T, class Map, class Join> T fold_along(const Reduction& r, const char* data, T parameter) {
  T scratch[kBlock], levels[Tree<T, Join>::kLevels], folded[kChains], parameters[kChains];
  std::fill_n(parameters, kChains, parameter);
  const Index element = sizeof(T);
  Tree<T, Join> tree(1, levels);
  Index done = 0;
  if (r.reduced.ndim == 1 && r.reduced.strides[0][0] == element)
    for (; r.length - done >= kChains * kBlock; done += kChains * kBlock, data += kChains * kBlock * element) {
      spend(kChains * kBlock);
      fold_blocks<kChains, T, Map, Join>(data, kBlock * element, kBlock, parameters, folded);
      for (T& block : folded) tree.push(&block);
    }
  Cursor cursor(r.reduced, data);
  for (; done < r.length; done += kBlock) {
    const Index size = std::min(kBlock, r.length - done);
    spend(size);
    fold_blocks<1, T, Map, Join>(contiguous(cursor, size, scratch), 0, size, parameters, folded);
    tree.push(folded);
  }
  return *tree.finish();
}

// Joins blocks of `width` outputs; fold_block(size, folded) folds the next `size` elements of each.
template <class T, class Join, class FoldBlock>
void join_blocks(Index length, int width, FoldBlock fold_block, T* result) {
  using Blocks = Tree<T, Join>;
  if (length <= kBlock) return fold_block(length, result);
  T folded[kPanel];
  const std::unique_ptr<T[]> levels(new T[Blocks::levels(length / kBlock + 1) * width]);
  Blocks tree(width, levels.get());
  for (Index done = 0; done < length; done += kBlock) {
    spend(kBlock * width);
    fold_block(std::min(kBlock, length - done), folded);
    tree.push(folded);
  }
  std::copy_n(tree.finish(), width, result);
}

// `width` neighbouring outputs, contiguous in x.
template <class T, class Map, class Join>
void fold_across(const Reduction& r, const char* data, int width, const T* parameters, T* result) {
  Cursor cursor(r.reduced, data);
  if (width < simd::kLanes<T>) {
    Narrow<T, Map, Join> narrow(width, parameters);
    const auto fold_block = [&](Index size, T* folded) {
      cursor.next(size, [&](const char* piece, Index stride, Index length) {
        const bool adjacent = stride == width * Index{sizeof(T)};
        for (Index i = 0, n = adjacent ? length : 1; i < length; i += n)
          narrow.add(reinterpret_cast<const T*>(piece + i * stride), n);
      });
      narrow.fold(folded);
    };
    return join_blocks<T, Join>(r.length, width, fold_block, result);
  }
  Panel<T, Map, Join> panel(width, parameters);
  const auto fold_block = [&](Index size, T* folded) {
    for (Index left = size; left > 0; left -= kRows) {
      const T* rows[kRows];
      int n = 0;
      cursor.next(std::min<Index>(kRows, left), [&](const char* piece, Index stride, Index length) {
        for (Index i = 0; i < length; ++i) rows[n++] = reinterpret_cast<const T*>(piece + i * stride);
      });
      panel.add(rows, n, left <= kRows ? folded : nullptr);
    }
  };
  join_blocks<T, Join>(r.length, width, fold_block, result);
}

// Folds the outputs [first, last) by one of the three paths. `step` is 1, or 0 if one parameter
// serves all outputs. The function is static, so that GCC inlines a file's only call.
template <class T, class Map, class Join>
static void fold_range(const Reduction& r, Index first, Index last, const T* parameters, Index step, T* result) {
  char* const data[1] = {const_cast<char*>(r.data)};
  const Index element = sizeof(T);
  Patience& p = patience;
  const bool dense = r.reduced.ndim == 1 && r.reduced.strides[0][0] == element;
  const bool across = !dense && r.kept.shape[0] > 1 && r.kept.strides[0][0] == element;
  if (r.length <= kShort && r.outputs > 1 && !(across && r.kept.shape[0] >= kGathered / 4))
    return fold_short<T>(r, fold_copies<T, Map, Join>, first, last, parameters, step, result);
  for_each_row(r.kept, data, first, last, [&](char* const* row, const Index* strides, Index size) {
    for (Index i = 0, n; i < size; i += n, parameters += n * step, result += n) {
      const char* x = row[0] + i * strides[0];
      n = 1;
      if (across) {
        n = std::min<Index>(kPanel, size - i);
        spend(p, n * std::min(r.length, kBlock));
        fold_across<T, Map, Join>(r, x, static_cast<int>(n), parameters, result);
      } else if (dense && r.length <= kBlock && size - i >= kChains) {
        n = kChains;
        spend(p, n * r.length);
        fold_blocks<kChains, T, Map, Join>(x, strides[0], r.length, parameters, result);
      } else if (dense && r.length <= kBlock) {
        fold_blocks<1, T, Map, Join>(x, 0, r.length, parameters, result);
      } else {
        *result = fold_along<T, Map, Join>(r, x, *parameters);
      }
    }
  });
}

// result[o] = fold of Map{}(x_k, parameters[o]). Without `parameters` they are 0. An empty sequence
// folds to `empty`.
template <class T, class Map, class Join> void fold(const Reduction& r, const T* parameters, T empty, T* result) {
  if (r.length == 0) {
    std::fill_n(result, r.outputs, empty);
    return;
  }
  static constexpr T kZeros[kPanel] = {};
  const Index step = parameters ? 1 : 0;
  const T* const from = parameters ? parameters : kZeros;
  parallel_for(r.outputs, r.outputs * r.length, [&](Index first, Index last) {
    fold_range<T, Map, Join>(r, first, last, from + first * step, step, result + first);
  });
}

}  // namespace minimeta

// The order of a sum.
//
// An axis reduction folds, for every output, the sequence x_0 ... x_{K-1} of its elements: the reduced axes in
// increasing order, C order. The result depends on that sequence alone, never on strides or on the path taken here:
//
//   blocks of 1024 elements;  inside a block 8 interleaved lanes, lane = k mod 8, joined by a fixed tree;
//   blocks joined pairwise: 2^j blocks are one subtree as soon as they are there.
//
// Eight lanes are what a register holds, and they cut the chain of dependent additions; the pairwise tree keeps the
// rounding error growing with log K. Two paths give these bits: one output at a time, reading along its sequence
// (vector lanes are the eight), or a panel of neighbouring outputs at once, reading across them (vector lanes are the
// outputs), for sums over leading axes.
#pragma once

#include <algorithm>

#include "loop.hpp"

namespace minimeta {

// x with its axes split into those that remain and those that go, each group merged where it can be.
struct Reduction {
  const char* data;
  Loop<1> kept, reduced;
  Index outputs, length;
};

constexpr Index kBlock = 1024;
constexpr int kLanes = 8;
constexpr int kPanel = 16;

// Walks one output's sequence.
class Cursor {
 public:
  Cursor(const Loop<1>& loop, const char* data) : loop_(loop), data_(data) { std::fill_n(index_, loop.ndim, Index{0}); }

  // visit(pointer, stride, size) over the next `size` elements, in pieces along the innermost axis.
  template <class Visit> void next(Index size, Visit visit) {
    while (size > 0) {
      const Index piece = std::min(size, loop_.shape[0] - index_[0]);
      visit(data_, loop_.strides[0][0], piece);
      size -= piece;
      index_[0] += piece;
      data_ += piece * loop_.strides[0][0];
      for (int d = 0; index_[d] == loop_.shape[d] && d + 1 < loop_.ndim; ++d) {
        data_ += loop_.strides[d + 1][0] - loop_.shape[d] * loop_.strides[d][0];
        index_[d] = 0;
        ++index_[d + 1];
      }
    }
  }

 private:
  const Loop<1>& loop_;
  const char* data_;
  Index index_[kMaxDims];
};

// Blocks arrive in order; level j holds the fold of 2^j of them, as the digits of a binary counter.
template <class T, int Width, class Join> class Tree {
 public:
  void push(T* block) {
    int level = 0;
    for (Index full = blocks_++; full & 1; full >>= 1, ++level)
      for (int w = 0; w < Width; ++w) block[w] = Join{}(levels_[level][w], block[w]);
    std::copy_n(block, Width, levels_[level]);
  }

  const T* finish() {
    T* folded = nullptr;
    for (int level = 0; blocks_ >> level; ++level) {
      if (!(blocks_ >> level & 1)) continue;
      if (folded)
        for (int w = 0; w < Width; ++w) levels_[level][w] = Join{}(levels_[level][w], folded[w]);
      folded = levels_[level];
    }
    return folded;
  }

 private:
  Index blocks_ = 0;
  T levels_[54][Width];
};

template <class T, int Width, class Join> void join_lanes(T (&lanes)[kLanes][Width], T* result) {
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l)
      for (int w = 0; w < Width; ++w) lanes[l][w] = Join{}(lanes[l][w], lanes[l + half][w]);
  std::copy_n(lanes[0], Width, result);
}

// One output, `parameter` being its own: the fold of Map{}(x_k, parameter).
template <class T, class Map, class Join> T fold_one(const Reduction& r, const char* data, T parameter) {
  Tree<T, 1, Join> tree;
  Cursor cursor(r.reduced, data);
  T gathered[kBlock];
  for (Index done = 0; done < r.length; done += kBlock) {
    const Index size = std::min(kBlock, r.length - done);
    const T* x = gathered;
    Index filled = 0;
    cursor.next(size, [&](const char* piece, Index stride, Index n) {
      if (n == size && stride == Index{sizeof(T)}) {
        x = reinterpret_cast<const T*>(piece);
        return;
      }
      for (Index i = 0; i < n; ++i) gathered[filled + i] = *reinterpret_cast<const T*>(piece + i * stride);
      filled += n;
    });
    T lanes[kLanes][1];
    for (int l = 0; l < kLanes; ++l) lanes[l][0] = Join::template identity<T>();
    Index i = 0;
    for (; i + kLanes <= size; i += kLanes)
      for (int l = 0; l < kLanes; ++l) lanes[l][0] = Join{}(lanes[l][0], Map{}(x[i + l], parameter));
    for (int l = 0; i + l < size; ++l) lanes[l][0] = Join{}(lanes[l][0], Map{}(x[i + l], parameter));
    T block;
    join_lanes<T, 1, Join>(lanes, &block);
    if (size == r.length) return block;
    tree.push(&block);
  }
  return *tree.finish();
}

// `width` neighbouring outputs, contiguous in x and in the result.
template <class T, class Map, class Join>
void fold_panel(const Reduction& r, const char* data, int width, const T* parameters, T* result) {
  Tree<T, kPanel, Join> tree;
  Cursor cursor(r.reduced, data);
  T parameter[kPanel] = {}, row[kPanel] = {};
  if (parameters) std::copy_n(parameters, width, parameter);
  for (Index done = 0; done < r.length; done += kBlock) {
    const Index size = std::min(kBlock, r.length - done);
    T lanes[kLanes][kPanel];
    for (auto& lane : lanes) std::fill_n(lane, kPanel, Join::template identity<T>());
    int lane = 0;
    cursor.next(size, [&](const char* piece, Index stride, Index n) {
      for (Index i = 0; i < n; ++i, piece += stride, lane = (lane + 1) % kLanes) {
        const T* x = reinterpret_cast<const T*>(piece);
        if (width < kPanel) {  // the rest of the panel folds zeros that nobody looks at
          std::copy_n(x, width, row);
          x = row;
        }
        for (int w = 0; w < kPanel; ++w) lanes[lane][w] = Join{}(lanes[lane][w], Map{}(x[w], parameter[w]));
      }
    });
    T block[kPanel];
    join_lanes<T, kPanel, Join>(lanes, block);
    tree.push(block);
  }
  std::copy_n(tree.finish(), width, result);
}

// result[o] = fold of Map{}(x_k, parameters[o]); where there is nothing to fold, `empty`.
template <class T, class Map, class Join>
void fold(const Reduction& r, const T* parameters, T empty, T* result) {
  if (r.length == 0) {
    std::fill_n(result, r.outputs, empty);
    return;
  }
  char* data[1] = {const_cast<char*>(r.data)};
  const Index element = sizeof(T);
  for_each_row<1>(r.kept, data, [&](char* const* first, const Index* strides, Index size) {
    const bool across = size > 1 && strides[0] == element && r.reduced.strides[0][0] != element;
    const Index step = across ? kPanel : 1;
    for (Index i = 0; i < size; i += step) {
      const char* x = first[0] + i * strides[0];
      if (across)
        fold_panel<T, Map, Join>(r, x, static_cast<int>(std::min<Index>(step, size - i)), parameters, result);
      else
        *result = fold_one<T, Map, Join>(r, x, parameters ? *parameters : T(0));
      const Index n = std::min(step, size - i);
      result += n;
      if (parameters) parameters += n;
    }
  });
}

}  // namespace minimeta

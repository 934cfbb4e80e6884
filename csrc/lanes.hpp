// Eight lanes and a tree: the order in which long sums are taken.
//
// A sum of K terms is cut into blocks. Inside a block, lane l adds up the terms k = l (mod 8), and
// a fixed tree joins the eight lanes. The blocks are joined pairwise: 2^j of them become one
// subtree as soon as they are complete. A register holds eight lanes, and adding to them in turn
// keeps the adder busy; the tree lets the rounding error grow with log K. Sums (fold.hpp) and
// products by a vector (vector_product.hpp) have this order.
#pragma once

#include <algorithm>

#include "array.hpp"
#include "simd.hpp"

namespace minimeta {

constexpr int kLanes = 8;

// The vectors of a block: eight lanes, or as many of them as a register holds.
template <class T> using Part = simd::Vec<T, std::min(kLanes, simd::kLanes<T>)>;
template <class T> constexpr int kPart = simd::kLanesOf<Part<T>>;
template <class T> constexpr int kParts = kLanes / kPart<T>;

template <class T> Part<T> part(T value) { return simd::broadcast<Part<T>>(value); }

// Blocks of `width` outputs arrive in order. Level j holds 2^j of them joined, or nothing, like a
// digit of a binary counter.
template <class T, class Join> class Tree {
 public:
  static constexpr int kLevels = 54;  // more than any memory has blocks
  static int levels(Index blocks) {
    int n = 0;
    for (; blocks >> n; ++n) {}
    return n;
  }

  Tree(int width, T* memory) : width_(width), memory_(memory) {}

  void push(T* block) {
    int j = 0;
    for (Index full = blocks_++; full & 1; full >>= 1, ++j)
      for (int w = 0; w < width_; ++w) block[w] = Join{}(level(j)[w], block[w]);
    std::copy_n(block, width_, level(j));
  }

  const T* finish() {
    T* folded = nullptr;
    for (int j = 0; blocks_ >> j; ++j) {
      if (!(blocks_ >> j & 1)) continue;
      if (folded)
        for (int w = 0; w < width_; ++w) level(j)[w] = Join{}(level(j)[w], folded[w]);
      folded = level(j);
    }
    return folded;
  }

 private:
  T* level(int j) { return memory_ + j * width_; }

  const int width_;
  T* const memory_;
  Index blocks_ = 0;
};

// Joins lane l with lane l + half until one is left: first whole vectors, each of which holds one
// or several lanes, then the lanes of one vector.
template <class Join, int step = 1, class V, std::size_t n> V join_vectors(const V (&x)[n], int l = 0) {
  if constexpr (step == n)
    return x[l];
  else
    return Join{}(join_vectors<Join, 2 * step>(x, l), join_vectors<Join, 2 * step>(x, l + step));
}
template <class Join, class V> simd::Element<V> join_lanes(V x) {
  const auto [low, high] = simd::halves(x);
  if constexpr (simd::kLanesOf<V> == 2)
    return Join{}(x[0], x[1]);
  else
    return join_lanes<Join>(Join{}(low, high));
}

}  // namespace minimeta

// The sequences that a reduction folds, and the fold of neighbouring ones: its vectors hold an element
// of each, and the eight lanes of fold.hpp are eight vectors.
#pragma once

#include <algorithm>

#include "lanes.hpp"
#include "loop.hpp"

namespace minimeta {

// x with its axes split into kept and reduced ones, each group merged where possible.
struct Reduction {
  const char* data;
  Loop<1> kept, reduced;
  Index outputs, length;
};

constexpr Index kBlock = 1024;
constexpr int kChains = 4;     // blocks that `along` folds at once: one chain of additions leaves the adder waiting
constexpr int kPanel = 256;    // outputs that `across` folds at once,
constexpr int kRows = 32;      // and rows that it reads for one vector of them before it turns to the next
constexpr int kShort = 32;     // the longest sequences that are gathered,
constexpr int kGathered = 64;  // and how many of them at once

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

// Folds rows, each of which holds one element of every output, one vector of outputs after another;
// its eight lanes are registers. The last vector may overlap the one before it. At least one vector
// of a row is read; lanes beyond its outputs are folded, too, and ignored.
template <class T, class Map, class Join> class Panel {
  using V = simd::Vec<T>;
  static constexpr int kStep = simd::kLanes<T>, kAbreast = simd::kRegisters < 32 ? 1 : 2;
  static_assert(kPanel % kStep == 0);

 public:
  Panel(int width, const T* parameters) : width_(width), padded_(std::max(width, kStep)), parameters_(parameters) {
    if (width == padded_) return;
    std::fill_n(std::copy_n(parameters, width, parameter_), kStep - width, T(0));
    parameters_ = parameter_;
  }

  // Takes the next rows. If `folded` is given, it receives the fold of all rows since it was last
  // given.
  void add(const T* const* rows, int n, T* folded = nullptr) {
    T vector[kStep];
    T* const to = width_ < kStep ? vector : folded;
    int w = 0;
    for (; w + kAbreast * kStep <= padded_; w += kAbreast * kStep) add<kAbreast>(rows, n, w, folded ? to : nullptr);
    for (; w < padded_; w += kStep) add<1>(rows, n, w, folded ? to : nullptr);
    if (folded && to != folded) std::copy_n(to, width_, folded);
    empty_ = folded;
    next_ = folded ? 0 : (next_ + n) % kLanes;
  }

 private:
  // Folds so many vectors of every row at once, the first at column w or where the last one begins.
  template <int Vectors> void add(const T* const* rows, int n, int w, T* folded) {
    T* const kept = kept_ + w * kLanes;
    const int column = std::min(w, padded_ - kStep);
    V lanes[Vectors][kLanes], parameter[Vectors];
    MINIMETA_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      parameter[v] = simd::load<V>(parameters_ + column + v * kStep);
      MINIMETA_UNROLL
      for (int l = 0; l < kLanes; ++l)
        lanes[v][l] = empty_ ? simd::broadcast<V>(Join::template identity<T>())
                             : simd::load<V>(kept + (v * kLanes + l) * kStep);
    }
    // The processor does not see where the next rows lie, a few cache lines in each of many pages.
    const Index ahead = n == kRows ? (rows[1] - rows[0]) * kRows : 0;
    const auto join = [&](int l, const T* row) {
      MINIMETA_UNROLL
      for (int v = 0; v < Vectors; ++v) __builtin_prefetch(row + column + v * kStep + ahead);
      MINIMETA_UNROLL
      for (int v = 0; v < Vectors; ++v)
        lanes[v][l] = Join{}(lanes[v][l], Map{}(simd::load<V>(row + column + v * kStep), parameter[v]));
    };
    for (int i = -next_; i < n; i += kLanes)
      if (i >= 0 && i + kLanes <= n) {
        MINIMETA_UNROLL
        for (int l = 0; l < kLanes; ++l) join(l, rows[i + l]);
      } else {
        MINIMETA_UNROLL
        for (int l = 0; l < kLanes; ++l)
          if (i + l >= 0 && i + l < n) join(l, rows[i + l]);
      }
    MINIMETA_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      if (folded) simd::store(folded + column + v * kStep, join_vectors<Join>(lanes[v]));
      MINIMETA_UNROLL
      for (int l = 0; l < kLanes && !folded; ++l) simd::store(kept + (v * kLanes + l) * kStep, lanes[v][l]);
    }
  }

  const int width_, padded_;
  const T* parameters_;
  bool empty_ = true;
  int next_ = 0;  // the lane of the next row
  T parameter_[kStep], kept_[kLanes * kPanel];
};

}  // namespace minimeta

// Folds of rows that are shorter than a vector.
//
// Each row holds an element of every output, and row k goes to lane k mod 8 (fold.hpp). So of rows
// that lie one after another, eight are the eight lanes, as they lie in memory:
//
//   x:      a0 b0 | a1 b1 | ... | a7 b7     a8 b8 | a9 b9 | ...
//   lanes:  a  b  | a  b  | ... | a  b      lane l of output a adds up a_l, a_{l+8}, ...
//
// They are joined register by register, where a row by itself would leave most of one empty.
#pragma once

#include <algorithm>

#include "lanes.hpp"

namespace minimeta {

template <class T, class Map, class Join> class Narrow {
  using V = simd::Vec<T>;
  static constexpr int kStep = simd::kLanes<T>, kMost = kLanes * kStep;

 public:
  Narrow(int width, const T* parameters) : size_(kLanes * width) {
    for (int i = 0; i < size_; ++i) parameters_[i] = parameters[i % width];
    clear();
  }

  // Takes n rows, one after another.
  void add(const T* rows, Index n) {
    for (Index left = n * size_ / kLanes; left > 0;) {
      const int size = static_cast<int>(std::min<Index>(left, size_ - next_));
      int i = 0;
      for (; i + kPart<T> <= size; i += kPart<T>) join(rows + i, next_ + i, kPart<T>);
      if (i < size) {
        T rest[kPart<T>] = {};
        std::copy_n(rows + i, size - i, rest);
        join(rest, next_ + i, size - i);
      }
      rows += size;
      left -= size;
      next_ = (next_ + size) % size_;
    }
  }

  // Writes the fold of all rows since the last time.
  void fold(T* folded) {
    const int width = size_ / kLanes;
    V lanes[kLanes];
    for (int l = 0; l < kLanes; ++l) lanes[l] = simd::load<V>(lanes_ + l * width);
    T vector[kStep];
    simd::store(vector, join_vectors<Join>(lanes));
    std::copy_n(vector, width, folded);
    clear();
  }

 private:
  void clear() {
    std::fill_n(lanes_, kMost + kStep, Join::template identity<T>());
    next_ = 0;
  }

  // Joins the first n elements of a register to the lanes from the i-th element on.
  void join(const T* x, int i, int n) {
    const Part<T> before = simd::load<Part<T>>(lanes_ + i);
    const Part<T> joined = Join{}(before, Map{}(simd::load<Part<T>>(x), simd::load<Part<T>>(parameters_ + i)));
    if (n == kPart<T>) {
      simd::store(lanes_ + i, joined);
    } else {
      T some[kPart<T>];
      simd::store(some, joined);
      std::copy_n(some, n, lanes_ + i);
    }
  }

  const int size_;  // elements of eight rows
  int next_ = 0;  // the element of the lanes to go on with
  T lanes_[kMost + kStep], parameters_[kMost + kStep] = {};
};

}  // namespace minimeta

// Folds of short sequences: some of them are copied, so that their k-th elements are neighbours, as a
// panel takes them (panel.hpp). The bits are those of fold.hpp.
#pragma once

#include <algorithm>

#include "panel.hpp"
#include "transpose.hpp"

namespace minimeta {

// Folds rows of n outputs, which are copies. All else here is compiled once for every Map and Join.
template <class T>
using FoldCopies = void (*)(const T* const* rows, Index length, Index n, const T* parameters, T* result);
template <class T, class Map, class Join>
void fold_copies(const T* const* rows, Index length, Index n, const T* parameters, T* result) {
  Panel<T, Map, Join>(static_cast<int>(n), parameters).add(rows, static_cast<int>(length), result);
}

// Short sequences that lie close together. Those of `inside` neighbouring outputs are a short row of
// memory, and the next ones another, further along an axis: rows become columns, and a sequence is a
// few of them.
template <class T> class ShortRows {
  static constexpr Index kSpan = 2 * kShort;

 public:
  explicit ShortRows(const Reduction& r) : r_(r) {
    for (; axis_ + 1 < r.kept.ndim && inside_ * r.kept.shape[axis_] * r.length <= kSpan; ++axis_)
      inside_ *= r.kept.shape[axis_];
    Index near = 0, far = 0, n = 0;
    for (Index o = 0; o < inside_; ++o) {
      char* first[1] = {const_cast<char*>(r.data)};
      move_to(r.kept, o, first);
      Cursor(r.reduced, first[0]).next(r.length, [&](const char* piece, Index stride, Index size) {
        for (Index i = 0; i < size; ++i) {
          columns_[n] = (piece - r.data + i * stride) / Index{sizeof(T)};
          near = std::min(near, columns_[n]);
          far = std::max(far, columns_[n++]);
        }
      });
    }
    fits_ = near == 0 && far < kSpan;
    span_ = far + 1;
    width_ = span_ <= kShort ? kGathered : kGathered / 2;
  }

  bool fits() const { return fits_; }
  Index inside() const { return inside_; }

  // Folds outputs [first, last), which begin and end with a row.
  void fold(FoldCopies<T> fold_copies, Index first, Index last, const T* parameters, Index step, T* result) const {
    Loop<1> rows = r_.kept;
    rows.ndim -= axis_;
    std::copy_n(r_.kept.shape + axis_, rows.ndim, rows.shape);
    for (int d = 0; d < rows.ndim; ++d) rows.strides[d][0] = r_.kept.strides[d + axis_][0];
    char* const data[1] = {const_cast<char*>(r_.data)};
    for_each_row(rows, data, first / inside_, last / inside_, [&](char* const* row, const Index* strides, Index size) {
      for (Index i = 0, n; i < size; i += n, parameters += n * inside_ * step, result += n * inside_) {
        n = std::min(width_, size - i);
        spend(n * inside_ * r_.length);
        fold_some(fold_copies, reinterpret_cast<const T*>(row[0] + i * strides[0]), strides[0] / Index{sizeof(T)}, n,
                  parameters, step, result);
      }
    });
  }

 private:
  void fold_some(FoldCopies<T> fold_copies, const T* from, Index row, Index n, const T* parameters, Index step,
                 T* result) const {
    T copies[kShort * kGathered], own[kSpan * kGathered / 2], folded[kSpan * kGathered / 2];
    for (Index c = 0; c < span_ && n < simd::kLanes<T>; ++c) std::fill_n(copies + c * width_, simd::kLanes<T>, T(0));
    transpose(from, row, n, span_, copies, width_);
    const bool apart = inside_ > 1;
    if (apart && step > 0) transpose(parameters, inside_, n, inside_, own, width_);
    for (Index o = 0; o < inside_; ++o) {
      const T* rows[kShort];
      for (Index k = 0; k < r_.length; ++k) rows[k] = copies + columns_[o * r_.length + k] * width_;
      fold_copies(rows, r_.length, n, apart && step > 0 ? own + o * width_ : parameters,
                  apart ? folded + o * width_ : result);
    }
    if (apart) transpose(folded, width_, inside_, n, result, inside_);
  }

  const Reduction& r_;
  int axis_ = 0;      // along which the rows follow each other
  Index inside_ = 1;  // outputs of a row
  Index columns_[kSpan], span_, width_;  // of each element, and of all; how many rows at once
  bool fits_;
};

// Outputs of any layout, of short sequences at the same offsets from each.
template <class T> struct Gathered {
  Index length = 0, offsets[kShort];
  int width = 0;
  const char* outputs[kGathered];

  explicit Gathered(const Reduction& r) {
    Cursor(r.reduced, r.data).next(r.length, [&](const char* piece, Index stride, Index n) {
      for (Index i = 0; i < n; ++i) offsets[length++] = (piece - r.data) + i * stride;
    });
  }

  void fold(FoldCopies<T> fold_copies, const T* parameters, T* result) const {
    T copies[kShort][kGathered];
    const T* rows[kShort];
    for (Index k = 0; k < length; ++k) {
      rows[k] = copies[k];
      std::fill_n(copies[k], simd::kLanes<T>, T(0));
    }
    for (int w = 0; w < width; ++w)
      for (Index k = 0; k < length; ++k) copies[k][w] = *reinterpret_cast<const T*>(outputs[w] + offsets[k]);
    fold_copies(rows, length, width, parameters, result);
  }
};

// The same for sequences of any layout.
template <class T> void fold_gathered(const Reduction& r, FoldCopies<T> fold_copies, Index first, Index last,
                                      const T* parameters, Index step, T* result) {
  char* const data[1] = {const_cast<char*>(r.data)};
  Gathered<T> gathered(r);
  Index left = last - first;
  for_each_row(r.kept, data, first, last, [&](char* const* row, const Index* strides, Index size) {
    for (Index i = 0; i < size; ++i) {
      gathered.outputs[gathered.width++] = row[0] + i * strides[0];
      if (--left > 0 && gathered.width < kGathered) continue;
      spend(gathered.width * r.length);
      gathered.fold(fold_copies, parameters, result);
      parameters += gathered.width * step;
      result += gathered.width;
      gathered.width = 0;
    }
  });
}

template <class T> void fold_short(const Reduction& r, FoldCopies<T> fold_copies, Index first, Index last,
                                   const T* parameters, Index step, T* result) {
  const ShortRows<T> rows(r);
  const Index inside = rows.inside(), begin = std::min(last, (first + inside - 1) / inside * inside);
  const Index end = rows.fits() ? std::max(begin, last / inside * inside) : begin;
  const auto part = [&](auto go, Index from, Index to) {
    if (from < to) go(from, to, parameters + (from - first) * step, step, result + (from - first));
  };
  const auto gather = [&](auto... arguments) { fold_gathered<T>(r, fold_copies, arguments...); };
  part(gather, first, begin);
  part([&](auto... arguments) { rows.fold(fold_copies, arguments...); }, begin, end);
  part(gather, end, last);
}

}  // namespace minimeta

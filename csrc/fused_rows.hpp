// Elements on their way to the buffers of a group (fused.hpp), and past the caches from them.
#pragma once

#include <algorithm>
#include <cstring>

#include "array.hpp"
#include "loop.hpp"
#include "simd.hpp"

namespace minimeta {

// Fills y, of n elements, with copies of x, of `period` elements; n is a multiple of the period.
template <class T> void repeat(const T* x, Index period, T* y, Index n) {
  using V = simd::Vec<T>;
  constexpr Index lanes = simd::kLanes<T>;
  for (T* const end = y + n; y != end; y += period) {
    if (period < lanes) {
      for (Index i = 0; i < period; ++i) y[i] = x[i];
      continue;
    }
    for (Index i = 0; i + lanes <= period; i += lanes) simd::store(y + i, simd::load<V>(x + i));
    simd::store(y + period - lanes, simd::load<V>(x + period - lanes));
  }
}

// Copies a short row: a call of memcpy takes as long as the copy.
inline void copy_bytes(const char* from, char* to, Index bytes) {
  using V = simd::Vec<std::uint64_t, 4>;
  constexpr Index size = sizeof(V);
  if (bytes < size) {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
    return;
  }
  for (Index i = 0; i + size <= bytes; i += size) simd::store(to + i, simd::load<V>(from + i));
  simd::store(to + bytes - size, simd::load<V>(from + bytes - size));
}

// Copies an array of any layout, block after block: a walk through its rows that goes on where it ended, so that it
// need not find out by divisions in which row it is. Rows may repeat, if they do not move along the axis before.
class Copier {
 public:
  Copier(const Loop<1>& loop, char* from, Index element)
      : loop_(&loop),
        from_(from),
        row_(from),
        element_(element),
        outer_(loop.ndim > 1 && loop.strides[1][0] == 0 ? 2 : 1) {
    times_ = outer_ == 2 ? loop.shape[1] : 1;
  }

  void copy(Index first, Index size, char* to) {
    if (first != next_) seek(first);
    next_ = first + size;
    with_size(element_, [&](auto tag) { copy_rows(reinterpret_cast<typename decltype(tag)::type*>(to), size); });
  }

 private:
  template <class T> void copy_rows(T* to, Index size) {
    const Index side = loop_->shape[0], stride = loop_->strides[0][0];
    Index done = done_, time = time_;
    for (T* const end = to + size; to != end;) {
      if (done == 0 && are_columns(Index{sizeof(T)}))
        if (const Index rows = std::min((end - to) / side, loop_->shape[1] - index_[1]); rows > 0) {
          copy_columns(rows, to);
          to += rows * side;
          next_row(rows);
          continue;
        }
      if (done == 0 && side <= 4 && (stride == 0 || (stride == Index{sizeof(T)} && times_ > 1)))
        to = copy_short_rows<4>(to, end, time);
      const Index n = std::min<Index>(end - to, side - done);
      const char* const from = row_ + done * stride;
      if (stride == Index{sizeof(T)})
        copy_bytes(from, reinterpret_cast<char*>(to), n * stride);
      else if (stride == 0)  // the statistic of a row
        std::fill_n(to, n, *reinterpret_cast<const T*>(from));
      else
        short_rows::take_every(reinterpret_cast<const T*>(from), stride / Index{sizeof(T)}, to, n);
      to += n;
      done += n;
      if (done < side) break;
      done = 0;
      if (++time < times_) continue;
      time = 0;
      next_row();
    }
    done_ = done;
    time_ = time;
  }

  // Copies whole rows of at most so many elements, each as a vector, whose rest the next row overwrites;
  // returns where there is no room for one more vector.
  template <int Most, class T> T* copy_short_rows(T* to, const T* end, Index& time) {
    using V = simd::Vec<T, Most>;
    const Index side = loop_->shape[0];
    const bool repeats = loop_->strides[0][0] == 0;
    while (end - to > Most) {
      const T* const from = reinterpret_cast<const T*>(row_);
      V row;
      if (!repeats && is_followed((Most - side) * Index{sizeof(T)})) {
        row = simd::load<V>(from);
      } else {
        row = simd::broadcast<V>(*from);
        for (int i = 1; i < Most && !repeats; ++i) row[i] = from[std::min<Index>(i, side - 1)];
      }
      for (; time < times_ && end - to > Most; ++time, to += side) simd::store(to, row);
      if (time < times_) break;
      time = 0;
      next_row();
    }
    return to;
  }

  // Whether rows are short, and their columns, or the one that is all of them, are contiguous.
  bool are_columns(Index element) const {
    const Index most = loop_->strides[0][0] == 0 ? short_rows::kMost : short_rows::kFew;
    return loop_->ndim > 1 && loop_->strides[1][0] == element && loop_->shape[0] <= most;
  }

  template <class T> void copy_columns(Index rows, T* to) const {
    const T* columns[short_rows::kFew];
    const Index side = loop_->shape[0], stride = loop_->strides[0][0];
    columns[0] = reinterpret_cast<const T*>(row_);
    if (stride == 0) return short_rows::repeat_each(columns[0], side, to, rows);
    for (Index j = 1; j < side; ++j) columns[j] = reinterpret_cast<const T*>(row_ + j * stride);
    short_rows::interleave(columns, side, to, rows);
  }

  // Whether the next row begins so many bytes further in memory, or more.
  bool is_followed(Index bytes) const {
    return outer_ < loop_->ndim && index_[outer_] + 1 < loop_->shape[outer_] && loop_->strides[outer_][0] >= bytes;
  }

  // Goes on by so many rows of one axis.
  void next_row(Index rows = 1) {
    for (int d = outer_; d < loop_->ndim; ++d, rows = 1) {
      row_ += rows * loop_->strides[d][0];
      if ((index_[d] += rows) < loop_->shape[d]) return;
      row_ -= loop_->strides[d][0] * loop_->shape[d];
      index_[d] = 0;
    }
  }

  void seek(Index first) {
    Index rest = first / loop_->shape[0];
    done_ = first % loop_->shape[0];
    time_ = rest % times_;
    rest /= times_;
    row_ = from_;
    for (int d = outer_; d < loop_->ndim; rest /= loop_->shape[d++]) {
      index_[d] = rest % loop_->shape[d];
      row_ += index_[d] * loop_->strides[d][0];
    }
  }

  const Loop<1>* loop_;
  char *from_, *row_;
  Index element_;  // bytes
  int outer_;      // the first axis that moves from row to row
  Index times_;    // that a row repeats
  // The element to go on from, how much of its row is before it, how often its row was there; and where the row is.
  Index next_ = 0, done_ = 0, time_ = 0, index_[kMaxDims] = {};
};

// What a maximum over windows puts into images, n elements from element `first` on: in each window its
// chosen cell gets the window's cotangent, and the others zero. The windows lie side by side.
struct Windowed {
  Index rows, columns;                    // of a window
  Index height, width, channels, down, right;  // of the images; and how many windows

  template <class T, class C> void put(const T* g, const C* chosen, Index first, Index n, T* to) const {
    Index c = first % channels, x = first / channels % width, row = first / channels / width;  // of all images
    for (T* const end = to + n; to != end; x = 0, ++row) {
      const Index y = row % height, cell = y % rows * columns;
      Index from = ((row / height * down + y / rows) * right + x / columns) * channels;
      for (Index v = x / columns, j = x % columns; v < right && to != end; ++v, j = 0, from += channels) {
        if (j == 0 && c == 0 && end - to >= columns * channels) {
          put_pixels(g + from, chosen + from, channels, cell, columns, to);
          to += columns * channels;
          continue;
        }
        for (; j < columns && to != end; ++j, c = 0) {
          const Index size = std::min<Index>(end - to, channels - c);
          put_pixels(g + from + c, chosen + from + c, size, cell + j, Index{1}, to);
          to += size;
        }
      }
    }
  }

 private:
  // The same n channels of so many neighbours. Zero is added as where a sum begins: g may be -0.
  template <class T, class C>
  static void put_pixels(const T* g, const C* chosen, Index n, Index cell, Index pixels, T* to) {
    using N = simd::Unsigned<sizeof(T)>;
    using V = simd::Vec<T>;
    constexpr Index lanes = simd::kLanes<T>;
    Index i = 0;
    for (; i + lanes <= n; i += lanes) {
      const auto numbers = simd::resize<N>(simd::load<simd::Vec<C, lanes>>(chosen + i)) - static_cast<N>(cell);
      const V value = simd::load<V>(g + i) + V{};
      for (Index j = 0; j < pixels; ++j) simd::store(to + j * n + i, numbers == static_cast<N>(j) ? value : V{});
    }
    for (; i < n; ++i)
      for (Index j = 0; j < pixels; ++j) to[j * n + i] = static_cast<Index>(chosen[i]) == cell + j ? g[i] + T(0) : T(0);
  }
};

// Copies past the caches, if the memory is aligned.
inline void stream(const char* from, char* to, Index bytes) {
  using V = simd::Vec<std::uint64_t>;
  Index i = 0;
  if (reinterpret_cast<std::uintptr_t>(to) % sizeof(V) == 0)
    for (; i + Index{sizeof(V)} <= bytes; i += sizeof(V)) simd::stream(to + i, simd::load<V>(from + i));
  std::memcpy(to + i, from + i, static_cast<std::size_t>(bytes - i));
}

}  // namespace minimeta

// Sums over leading axes of values that exist a block at a time, in the order that fold.hpp gives
// to every sum.
//
// A row of a block holds one term of each of `width` outputs. Threads share a sum in chunks of 1024
// terms for each output, since such a chunk is a whole subtree of that order; the chunks' sums are
// joined at the end.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "fold.hpp"

namespace minimeta {

// The sums of one chunk, whose terms arrive block by block.
class ChunkSums {
 public:
  virtual ~ChunkSums() = default;
  virtual void add(const char* block, Index elements) = 0;
  virtual void finish(char* sums) = 0;  // writes them, and starts the next chunk
};

// Several outputs: the lanes of a panel are outputs.
template <class T> class PanelSums final : public ChunkSums {
 public:
  explicit PanelSums(Index width) : width_(width), panel_(static_cast<int>(width), kZeros) {}
  void add(const char* block, Index elements) override { add(reinterpret_cast<const T*>(block), elements, nullptr); }
  void finish(char* sums) override { add(nullptr, 0, reinterpret_cast<T*>(sums)); }

  // The next terms; where `sums` is given, it gets the sums of all terms since it was last given.
  void add(const T* x, Index elements, T* sums) {
    const T* const end = x + elements;
    do {
      const T* rows[kRows];
      int n = 0;
      for (; n < kRows && x != end; x += width_) rows[n++] = x;
      panel_.add(rows, n, x == end ? sums : nullptr);
    } while (x != end);
  }

 private:
  static constexpr T kZeros[kPanel] = {};
  const Index width_;
  Panel<T, Itself, Sum> panel_;
};

// The sum of at most 1024 contiguous terms.
template <class T> void sum_along(const T* x, Index terms, T* sum) {
  const T parameter = 0;
  fold_blocks<1, T, Itself, Sum>(reinterpret_cast<const char*>(x), 0, terms, &parameter, sum);
}

// Fewer outputs than a vector has lanes.
template <class T> class NarrowSums final : public ChunkSums {
 public:
  explicit NarrowSums(Index width) : width_(width), narrow_(static_cast<int>(width), kZeros) {}
  void add(const char* block, Index elements) override {
    narrow_.add(reinterpret_cast<const T*>(block), elements / width_);
  }
  void finish(char* sums) override { narrow_.fold(reinterpret_cast<T*>(sums)); }

 private:
  static constexpr T kZeros[simd::kLanes<T>] = {};
  const Index width_;
  Narrow<T, Itself, Sum> narrow_;
};

// One output: its terms are contiguous, and are collected until they are a chunk.
template <class T> class CollectedSum final : public ChunkSums {
 public:
  void add(const char* block, Index elements) override {
    std::copy_n(reinterpret_cast<const T*>(block), elements, terms_ + size_);
    size_ += elements;
  }
  void finish(char* sums) override { sum_along(terms_, std::exchange(size_, 0), reinterpret_cast<T*>(sums)); }

 private:
  Index size_ = 0;
  T terms_[kBlock];
};

template <class T> std::unique_ptr<ChunkSums> chunk_sums(Index width) {
  if (width == 1) return std::make_unique<CollectedSum<T>>();
  if (width < simd::kLanes<T>) return std::make_unique<NarrowSums<T>>(width);
  return std::make_unique<PanelSums<T>>(width);
}

// The sums of a chunk that is one block.
template <class T> void sum_block(const T* x, Index elements, Index width, T* sums) {
  if (width == 1) return sum_along(x, elements, sums);
  if (width >= simd::kLanes<T>) return PanelSums<T>(width).add(x, elements, sums);
  NarrowSums<T> narrow(width);
  narrow.add(reinterpret_cast<const char*>(x), elements);
  narrow.finish(reinterpret_cast<char*>(sums));
}

// The sums of n chunks, joined in pairs, as the subtrees that they are.
template <class T> void join_chunks(T* chunks, Index n, Index width, T* sums) {
  const std::unique_ptr<T[]> levels(new T[static_cast<std::size_t>(Tree<T, Sum>::levels(n) * width)]);
  Tree<T, Sum> tree(static_cast<int>(width), levels.get());
  for (Index i = 0; i < n; ++i) tree.push(chunks + i * width);
  std::copy_n(tree.finish(), width, sums);
}

}  // namespace minimeta

// Products on the register tile (tile.hpp): panels copied where that pays, and sums cut into chains
// and groups.
//
//   c[i, j] (+)= sum over s, t, p of  a[i; s, t, p] * b[s, t, p; j]
//
// Each element of c is a sum in the order of the loops. A chain of fused multiply-adds that begins
// at 0 has at most 128 terms (256 in a convolution), at most 16 chains are added one after another,
// and such groups are added pairwise. If there are more terms, a chain takes as many whole inner
// loops as it has room for, or else so many steps of one. So the error of n terms is at most 144 +
// log2(n / 2048) roundings of the sum of their magnitudes (272 + log2(n / 4096) in a convolution),
// where a single chain has n.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "tile.hpp"

namespace minimeta {

// The longest chains. Matrix products are as accurate as those of OpenBLAS, which sums some columns
// in chains of 320 terms and others in two of half that. A chain of a convolution takes a whole row
// of 3 x 64 taps: cutting it costs 5 % of a step.
constexpr Index kMatrixChain = 128, kChain = 256;  // terms
constexpr Index kGroup = 16;                       // chains

// Aligned memory that grows to the largest size asked for so far; small sizes take no allocation.
template <class T> class Scratch {
 public:
  T* take(Index size) {
    if (size <= kFew) return few_;
    if (size > size_) {
      many_.reset(static_cast<T*>(::operator new(static_cast<std::size_t>(size) * sizeof(T), kAlignment)));
      size_ = size;
    }
    return many_.get();
  }

  // Frees the memory if it holds more than so many elements.
  void keep(Index most) {
    if (size_ <= most) return;
    many_.reset();
    size_ = 0;
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  static constexpr Index kFew = 16 * 1024 / sizeof(T);
  struct Free {
    void operator()(T* memory) const { ::operator delete(memory, kAlignment); }
  };
  alignas(64) T few_[kFew];
  std::unique_ptr<T, Free> many_;
  Index size_ = 0;
};

// Adds groups pairwise: level j holds the sum of 2^j groups, or nothing, like a digit of a binary
// counter. The current group is summed in c.
template <class T> class Groups {
 public:
  // For an m x n part of c; `begun` says that it holds the beginning of a sum.
  Groups(T* c, const Index* rows, Index column, Index m, Index n, bool begun)
      : c_(c), rows_(rows), column_(column), m_(m), n_(n), begun_(begun) {}

  // Returns whether c accumulates the next product, of so many chains. If not, the product begins a
  // group and overwrites c.
  bool next(Index chains) {
    if (chains_ > 0 && chains_ + chains > kGroup) {
      close();
      chains_ = 0;
      begun_ = false;
    }
    const bool accumulate = begun_ || chains_ > 0;
    chains_ += chains;
    return accumulate;
  }

  void finish() {
    for (std::size_t j = 0; j < levels_.size(); ++j)
      if (closed_ >> j & 1) for_each(levels_[j].get(), [](T& level, T& c) { c = level + c; });
  }

 private:
  void close() {
    std::size_t j = 0;
    for (; closed_ >> j & 1; ++j) for_each(levels_[j].get(), [](T& level, T& c) { c = level + c; });
    if (j == levels_.size()) levels_.emplace_back(new T[static_cast<std::size_t>(m_ * n_)]);
    for_each(levels_[j].get(), [](T& level, T& c) { level = c; });
    ++closed_;
  }

  template <class Body> void for_each(T* level, Body body) {
    for (Index i = 0; i < m_; ++i)
      for (Index j = 0; j < n_; ++j) body(level[i * n_ + j], c_[rows_[i] + j * column_]);
  }

  T* const c_;
  const Index* const rows_;
  const Index column_, m_, n_;
  bool begun_;
  Index chains_ = 0;
  std::size_t closed_ = 0;
  std::vector<std::unique_ptr<T[]>> levels_;
};

// How many of n to take at a time, at most so many or one, so that the last are not much fewer.
inline Index evenly(Index n, Index most) {
  most = std::max<Index>(most, 1);
  const Index parts = std::max<Index>((n + most - 1) / most, 1);
  return (n + parts - 1) / parts;
}

constexpr Index kBlockRows = 96, kBlockTerms = 96 * kBlockRows;  // so many rows of a stay in the second cache
constexpr Index kOften = 48;  // from so many rows on, a copy of the panel that all of them read pays

namespace detail {

// How many steps of each loop a chain takes.
struct ChainSteps {
  ChainSteps(const Index (&counts)[3], Index room) : counts{counts[0], counts[1], counts[2]} {
    for (int d = 2; d >= 0; --d) {
      steps[d] = std::clamp<Index>(room, 1, counts[d]);
      room /= counts[d];
    }
  }

  Index chains() const {
    Index n = 1;
    for (int d = 0; d < 3; ++d) n *= (counts[d] + steps[d] - 1) / steps[d];
    return n;
  }

  // Whether the chain that begins there is the last one.
  bool is_last(const Index (&at)[3]) const {
    return at[0] + steps[0] >= counts[0] && at[1] + steps[1] >= counts[1] && at[2] + steps[2] >= counts[2];
  }

  // Calls go(at) for each chain of a product, after it has set q to that chain, which begins there.
  template <class T, class Go> void for_each(Product<T>& q, Go go) const {
    const T *const a = q.a, *const b = q.b;
    Index at[3];
    for (at[0] = 0; at[0] < counts[0]; at[0] += steps[0])
      for (at[1] = 0; at[1] < counts[1]; at[1] += steps[1])
        for (at[2] = 0; at[2] < counts[2]; at[2] += steps[2]) {
          q.a = a;
          q.b = b;
          for (int d = 0; d < 3; ++d) {
            q.counts[d] = std::min(steps[d], counts[d] - at[d]);
            q.a += at[d] * q.a_steps[d];
            q.b += at[d] * q.b_steps[d];
          }
          go(at);
        }
    q.a = a;
    for (int d = 0; d < 3; ++d) q.counts[d] = counts[d];
  }

  Index counts[3], steps[3];
};

}  // namespace detail

// Some rows of a product, up to one, whose terms are zero but in a box of the three loops. Only those
// in the box are read and added.
struct Box {
  Index rows;
  std::array<Index, 3> first, last;
};
using Boxes = std::vector<Box>;

// How many chains of so many terms at most a product has.
inline Index chains(const Index (&counts)[3], Index chain = kChain) {
  if (counts[0] * counts[1] * counts[2] == 0) return 0;
  return detail::ChainSteps(counts, chain).chains();
}

// What is computed of sums that are in memory already, rows [first, last) of c, and of what lies as c does.
template <class T> void finish_rows(const Product<T>& q, Index first, Index last, Index columns);

// c = a b, or c += a b, for m rows and n columns. What finishes it goes with the last chain of each row,
// so there may be one group of chains at most, and no fewer columns than a vector has. `copy` copies b panel by panel, which is needed
// if its columns do not lie side by side. A few columns of many rows are always copied, padded to a
// vector. If there are boxes, together they have all rows.
template <class T> void multiply(Product<T> q, Index m, Index n, Index b_column, bool copy, Scratch<T>& scratch,
                                 Index chain = kChain, const Boxes* boxes = nullptr);

// A small matrix product that runs again and again: which tile computes which part of c is decided
// once. The columns of c lie side by side. So do those of b; otherwise its rows do, and b is
// transposed first.
template <class T> class TiledProduct {
 public:
  static bool fits(Index m, Index k, Index n, Index c_column) {
    const bool padded = n < simd::kLanes<T> && std::min(m, k) >= kOften;
    return k > 0 && k <= kMatrixChain * kGroup && c_column == 1 && m <= 96 && !padded;
  }

  TiledProduct(Index m, Index k, Index n, const Index (&a)[2], const Index (&b)[2], Index c_row);
  // So many are computed of each sum before it is stored.
  void run(const T* a, const T* b, T* c, const Finishing<T>* finishing = nullptr, Index finishes = 0) const;

 private:
  struct Part {
    detail::Tile<T> tile;
    Index row, column, columns;
  };
  Product<T> product_;
  Index b_column_;
  std::vector<Index> rows_;  // of a, then of c
  std::vector<Part> parts_;
};

}  // namespace minimeta

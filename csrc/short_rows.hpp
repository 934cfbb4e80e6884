// Rows of a few elements, as those of points and quaternions are.
//
//   take_every    to[i]           = from[i step]         a column of such rows
//   interleave    to[i n + j]     = from_j[i], j < n     columns become rows
//   repeat_each   to[i times + j] = from[i], j < times   a number that a row shares
//
// An element at a time takes a load and a store. A vector takes as many elements with a shuffle or
// two: which lane goes where is the same again after a few vectors, so it stands in tables.
// Elements have 4 or 8 bytes; only their bits count. Others, and other rows, go one by one.
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>

#include "array.hpp"
#include "simd.hpp"

namespace minimeta::short_rows {

constexpr Index kMost = 8;  // times that an element is repeated in vectors,
constexpr Index kFew = 4;   // and columns that are taken from rows, or become rows

namespace detail {

template <class T> using Word = simd::Unsigned<sizeof(T)>;
template <class T> using Words = simd::Vec<Word<T>>;
template <class T> constexpr Index kLanes = simd::kLanes<T>;
template <class T> constexpr bool kShuffles = sizeof(T) >= 4;

// For each lane of a vector, a lane of two vectors one after another.
template <class T> struct Choice {
  Word<T> lanes[static_cast<std::size_t>(kLanes<T>)];
};
template <class T, class Choose> constexpr Choice<T> choice(Choose choose) {
  Choice<T> chosen{};
  for (Index l = 0; l < kLanes<T>; ++l) chosen.lanes[l] = static_cast<Word<T>>(choose(l));
  return chosen;
}
template <class T> MINIMETA_INLINE Words<T> shuffle(Words<T> x, Words<T> y, const Choice<T>& choice) {
#if defined(__clang__)
  Words<T> z{};
  for (Index l = 0; l < kLanes<T>; ++l) {
    const Index from = static_cast<Index>(choice.lanes[l]);
    z[l] = from < kLanes<T> ? x[from] : y[from - kLanes<T>];
  }
  return z;
#else
  return __builtin_shuffle(x, y, simd::load<Words<T>>(choice.lanes));
#endif
}

// So many elements in a row take so many vectors. The v-th gives the lanes whose elements it has,
// and the last ends with the last element that is taken.
template <class T, int step> constexpr Index vector_begins(Index v) { return v * (kLanes<T> - (v == step - 1)); }
template <class T, int step> constexpr auto taking() {
  std::array<Choice<T>, step> table{};
  for (int v = 1; v < step; ++v)
    table[v] = choice<T>([=](Index l) {
      const Index at = l * step, kept = v == 1 ? at : l;
      return at < v * kLanes<T> ? kept : kLanes<T> + std::min(at - vector_begins<T, step>(v), kLanes<T> - 1);
    });
  return table;
}

// The v-th of n vectors gets from the j-th array the lanes that are its own.
template <class T, int n> constexpr auto interleaving() {
  std::array<std::array<Choice<T>, n>, n> table{};
  for (int v = 0; v < n; ++v)
    for (int j = 1; j < n; ++j)
      table[v][j] = choice<T>([=](Index l) {
        const Index at = v * kLanes<T> + l, kept = j == 1 ? at / n : l;
        return at % n == j ? kLanes<T> + at / n : kept;
      });
  return table;
}

template <class T> constexpr auto repeating() {
  std::array<std::array<Choice<T>, kMost>, kMost + 1> table{};
  for (int times = 1; times <= kMost; ++times)
    for (int v = 0; v < times; ++v) table[times][v] = choice<T>([=](Index l) { return (v * kLanes<T> + l) / times; });
  return table;
}

template <class T, int step> inline constexpr auto kTaking = taking<T, step>();
template <class T, int n> inline constexpr auto kInterleaving = interleaving<T, n>();
template <class T> inline constexpr auto kRepeating = repeating<T>();

// Calls go(i) for the vectors of n elements, which begin with the i-th; the last may overlap the one
// before it. Returns how many elements are left: all, if they fill no vector.
template <class T, class Go> Index in_vectors(Index n, Go go) {
  if (n < kLanes<T>) return n;
  for (Index i = 0; i < n; i += kLanes<T>) go(std::min(i, n - kLanes<T>));
  return 0;
}

// Calls go with n as a constant if it is 2, 3 or kFew, and returns what it does; otherwise `none`.
template <class T, class Go> Index with_few([[maybe_unused]] Index n, Index none, [[maybe_unused]] Go go) {
  if constexpr (kShuffles<T>) {
    if (n == 2) return go(std::integral_constant<int, 2>{});
    if (n == 3) return go(std::integral_constant<int, 3>{});
    if (n == 4) return go(std::integral_constant<int, kFew>{});
  }
  return none;
}

}  // namespace detail

template <class T> void take_every(const T* from, Index step, T* to, Index n) {
  using namespace detail;
  const Index left = with_few<T>(step, n, [=](auto few) {
    constexpr int constant = decltype(few)::value;
    return in_vectors<T>(n, [=](Index i) {
      const T* const part = from + i * constant;
      auto taken = simd::load<Words<T>>(part);
  MINIMETA_UNROLL
      for (int v = 1; v < constant; ++v)
        taken = shuffle<T>(taken, simd::load<Words<T>>(part + vector_begins<T, constant>(v)), kTaking<T, constant>[v]);
      simd::store(to + i, taken);
    });
  });
  for (Index i = 0; i < left; ++i) to[i] = from[i * step];
}

template <class T> void interleave(const T* const* from, Index arrays, T* to, Index n) {
  using namespace detail;
  const Index left = with_few<T>(arrays, n, [=](auto few) {
    constexpr int constant = decltype(few)::value;
    return in_vectors<T>(n, [=](Index i) {
      Words<T> x[constant];
      MINIMETA_UNROLL
      for (int j = 0; j < constant; ++j) x[j] = simd::load<Words<T>>(from[j] + i);
      MINIMETA_UNROLL
      for (int v = 0; v < constant; ++v) {
        Words<T> row = x[0];
        MINIMETA_UNROLL
        for (int j = 1; j < constant; ++j) row = shuffle<T>(row, x[j], kInterleaving<T, constant>[v][j]);
        simd::store(to + i * constant + v * kLanes<T>, row);
      }
    });
  });
  for (Index i = 0; i < left; ++i)
    for (Index j = 0; j < arrays; ++j) to[i * arrays + j] = from[j][i];
}

template <class T> void repeat_each(const T* from, Index times, T* to, Index n) {
  using namespace detail;
  Index left = n;
  if constexpr (kShuffles<T>)
    if (times <= kMost)
      left = in_vectors<T>(n, [=, &choices = kRepeating<T>[static_cast<std::size_t>(times)]](Index i) {
        const auto x = simd::load<Words<T>>(from + i);
        for (Index v = 0; v < times; ++v)
          simd::store(to + i * times + v * kLanes<T>, shuffle<T>(x, x, choices[static_cast<std::size_t>(v)]));
      });
  for (Index i = 0; i < left; ++i) std::fill_n(to + i * times, times, from[i]);
}

}  // namespace minimeta::short_rows

// Along one axis of length n, with `inner` elements between neighbours.
//
// A running sum is a chain of additions, each of which waits for the one before. A long sequence is
// cut into 16 chunks of equal length; eight are summed at a time, as chains that do not wait for
// each other, and then each chunk is raised by the sum of those before it. The cut depends on the
// length alone.
//
// The order is found by a radix sort: numbers become unsigned keys that increase with them, and are
// dealt out to 2048 buckets by 11 bits at a time, the lowest first. A deal keeps the order of equal
// digits, so equal elements keep theirs.
//
// A place in an order is found by halving, without a branch: which half it is nobody can foretell. A
// few places are looked for together, since each step waits for the one before it.
#include "sequences.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "layout.hpp"
#include "loop.hpp"
#include "parallel.hpp"

namespace minimeta {
namespace {

constexpr Index kLong = 4096;
constexpr Index kChunks = 16, kChains = 8;

// x as contiguous memory: its own, or a copy at `room`.
template <class T> const T* contiguous(const View& x, char* room) {
  View flat;
  describe(flat, "copy", x.dtype, x);
  if (std::equal(x.strides, x.strides + x.ndim, flat.strides)) return reinterpret_cast<const T*>(x.data);
  flat.data = room;
  copy(x, flat);
  return reinterpret_cast<const T*>(room);
}

// y[k step] = x[0] + ... + x[k step], from `total` on; `x` may be `y`.
template <class T> T chain(const T* x, T* y, Index step, Index n, T total) {
  for (Index k = 0; k < n; ++k) y[k * step] = total += x[k * step];
  return total;
}

template <class T> void long_cumsum(const T* x, T* y, Index step, Index n) {
  const Index size = n / kChunks;
  T totals[kChunks];
  for_each_in_parallel(kChunks / kChains, n, [&](Index group) {
    T sums[kChains] = {};
    const Index first = group * kChains * size;
    for (Index k = 0; k < size; ++k)
      for (Index c = 0; c < kChains; ++c) {
        const Index i = (first + c * size + k) * step;
        y[i] = sums[c] += x[i];
      }
    std::copy(sums, sums + kChains, totals + group * kChains);
  });
  chain(x + kChunks * size * step, y + kChunks * size * step, step, n - kChunks * size, T(0));
  T before[kChunks + 1] = {};
  for (Index c = 0; c < kChunks; ++c) before[c + 1] = before[c] + totals[c];
  for_each_in_parallel(kChunks, n, [&](Index chunk) {
    const Index first = (chunk + 1) * size, last = chunk + 1 == kChunks ? n : first + size;
    for (Index k = first; k < last; ++k) y[k * step] += before[chunk + 1];
  });
}

template <class T> void cumsum(const T* x, T* y, Index outer, Index n, Index inner, bool reverse) {
  const Index step = reverse ? -inner : inner, start = reverse ? (n - 1) * inner : 0;
  if (inner == 1 && n >= kLong) {
    for (Index o = 0; o < outer; ++o) long_cumsum(x + o * n + start, y + o * n + start, step, n);
    return;
  }
  parallel_for(outer, outer * n * inner, [&](Index first, Index last) {
    Patience& p = patience;
    for (Index o = first; o < last; ++o) {
      const T* from = x + o * n * inner + start;
      T* to = y + o * n * inner + start;
      spend(p, n * inner);
      if (inner == 1) {
        chain(from, to, step, n, T(0));
        continue;
      }
      std::copy(from, from + inner, to);
      for (Index k = 1; k < n; ++k)
        for (Index i = 0; i < inner; ++i) to[k * step + i] = to[(k - 1) * step + i] + from[k * step + i];
    }
  });
}

template <class T> using Key = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

// Increases with x; equal where x is, and the largest of all for NaN.
template <class T> Key<T> key_of(T x) {
  constexpr Key<T> sign = Key<T>(1) << (8 * sizeof(T) - 1);
  if (std::isnan(x)) return ~Key<T>(0);
  x += T(0);  // -0 is 0
  Key<T> bits;
  std::memcpy(&bits, &x, sizeof(T));
  return bits & sign ? ~bits : bits | sign;
}

template <class T> struct Item {
  Key<T> key;
  Key<T> place;
};

constexpr int kBits = 11;
constexpr Index kBuckets = Index(1) << kBits;

template <class T> void sort_by_digits(std::vector<Item<T>>& items, std::vector<Item<T>>& other) {
  constexpr int digits = (8 * sizeof(T) + kBits - 1) / kBits;
  std::vector<std::array<Index, kBuckets>> starts(digits);
  for (const Item<T>& item : items)
    for (int d = 0; d < digits; ++d) ++starts[d][item.key >> (d * kBits) & (kBuckets - 1)];
  for (int d = 0; d < digits; ++d) {
    Index sum = 0;
    bool alike = false;
    for (Index& start : starts[d]) {
      const Index size = start;
      alike |= size == static_cast<Index>(items.size());
      start = sum;
      sum += size;
    }
    if (alike) continue;
    for (const Item<T>& item : items)
      other[static_cast<std::size_t>(starts[d][item.key >> (d * kBits) & (kBuckets - 1)]++)] = item;
    items.swap(other);
  }
}

template <class T> void order(const T* x, std::int64_t* y, Index outer, Index n, Index inner) {
  const Index sequences = outer * inner;
  parallel_for(sequences, sequences * n * 8, [&](Index first, Index last) {
    Patience& p = patience;
    std::vector<Item<T>> items(static_cast<std::size_t>(n)), other(n < kBuckets ? 0 : items.size());
    for (Index s = first; s < last; ++s) {
      const Index start = s / inner * n * inner + s % inner;
      spend(p, 8 * n);
      for (Index k = 0; k < n; ++k)
        items[static_cast<std::size_t>(k)] = {key_of(x[start + k * inner]), static_cast<Key<T>>(k)};
      if (n < kBuckets)
        std::sort(items.begin(), items.end(), [](const Item<T>& a, const Item<T>& b) {
          return a.key < b.key || (a.key == b.key && a.place < b.place);
        });
      else
        sort_by_digits<T>(items, other);
      for (Index k = 0; k < n; ++k)
        y[start + k * inner] = static_cast<std::int64_t>(items[static_cast<std::size_t>(k)].place);
    }
  });
}

// Whether x is before the place of v in an order whose last numbers are NaN.
template <bool right, class T> bool is_before(T x, T v) {
  return right ? (x <= v) | (v != v) : (x < v) | ((v != v) & (x == x));
}

template <int Few, bool right, class T, class Values>
void places(Strided<T> sorted, Index n, const Values& v, std::int64_t* result) {
  Index begin[Few] = {};
  for (Index left = n; left > 1;) {
    const Index half = left / 2;
    for (int i = 0; i < Few; ++i) begin[i] += half & -Index{is_before<right>(sorted[begin[i] + half - 1], v(i))};
    left -= half;
  }
  for (int i = 0; i < Few; ++i) result[i] = begin[i] + (n > 0 && is_before<right>(sorted[begin[i]], v(i)));
}

template <bool right, class T> void searchsorted(const View& sorted, const View& v, const View& result) {
  const Index n = sorted.shape[0];
  const Strided<T> from{sorted.data, sorted.strides[0]};
  const auto row = [=](char* const* data, const Index* strides, Index size) {
    const Strided<T> x{data[0], strides[0]};
    std::int64_t* const to = reinterpret_cast<std::int64_t*>(data[1]);
    Index i = 0;
    for (; i + 8 <= size; i += 8) places<8, right>(from, n, [&](int k) { return x[i + k]; }, to + i);
    for (; i < size; ++i) places<1, right>(from, n, [&](int) { return x[i]; }, to + i);
  };
  for_each_row_in_parallel<2>({&v, &result}, row, 16);
}

struct Sides {
  Index outer = 1, n, inner = 1;
  Sides(const View& x, Index axis) : n(x.shape[axis]) {
    for (Index d = 0; d < axis; ++d) outer *= x.shape[d];
    for (Index d = axis + 1; d < x.ndim; ++d) inner *= x.shape[d];
  }
};

void check(const char* operation, const View& x, Index axis, Dtype dtype, View& result) {
  require_float(operation, x);
  require_axis(operation, axis, x.ndim);
  describe(result, operation, dtype, x);
}

}  // namespace

void check_cumsum(const View& x, Index axis, View& result) { check("cumsum", x, axis, x.dtype, result); }

void run_cumsum(const View& x, Index axis, bool reverse, const View& result) {
  const Sides s(x, axis);
  if (count(result) == 0) return;
  with_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    cumsum(contiguous<T>(x, result.data), reinterpret_cast<T*>(result.data), s.outer, s.n, s.inner, reverse);
  });
}

void check_order(const View& x, Index axis, View& result) {
  check("order", x, axis, Dtype::int64, result);
  require(x.dtype != Dtype::float32 || x.shape[axis] <= Index(UINT32_MAX), "order",
          "there are more than 2^32 elements along the axis");
}

void check_searchsorted(const View& sorted, const View& v, View& result) {
  require_float("searchsorted", sorted);
  require_same_dtype("searchsorted", sorted, v);
  require(sorted.ndim == 1, "searchsorted", "the sorted numbers must have one axis");
  describe(result, "searchsorted", Dtype::int64, v);
}

void run_searchsorted(const View& sorted, const View& v, bool right, const View& result) {
  with_float(v.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    right ? searchsorted<true, T>(sorted, v, result) : searchsorted<false, T>(sorted, v, result);
  });
}

void run_order(const View& x, Index axis, const View& result) {
  const Sides s(x, axis);
  if (count(result) == 0) return;
  const std::unique_ptr<char[]> room(new char[static_cast<std::size_t>(count(x) * itemsize(x.dtype))]);
  with_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    order(contiguous<T>(x, room.get()), reinterpret_cast<std::int64_t*>(result.data), s.outer, s.n, s.inner);
  });
}

}  // namespace minimeta

// Walking several arrays of one shape together, in C order, one row at a time.
//
// Adjacent axes are merged if every operand steps through both as through one (stride[d] =
// stride[d+1] * size[d+1]). A contiguous operation of any rank is therefore a single row, and the
// cost of the walk is paid once per row. Nothing is reordered: rows arrive in C order.
#pragma once

#include <algorithm>
#include <cstring>

#include "array.hpp"
#include "parallel.hpp"
#include "short_rows.hpp"
#include "simd.hpp"

namespace minimeta {

// Axes are stored innermost first. There is always at least one. `empty` says that some size is
// zero.
template <int N> struct Loop {
  bool empty;
  int ndim;
  Index shape[kMaxDims];
  Index strides[kMaxDims][N];
};

// Plans the walk over the axes [first, last), along which the operands have equal sizes.
template <int N> void plan(Loop<N>& loop, const View* const (&operands)[N], int first, int last) {
  loop.empty = false;
  loop.ndim = 0;
  for (int d = last - 1; d >= first; --d) {
    const Index size = operands[0]->shape[d];
    if (size == 1) continue;
    if (size == 0) loop.empty = true;
    bool merges = loop.ndim > 0;
    for (int i = 0; merges && i < N; ++i)
      merges = operands[i]->strides[d] == loop.strides[loop.ndim - 1][i] * loop.shape[loop.ndim - 1];
    if (merges) {
      loop.shape[loop.ndim - 1] *= size;
      continue;
    }
    for (int i = 0; i < N; ++i) loop.strides[loop.ndim][i] = operands[i]->strides[d];
    loop.shape[loop.ndim++] = size;
  }
  if (loop.ndim > 0) return;
  loop.ndim = 1;
  loop.shape[0] = 1;
  for (int i = 0; i < N; ++i) loop.strides[0][i] = 0;
}

template <int N> Index count(const Loop<N>& loop) { return loop.empty ? 0 : count(loop.ndim, loop.shape); }

// Moves the pointers from the first element of the walk to element `i`.
template <int N> void move_to(const Loop<N>& loop, Index i, char* (&data)[N]) {
  for (int d = 0; d < loop.ndim && i > 0; ++d) {
    const Index step = i % loop.shape[d];
    for (int n = 0; n < N; ++n) data[n] += step * loop.strides[d][n];
    i /= loop.shape[d];
  }
}

// Calls row(pointers, strides, size) for every innermost row of the elements [first, last), a range
// that may begin and end inside of a row. The callee may move the pointers.
template <int N, class Row>
void for_each_row(const Loop<N>& loop, char* const (&data)[N], Index first, Index last, Row row) {
  if (first >= last) return;
  char* outer[N];
  char* inner[N];
  Index index[kMaxDims];
  for (int i = 0; i < N; ++i) outer[i] = data[i];
  for (int d = 1; d < loop.ndim; ++d) index[d] = 0;
  Index done = 0;  // of the current row
  if (first > 0) {
    done = first % loop.shape[0];
    move_to(loop, first - done, outer);
    Index rest = first / loop.shape[0];
    for (int d = 1; d < loop.ndim; rest /= loop.shape[d++]) index[d] = rest % loop.shape[d];
  }
  for (;;) {
    const Index size = std::min(last - first, loop.shape[0] - done);
    for (int i = 0; i < N; ++i) inner[i] = outer[i] + done * loop.strides[0][i];
    row(inner, loop.strides[0], size);
    first += size;
    if (first == last) return;
    done = 0;
    for (int d = 1; d < loop.ndim; ++d) {
      for (int i = 0; i < N; ++i) outer[i] += loop.strides[d][i];
      if (++index[d] < loop.shape[d]) break;
      for (int i = 0; i < N; ++i) outer[i] -= loop.strides[d][i] * loop.shape[d];
      index[d] = 0;
    }
  }
}

template <int N, class Row> void for_each_row(const Loop<N>& loop, char* const (&data)[N], Row row) {
  for_each_row(loop, data, 0, count(loop), row);
}

template <int N, class Row> void for_each_row(const View* const (&operands)[N], Row row) {
  Loop<N> loop;
  plan(loop, operands, 0, operands[0]->ndim);
  char* data[N];
  for (int i = 0; i < N; ++i) data[i] = operands[i]->data;
  for_each_row(loop, data, row);
}

// The same on threads, for rows that write disjoint parts of a result; `cost` is that of one
// element.
template <int N, class Row> void for_each_row_in_parallel(const View* const (&operands)[N], Row row, Index cost = 1) {
  Loop<N> loop;
  plan(loop, operands, 0, operands[0]->ndim);
  char* data[N];
  for (int i = 0; i < N; ++i) data[i] = operands[i]->data;
  const Index n = count(loop);
  parallel_for(n, work({n, cost}), [&](Index begin, Index end) {
    in_pieces(begin, end, cost, [&](Index first, Index last) { for_each_row(loop, data, first, last, row); });
  });
}

// Copies a row. Only the size of an element matters, not its type.
template <class T> void copy_row(char* const* data, const Index* strides, Index size) {
  if (strides[0] == Index{sizeof(T)} && strides[1] == Index{sizeof(T)}) {
    std::memcpy(data[1], data[0], static_cast<std::size_t>(size) * sizeof(T));
    return;
  }
  if (strides[1] == Index{sizeof(T)})
    return short_rows::take_every(reinterpret_cast<const T*>(data[0]), strides[0] / Index{sizeof(T)},
                                  reinterpret_cast<T*>(data[1]), size);
  for (Index i = 0; i < size; ++i)
    *reinterpret_cast<T*>(data[1] + i * strides[1]) = *reinterpret_cast<const T*>(data[0] + i * strides[0]);
}

// Three ways to read an operand of a row. They are types, so that the compiler vectorises a stride
// of one element and keeps a repeated element in a register.
template <class T> struct Contiguous {
  const T* data;
  T operator[](Index i) const { return data[i]; }
};
template <class T> struct Repeated {
  T value;
  T operator[](Index) const { return value; }
};
template <class T> struct Strided {
  const char* data;
  Index stride;
  T operator[](Index i) const { return *reinterpret_cast<const T*>(data + i * stride); }
};

// Calls go(reader, ...) with one reader for each operand, of types T, Rest...
template <class T, class... Rest, class Go> void read_dense(char* const* data, const Index* strides, Go go) {
  const auto next = [&](auto reader) {
    if constexpr (sizeof...(Rest) == 0)
      go(reader);
    else
      read_dense<Rest...>(data + 1, strides + 1, [&](auto... rest) { go(reader, rest...); });
  };
  const T* first = reinterpret_cast<const T*>(*data);
  if (*strides == 0)
    next(Repeated<T>{*first});
  else
    next(Contiguous<T>{first});
}

template <class T, class... Rest, class Go> void read_strided(char* const* data, const Index* strides, Go go) {
  const Strided<T> reader{*data, *strides};
  if constexpr (sizeof...(Rest) == 0)
    go(reader);
  else
    read_strided<Rest...>(data + 1, strides + 1, [&](auto... rest) { go(reader, rest...); });
}

// If one operand is strided, all are read as strided: three ways for each of three operands would
// be 27 loops.
template <class... T, class Go> void read_row(char* const* data, const Index* strides, Go go) {
  const Index sizes[] = {Index{sizeof(T)}...};
  bool dense = true;
  for (std::size_t i = 0; i < sizeof...(T); ++i) dense = dense && (strides[i] == 0 || strides[i] == sizes[i]);
  if (dense)
    read_dense<T...>(data, strides, go);
  else
    read_strided<T...>(data, strides, go);
}

// y[i] = f(x[i], ...) for a few vectors together: a step of a function waits for the one before it, and
// the processor goes on with another vector meanwhile, if its steps are next to these in the program
// (CMakeLists.txt). So much lies between two reads of memory that the next ones are asked for ahead.
template <int Vectors, class T, class F, class... X> MINIMETA_INLINE void map_few(T* y, F f, const X*... x) {
  constexpr Index lanes = simd::kLanes<T>;
  simd::Vec<T> few[Vectors];
  MINIMETA_UNROLL
  for (int k = 0; k < Vectors; ++k) {
    (__builtin_prefetch(x + (k + Vectors) * lanes), ...);
    few[k] = f(simd::load<simd::Vec<T>>(x + k * lanes)...);
  }
  MINIMETA_UNROLL
  for (int k = 0; k < Vectors; ++k) simd::store(y + k * lanes, few[k]);
}

// The same for all whole vectors; returns how many elements those are. y may be an x.
template <class T, class F, class... X> Index map_vectors(T* y, Index size, F f, const X*... x) {
  constexpr Index lanes = simd::kLanes<T>;
  Index i = 0;
  for (; i + 4 * lanes <= size; i += 4 * lanes) map_few<4>(y + i, f, x + i...);
  for (; i + lanes <= size; i += lanes) map_few<1>(y + i, f, x + i...);
  return i;
}

// y[i] = f(x[i]) for a function f of vectors; y may be x. The last elements are padded to a vector,
// so that f rounds them like all others.
template <class T, class F> void map_row(const T* x, T* y, Index size, F f) {
  using V = simd::Vec<T>;
  constexpr Index lanes = simd::kLanes<T>;
  const Index i = map_vectors(y, size, f, x);
  if (i == size) return;
  T last[lanes] = {};
  std::copy_n(x + i, size - i, last);
  simd::store(last, f(simd::load<V>(last)));
  std::copy_n(last, size - i, y + i);
}

// The same for any stride of x. A repeated element is computed once; others are first gathered into
// a contiguous block.
template <class T, class F> void map_row(const char* x, Index stride, T* y, Index size, F f) {
  if (stride == Index{sizeof(T)}) return map_row(reinterpret_cast<const T*>(x), y, size, f);
  if (stride == 0) {
    map_row(reinterpret_cast<const T*>(x), y, 1, f);
    std::fill_n(y + 1, size - 1, *y);
    return;
  }
  constexpr Index block = 256;
  T gathered[block];
  for (Index done = 0; done < size; done += block) {
    const Index n = std::min(block, size - done);
    const Strided<T> from{x + done * stride, stride};
    for (Index i = 0; i < n; ++i) gathered[i] = from[i];
    map_row(gathered, y + done, n, f);
  }
}

}  // namespace minimeta

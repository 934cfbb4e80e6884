// Walking several arrays of one shape together, in C order, a row at a time.
//
// Adjacent axes are merged where every operand steps through both as through one (stride[d] = stride[d+1] * size[d+1]),
// so a contiguous operation of any rank is a single row, and the cost of the walk is paid once per row. Nothing is
// reordered: what a kernel sees first is what comes first in C order.
#pragma once

#include "array.hpp"

namespace minimeta {

// Axes are stored innermost first. There is always at least one; a size of zero anywhere makes `empty`.
template <int N> struct Loop {
  bool empty;
  int ndim;
  Index shape[kMaxDims];
  Index strides[kMaxDims][N];
};

// The walk over the axes [first, last) of operands that agree on their sizes there.
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

// row(pointers, strides, size) for every innermost row; the pointers are the row's own to move.
template <int N, class Row> void for_each_row(const Loop<N>& loop, char* const (&data)[N], Row row) {
  if (loop.empty) return;
  char* outer[N];
  char* inner[N];
  Index index[kMaxDims];
  for (int i = 0; i < N; ++i) outer[i] = data[i];
  for (int d = 1; d < loop.ndim; ++d) index[d] = 0;
  for (;;) {
    for (int i = 0; i < N; ++i) inner[i] = outer[i];
    row(inner, loop.strides[0], loop.shape[0]);
    int d = 1;
    for (; d < loop.ndim; ++d) {
      for (int i = 0; i < N; ++i) outer[i] += loop.strides[d][i];
      if (++index[d] < loop.shape[d]) break;
      for (int i = 0; i < N; ++i) outer[i] -= loop.strides[d][i] * loop.shape[d];
      index[d] = 0;
    }
    if (d >= loop.ndim) return;
  }
}

// Moves the pointers from the first element of the walk to element `i` of it.
template <int N> void move_to(const Loop<N>& loop, Index i, char* (&data)[N]) {
  for (int d = 0; d < loop.ndim && i > 0; ++d) {
    const Index step = i % loop.shape[d];
    for (int n = 0; n < N; ++n) data[n] += step * loop.strides[d][n];
    i /= loop.shape[d];
  }
}

template <int N, class Row> void for_each_row(const View* const (&operands)[N], Row row) {
  Loop<N> loop;
  plan(loop, operands, 0, operands[0]->ndim);
  char* data[N];
  for (int i = 0; i < N; ++i) data[i] = operands[i]->data;
  for_each_row(loop, data, row);
}

// How a row reads an operand. The three are types so that the compiler sees a stride of one element, vectorises, and
// keeps a repeated element in a register.
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

// go(reader, ...) with one reader for each operand of types T, Rest...
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

// One strided operand makes all of them strided: three ways for each operand would be 27 loops for three.
template <class... T, class Go> void read_row(char* const* data, const Index* strides, Go go) {
  const Index sizes[] = {Index{sizeof(T)}...};
  bool dense = true;
  for (std::size_t i = 0; i < sizeof...(T); ++i) dense = dense && (strides[i] == 0 || strides[i] == sizes[i]);
  if (dense)
    read_dense<T...>(data, strides, go);
  else
    read_strided<T...>(data, strides, go);
}

}  // namespace minimeta

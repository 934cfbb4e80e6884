// Gather and scatter-add: all indices are checked and become byte offsets before any element moves.
#include "indexing.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "layout.hpp"
#include "loop.hpp"
#include "parallel.hpp"

namespace minimeta {
namespace {

void check_indices(const char* operation, const View* indices, Index k, int ndim) {
  require(1 <= k && k <= ndim, operation, "one to as many index arrays are needed as there are axes");
  for (Index i = 0; i < k; ++i) {
    require<DtypeError>(indices[i].dtype == Dtype::int64, operation, "index arrays must be int64");
    require_same_shape(operation, indices[0], indices[i]);
  }
}

// The offset in bytes of target[i_0[b], ..., i_{k-1}[b]], for every b in C order.
std::vector<Index> offsets(const char* operation, const View& target, const View* indices, Index k) {
  const Index n = count(indices[0]);
  std::vector<Index> result(static_cast<std::size_t>(n), 0);
  const Index rows = indices[0].ndim > 0 ? indices[0].shape[0] : 1;
  parallel_for(rows, n * k, [&](Index first, Index last) {
    for (Index axis = 0; axis < k; ++axis) {
      const Index size = target.shape[axis], stride = target.strides[axis];
      Index* offset = result.data() + first * (n / rows);
      View part = indices[axis];
      if (part.ndim > 0) {
        part.data += first * part.strides[0];
        part.shape[0] = last - first;
      }
      for_each_row<1>({&part}, [&](char* const* data, const Index* strides, Index length) {
        read_row<std::int64_t>(data, strides, [=, to = offset](auto index) {
          Index least = 0, most = 0;  // loops without a way out are computed by vectors
          for (Index i = 0; i < length; ++i) {
            least = std::min<Index>(least, index[i]);
            most = std::max<Index>(most, index[i]);
          }
          for (Index i = 0; (least < -size || most >= size) && i < length; ++i)
            if (index[i] < -size || index[i] >= size)
              throw std::out_of_range(std::string(operation) + ": index " + std::to_string(index[i]) +
                                      " is out of bounds for axis " + std::to_string(axis) + " with size " +
                                      std::to_string(size));
          for (Index i = 0; i < length; ++i) to[i] += (index[i] < 0 ? index[i] + size : index[i]) * stride;
        });
        offset += length;
      });
    }
  });
  return result;
}

// A view of the axes [first, last) of an array.
View axes_of(const View& x, int first, int last) {
  View part;
  part.data = x.data;
  part.dtype = x.dtype;
  part.ndim = last - first;
  std::copy(x.shape + first, x.shape + last, part.shape);
  std::copy(x.strides + first, x.strides + last, part.strides);
  return part;
}

// Whether an item is one row, whose elements lie next to each other on both sides: the walk is then a
// plain loop.
template <class T> bool is_contiguous(const Loop<2>& loop) {
  return loop.ndim == 1 && loop.strides[0][0] == Index{sizeof(T)} && loop.strides[0][1] == Index{sizeof(T)};
}

template <class T> void add_row(char* const* data, const Index* strides, Index size) {
  T* __restrict sum = reinterpret_cast<T*>(data[1]);
  read_row<T>(data, strides, [=](auto x) {
    for (Index i = 0; i < size; ++i) sum[i] += x[i];
  });
}

}  // namespace

void check_gather(const View& x, const View* indices, Index k, View& result) {
  check_indices("gather", indices, k, x.ndim);
  Index shape[2 * kMaxDims];
  Index* end = std::copy_n(indices[0].shape, indices[0].ndim, shape);
  end = std::copy(x.shape + k, x.shape + x.ndim, end);
  describe(result, "gather", x.dtype, static_cast<int>(end - shape), shape);
}

void run_gather(const View& x, const View* indices, Index k, const View& result) {
  const std::vector<Index> offset = offsets("gather", x, indices, k);
  const View item = axes_of(x, static_cast<int>(k), x.ndim), target = axes_of(result, indices[0].ndim, result.ndim);
  const Index size = count(item), n = static_cast<Index>(offset.size());
  if (size == 0) return;
  Loop<2> loop;  // over one item, planned once
  plan<2>(loop, {&item, &target}, 0, item.ndim);
  const Index* const offset_of = offset.data();
  parallel_for(n, n * size, [&](Index first, Index last) {
    Patience& p = patience;
    with_size(itemsize(x.dtype), [&](auto tag) {
      using T = typename decltype(tag)::type;
      T* const to = reinterpret_cast<T*>(result.data);
      if (size == 1)
        return in_pieces(first, last, 1, [&](Index begin, Index end) {
          for (Index b = begin; b < end; ++b) to[b] = *reinterpret_cast<const T*>(x.data + offset_of[b]);
        });
      if (is_contiguous<T>(loop))
        return in_pieces(first, last, size, [&](Index begin, Index end) {
          for (Index b = begin; b < end; ++b) {
            const T* const from = reinterpret_cast<const T*>(x.data + offset_of[b]);
            for (Index i = 0; i < size; ++i) to[b * size + i] = from[i];
          }
        });
      for (Index b = first; b < last; ++b) {
        spend(p, size);
        for_each_row<2>(loop, {x.data + offset_of[b], reinterpret_cast<char*>(to + b * size)}, copy_row<T>);
      }
    });
  });
}

void check_scatter_add(const View& updates, const View* indices, Index k, const Shape& shape, View& result) {
  require_float("scatter_add", updates);
  check_indices("scatter_add", indices, k, shape.ndim);
  describe(result, "scatter_add", updates.dtype, shape.ndim, shape.size);
  const int b = indices[0].ndim;
  bool fits = updates.ndim == b + shape.ndim - k;
  for (int d = 0; fits && d < updates.ndim; ++d)
    fits = updates.shape[d] == (d < b ? indices[0].shape[d] : shape.size[d - b + k]);
  require(fits, "scatter_add", "updates must have the shape of the items that the indices choose");
}

void run_scatter_add(const View& updates, const View* indices, Index k, const View& result) {
  std::memset(result.data, 0, static_cast<std::size_t>(count(result) * itemsize(result.dtype)));
  const std::vector<Index> offset = offsets("scatter_add", result, indices, k);
  const View outer = axes_of(updates, 0, indices[0].ndim);
  const View item = axes_of(updates, indices[0].ndim, updates.ndim);
  const View target = axes_of(result, static_cast<int>(k), result.ndim);
  const Index size = count(item);
  if (size == 0) return;
  Loop<2> loop;
  plan<2>(loop, {&item, &target}, 0, item.ndim);
  const Index* next = offset.data();
  Patience& p = patience;
  with_float(updates.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool plain = is_contiguous<T>(loop);
    for_each_row<1>({&outer}, [&](char* const* data, const Index* strides, Index n) {
      if (size == 1)
        return read_row<T>(data, strides, [&](auto x) {
          in_pieces(0, n, 1, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i) *reinterpret_cast<T*>(result.data + next[i]) += x[i];
          });
          next += n;
        });
      for (Index i = 0; i < n; ++i) {
        char *const from = data[0] + i * strides[0], *const to = result.data + *next++;
        spend(p, size);
        if (plain) {
          const T* __restrict x = reinterpret_cast<const T*>(from);
          T* __restrict sum = reinterpret_cast<T*>(to);
          for (Index j = 0; j < size; ++j) sum[j] += x[j];
        } else {
          for_each_row<2>(loop, {from, to}, add_row<T>);
        }
      }
    });
  });
}

}  // namespace minimeta

// Views, and the copies that assemble arrays: see layout.hpp.
#include "layout.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "elementwise.hpp"
#include "fused_rows.hpp"
#include "loop.hpp"
#include "parallel.hpp"
#include "transpose.hpp"

namespace minimeta {
namespace {

// Whether start + i * step lies in [0, size) for every i < n. By division: the product may not fit.
bool is_inside(Index start, Index n, Index step, Index size) {
  if (n < 0 || step == 0) return false;
  return n == 0 || (start >= 0 && start < size && (step > 0 ? (size - 1 - start) / step : -(start / step)) >= n - 1);
}

// If x is transposed, its neighbours in memory lie along another axis than the result's. Makes that
// axis the second.
bool bring_neighbours_second(Loop<2>& loop) {
  const auto step = [&](int axis) { return std::abs(loop.strides[axis][0]); };
  int nearest = 0;
  for (int d = 1; d < loop.ndim; ++d)
    if (step(d) > 0 && step(d) < step(nearest)) nearest = d;
  if (nearest == 0) return false;
  std::swap(loop.shape[1], loop.shape[nearest]);
  std::swap(loop.strides[1], loop.strides[nearest]);
  return true;
}

// Copies two axes, a tile at a time, so that all of a cache line of x is used before the line is
// evicted. A tile spans eight lines, because a cache holds no more lines whose addresses are a
// power of two apart.
template <class T> void copy_plane(const Loop<2>& loop, char* const* data) {
  constexpr Index kLines = 8, kAlong = 32, element = sizeof(T);
  const Index* inner = loop.strides[0];
  const Index* outer = loop.strides[1];
  if (outer[0] == element && inner[1] == element)
    return transpose(reinterpret_cast<const T*>(data[0]), inner[0] / element, loop.shape[0], loop.shape[1],
                     reinterpret_cast<T*>(data[1]), outer[1] / element);
  for (Index j = 0; j < loop.shape[1]; j += kAlong) {
    const Index end = std::min(j + kAlong, loop.shape[1]);
    for (Index i = 0; i < loop.shape[0]; i += kLines) {
      const Index lines = std::min(kLines, loop.shape[0] - i);
      for (Index row = j; row < end; ++row) {
        char* const part[2] = {data[0] + i * inner[0] + row * outer[0], data[1] + i * inner[1] + row * outer[1]};
        copy_row<T>(part, inner, lines);
      }
    }
  }
}

// Copies two axes whose rows are a few elements side by side, as coordinates are.
template <class T, int Side> void copy_short_rows(const Loop<2>& loop, char* const* data) {
  const Index* outer = loop.strides[1];
  for (Index i = 0; i < loop.shape[1]; ++i)
    std::memcpy(data[1] + i * outer[1], data[0] + i * outer[0], Side * sizeof(T));
}

// Copies numbers that lie side by side, each to all of a short row.
template <class T> void copy_repeated(const Loop<2>& loop, char* const* data) {
  short_rows::repeat_each(reinterpret_cast<const T*>(data[0]), loop.shape[0], reinterpret_cast<T*>(data[1]),
                          loop.shape[1]);
}

template <class T> void copy_all(const Loop<2>& loop, char* const (&data)[2], bool transposed) {
  constexpr Index element = sizeof(T);
  const bool has_rows = !transposed && loop.ndim > 1 && loop.strides[0][1] == element;
  const bool are_repeated = has_rows && loop.shape[0] <= short_rows::kMost && loop.strides[0][0] == 0 &&
                            loop.strides[1][0] == element && loop.strides[1][1] == loop.shape[0] * element;
  const bool are_short = has_rows && loop.shape[0] <= 4 && loop.strides[0][0] == element;
  if (!transposed && !are_repeated && !are_short) return for_each_row<2>(loop, data, copy_row<T>);
  Loop<2> planes = loop;
  planes.shape[0] = planes.shape[1] = 1;  // a plane is one step of the walk
  const auto copy = transposed           ? copy_plane<T>
                    : are_repeated       ? copy_repeated<T>
                    : loop.shape[0] == 2 ? copy_short_rows<T, 2>
                    : loop.shape[0] == 3 ? copy_short_rows<T, 3>
                                         : copy_short_rows<T, 4>;
  for_each_row<2>(planes, data, [&](char* const* plane, const Index*, Index) { copy(loop, plane); });
}

// Copies short rows, each of which is repeated.
void copy_repeated_rows(const View& x, const View& result) {
  const Index element = itemsize(x.dtype);
  Loop<1> walk;
  plan<1>(walk, {&x}, 0, x.ndim);
  parallel_for(count(x), count(x), [&](Index first, Index last) {
    Copier(walk, x.data, element).copy(first, last - first, result.data + first * element);
  });
}

}  // namespace

void copy(const View& x, const View& result) {
  Loop<2> loop;
  plan<2>(loop, {&x, &result}, 0, x.ndim);
  if (loop.empty) return;
  const bool are_repeated = loop.ndim > 1 && loop.shape[0] <= short_rows::kFew && loop.strides[1][0] == 0;
  if (are_repeated && period(result) == count(result)) return copy_repeated_rows(x, result);
  const bool transposed = bring_neighbours_second(loop);
  const int outermost = loop.ndim - 1;
  with_size(itemsize(x.dtype), [&](auto tag) {
    parallel_for(loop.shape[outermost], count(x), [&](Index first, Index last) {
      Loop<2> part = loop;
      part.shape[outermost] = last - first;
      char* const data[2] = {x.data + first * loop.strides[outermost][0],
                             result.data + first * loop.strides[outermost][1]};
      copy_all<typename decltype(tag)::type>(part, data, transposed);
    });
  });
}

void broadcast_view(const View& x, const Shape& shape, View& result) {
  describe(result, "broadcast_to", x.dtype, shape.ndim, shape.size);
  const int added = shape.ndim - x.ndim;
  bool fits = added >= 0;
  for (int d = 0; fits && d < shape.ndim; ++d) {
    const Index size = d < added ? 1 : x.shape[d - added];
    fits = size == 1 || size == shape.size[d];
    result.strides[d] = d < added ? 0 : x.strides[d - added];
  }
  require(fits, "broadcast_to", "x does not broadcast to the shape");
  result.data = x.data;
}

void transpose_view(const View& x, const Shape& axes, View& result) {
  bool seen[kMaxDims] = {};
  bool permutes = axes.ndim == x.ndim;
  for (int d = 0; permutes && d < x.ndim; ++d) {
    const Index axis = axes.size[d];
    permutes = axis >= 0 && axis < x.ndim && !seen[axis];
    if (!permutes) break;
    seen[axis] = true;
    result.shape[d] = x.shape[axis];
    result.strides[d] = x.strides[axis];
  }
  require(permutes, "transpose", "axes must be a permutation of the axes of x");
  result.data = x.data;
  result.dtype = x.dtype;
  result.ndim = x.ndim;
}

void slice_view(const View& x, const Shape& starts, const Shape& sizes, const Shape& steps, View& result) {
  require(starts.ndim == x.ndim && sizes.ndim == x.ndim && steps.ndim == x.ndim, "slice",
          "starts, sizes and steps must have one entry for each axis of x");
  Index offset = 0;
  for (int d = 0; d < x.ndim; ++d) {
    require(is_inside(starts.size[d], sizes.size[d], steps.size[d], x.shape[d]), "slice",
            "an element lies outside of x");
    result.shape[d] = sizes.size[d];
    result.strides[d] = sizes.size[d] > 1 ? x.strides[d] * steps.size[d] : 0;
    if (sizes.size[d] > 0) offset += x.strides[d] * starts.size[d];
  }
  result.dtype = x.dtype;
  result.ndim = x.ndim;
  result.data = count(result) > 0 ? x.data + offset : x.data;  // an empty view must not point past the end
}

// Axes are split from merged ones: once adjacent axes that step as one are merged, a new axis fits
// only inside a single merged axis. So the new sizes, innermost first, must divide the merged ones
// in turn.
bool reshape_view(const View& x, const Shape& shape, View& result) {
  describe(result, "reshape", x.dtype, shape.ndim, shape.size);
  const Index size = count(result);
  require(size == count(x), "reshape", "the shape must have the size of x");
  result.data = x.data;
  if (size == 0) return true;
  Loop<1> merged;
  plan<1>(merged, {&x}, 0, x.ndim);
  int axis = 0;
  Index stride = merged.strides[0][0], left = merged.shape[0];
  for (int d = shape.ndim - 1; d >= 0; --d) {
    if (shape.size[d] == 1) continue;
    if (left == 1) {
      ++axis;
      stride = merged.strides[axis][0];
      left = merged.shape[axis];
    }
    if (left % shape.size[d] != 0) return false;
    result.strides[d] = stride;
    stride *= shape.size[d];
    left /= shape.size[d];
  }
  return true;
}

void check_pad(const View& x, const Shape& shape, const Shape& starts, const Shape& steps, View& result) {
  require(shape.ndim == x.ndim && starts.ndim == x.ndim && steps.ndim == x.ndim, "pad",
          "shape, starts and steps must have one entry for each axis of x");
  describe(result, "pad", x.dtype, shape.ndim, shape.size);
  for (int d = 0; d < x.ndim; ++d)
    require(is_inside(starts.size[d], x.shape[d], steps.size[d], shape.size[d]), "pad",
            "an element lies outside of shape");
}

void run_pad(const View& x, const Shape& starts, const Shape& steps, const View& result) {
  std::memset(result.data, 0, static_cast<std::size_t>(count(result) * itemsize(x.dtype)));
  if (count(x) == 0) return;
  Shape sizes;
  sizes.ndim = x.ndim;
  for (int d = 0; d < x.ndim; ++d) sizes.size[d] = x.shape[d];
  View target;
  slice_view(result, starts, sizes, steps, target);
  copy(x, target);
}

void check_concatenate(const View* arrays, Index n, Index axis, View& result) {
  require(n >= 1, "concatenate", "at least one array is needed");
  const View& first = arrays[0];
  require_axis("concatenate", axis, first.ndim);
  View shape = first;
  for (Index i = 1; i < n; ++i) {
    require_same_dtype("concatenate", first, arrays[i]);
    bool fits = arrays[i].ndim == first.ndim;
    for (int d = 0; fits && d < first.ndim; ++d) fits = d == axis || arrays[i].shape[d] == first.shape[d];
    require(fits, "concatenate", "shapes may differ along the axis alone");
    require(arrays[i].shape[axis] <= PTRDIFF_MAX - shape.shape[axis], "concatenate", "the result is too large");
    shape.shape[axis] += arrays[i].shape[axis];
  }
  describe(result, "concatenate", first.dtype, shape);
}

// Whether a few arrays of one element along the last axis become the columns of rows that lie side by side.
static bool are_columns(const View* arrays, Index n, Index axis, const View& result) {
  return 2 <= n && n <= short_rows::kFew && axis == result.ndim - 1 && result.shape[axis] == n &&
         period(result) == count(result) &&
         std::all_of(arrays, arrays + n, [=](const View& x) { return x.shape[axis] == 1 && period(x) == count(x); });
}

void run_concatenate(const View* arrays, Index n, Index axis, const View& result) {
  if (are_columns(arrays, n, axis, result))
    return with_size(itemsize(result.dtype), [&](auto tag) {
      using T = typename decltype(tag)::type;
      parallel_for(count(result) / n, count(result), [&](Index first, Index last) {
        const T* columns[short_rows::kFew];
        for (Index i = 0; i < n; ++i) columns[i] = reinterpret_cast<const T*>(arrays[i].data) + first;
        short_rows::interleave(columns, n, reinterpret_cast<T*>(result.data) + first * n, last - first);
      });
    });
  const auto copy_part = [&](Index i) {
    View part = result;
    for (Index before = 0; before < i; ++before) part.data += arrays[before].shape[axis] * result.strides[axis];
    part.shape[axis] = arrays[i].shape[axis];
    copy(arrays[i], part);
  };
  // Many parts are shared out whole, and few large ones each by themselves.
  const Index elements = count(result);
  for_each_in_parallel(n, elements / n < kWorthWaking ? elements : 0, copy_part);
}

}  // namespace minimeta

// The three forms of a convolution on the register tile (tile.hpp), without unfolding an image into
// a matrix.
//
// A few rows of an image are copied once, surrounded by their zeros. In that copy every window is a
// set of rows of memory, so each form is a product with a left factor whose rows a table locates:
//
//   form     rows of c               reduction, outermost first               right factor
//   conv     positions y, x          kernel row k; its columns and channels   w[k, l, i; o]
//   input    pixels of one residue   kernel rows, columns; channels of g      w[k, l, o; i], transposed once
//   weight   taps k, l, i            images; positions y; positions x         g[n, y, x; o]
//
// With a stride s, a pixel meets only the taps k with its own residue, k = y + top (mod s). So for
// each pair of residues, the pixels are a convolution of g with stride 1 by some of the taps, last
// one first, and nothing is computed for the zeros in between.
//
// Threads share the rows of c, or its columns, so each element is summed in the order above, in the
// chains and groups of product.hpp. The weights take a few whole images at a time, or a few rows of one.
//
// Weights that fit no second cache are read where they lie, once for all rows that are copied: some
// columns of one chain after another, in panels that are turned on the way.
//
// Images with many channels and 3 x 3 taps take half of the multiplications by another way
// (winograd.cpp).
#include "convolution.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "parallel.hpp"
#include "product.hpp"
#include "winograd.hpp"

namespace minimeta {
namespace {

constexpr Index kBytes = 128 * 1024;  // of copied rows: they share the second cache with the weights
constexpr Index kRows = 384, kColumns = 480;  // of c: they do with the terms of one chain, if the weights are large
constexpr Index kPixels = 168;  // terms of the weights' reduction at a time: their panel of g stays in the first

// Splits the flat indices [first, last) by groups of `size` (the rows of an image, the elements of
// a row of the kernel): calls body(group, first, last) for each group, with the indices inside of
// it.
template <class Body> void for_each_group(Index size, Index first, Index last, Body body) {
  for (Index next; first < last; first = next) {
    const Index group = first / size, inside = first % size;
    next = std::min(last, first - inside + size);
    body(group, inside, inside + (next - first));
  }
}

// How many flat rows to take at a time, each of so many elements and so many rows of c.
template <class T> Index rows_at_once(Index rows, Index elements, Index c_rows, bool large) {
  const Index most = large ? kRows / std::max<Index>(c_rows, 1) : kBytes / sizeof(T) / std::max<Index>(elements, 1);
  return std::clamp<Index>(most, 1, rows);
}

// Calls body(first row, last row, first column, last column) on threads, which share the rows of c; or
// its columns, so that each weight is read by one thread.
template <class Body> void share(bool by_columns, Index rows, Index columns, Index work, Body body) {
  constexpr Index panel = 32;
  if (!by_columns) return parallel_for(rows, work, [&](Index begin, Index end) { body(begin, end, 0, columns); });
  parallel_for((columns + panel - 1) / panel, work,
               [&](Index begin, Index end) { body(0, rows, begin * panel, std::min(columns, end * panel)); });
}

// c = a b for m rows and n columns, where b are weights.
template <class T>
void multiply_by_weights(bool large, Product<T> q, Index m, Index n, Index b_column, Scratch<T>& scratch) {
  if (!large || work({q.counts[0], q.counts[1], q.counts[2]}) == 0) return multiply(q, m, n, b_column, false, scratch);
  Groups<T> groups(q.c, q.c_rows, 1, m, n, false);
  detail::ChainSteps(q.counts, kChain).for_each(q, [&] {
    Product<T> part = q;
    part.accumulate = groups.next(1);
    for (Index j = 0; j < n; j += kColumns) {
      part.b = q.b + j * b_column;
      part.c = q.c + j;
      multiply(part, m, std::min(kColumns, n - j), b_column, true, scratch);
    }
  });
  groups.finish();
}

template <class T> void convolve(const Geometry& f, const View& x, const View& weights, const View& result) {
  const Contiguous4 w(weights);
  const Index lines = f.images * f.down.positions, columns = f.right.span(f.right.positions), line = columns * f.in;
  const Index filter = f.right.taps * f.in;
  const auto at_once = [&](Index n) {
    return rows_at_once<T>(n, f.down.stride * line, f.right.positions, large(weights));
  };
  const bool by_columns = large(weights) && at_once(lines) == lines;
  share(by_columns, lines, f.out, f.steps(), [&](Index begin, Index end, Index begin_column, Index end_column) {
    std::vector<Index> rows;
    Scratch<T> window, scratch;
    const Index step = at_once(end - begin);
    for (Index first = begin; first < end; first += step) {
      const Index last = std::min(end, first + step);
      spend(f.steps() / lines * (last - first));
      const Index pixels = (last - first) * f.right.positions;
      rows.resize(static_cast<std::size_t>(2 * pixels));
      Index *a_rows = rows.data(), *c_rows = a_rows + pixels, *row = a_rows;
      for (Index i = 0; i < pixels; ++i) c_rows[i] = i * f.out;
      Index size = 0;
      for_each_group(f.down.positions, first, last, [&](Index, Index top, Index bottom) {
        for (Index y = 0; y < bottom - top; ++y, row += f.right.positions)
          for (Index p = 0; p < f.right.positions; ++p)
            row[p] = size + y * f.down.stride * line + p * f.right.stride * f.in;
        size += f.down.span(bottom - top) * line;
      });
      T* const copied = window.take(size);
      size = 0;
      for_each_group(f.down.positions, first, last, [&](Index image, Index top, Index bottom) {
        const Index span = f.down.span(bottom - top);
        cut(x, image, top * f.down.stride - f.down.before, span, -f.right.before, columns, copied + size);
        size += span * line;
      });
      const Product<T> q{{1, f.down.taps, filter},
                         copied,
                         a_rows,
                         {0, line, 1},
                         w.data<T>() + begin_column,
                         {0, filter * f.out, f.out},
                         reinterpret_cast<T*>(result.data) + first * f.right.positions * f.out + begin_column,
                         c_rows,
                         1,
                         false};
      multiply_by_weights(large(weights), q, pixels, end_column - begin_column, 1, scratch);
    }
  });
}

// The weights are contiguous, or turned(weights) are.
template <class T> void convolve_input(const Geometry& f, const View& g, const View& weights, const View& result) {
  const Index b_column = weights.strides[2] / Index{sizeof(T)}, b_term = weights.strides[3] / Index{sizeof(T)};
  // A pixel y of residue r = y + before (mod s) meets tap r + s t at (y + before - r) / s - t.
  const auto meets = [](const Axis& a, Index residue) {
    return residue < a.taps ? (a.taps - residue - 1) / a.stride + 1 : 0;
  };
  const auto first_like = [](Index pixel, Index from, Index stride) {
    return from + ((pixel - from) % stride + stride) % stride;
  };
  const Index reach_down = meets(f.down, 0) - 1, reach_right = meets(f.right, 0) - 1;
  const Index columns = (f.right.pixels - 1 + f.right.before) / f.right.stride + 1 + reach_right;
  const Index line = columns * f.out, tap = f.in * f.out, rows = f.images * f.down.pixels;
  const auto at_once = [&](Index n) {
    return rows_at_once<T>(n, line / f.down.stride, f.right.pixels / (f.down.stride * f.right.stride), large(weights));
  };
  const bool by_columns = large(weights) && at_once(rows) == rows;
  share(by_columns, rows, f.in, f.steps(), [&](Index begin, Index end, Index begin_column, Index end_column) {
    std::vector<Index> a_rows, c_rows;
    Scratch<T> window, scratch;
    const Index step = at_once(end - begin);
    for (Index first = begin; first < end; first += step) {
      const Index last = std::min(end, first + step);
      spend(f.steps() / rows * (last - first));
      // The positions that the pixels [top, bottom) meet, including those of earlier taps.
      const auto position = [&](Index top) { return (top + f.down.before) / f.down.stride; };
      const auto span = [&](Index top, Index bottom) { return position(bottom - 1) - position(top) + 1 + reach_down; };
      Index size = 0;
      for_each_group(f.down.pixels, first, last,
                     [&](Index, Index top, Index bottom) { size += span(top, bottom) * line; });
      T* const copied = window.take(size);
      size = 0;
      for_each_group(f.down.pixels, first, last, [&](Index image, Index top, Index bottom) {
        cut(g, image, position(top) - reach_down, span(top, bottom), -reach_right, columns, copied + size);
        size += span(top, bottom) * line;
      });
      for (Index down = 0; down < std::min(f.down.stride, f.down.pixels); ++down)
        for (Index right = 0; right < std::min(f.right.stride, f.right.pixels); ++right) {
          const Index residue_down = (down + f.down.before) % f.down.stride;
          const Index residue_right = (right + f.right.before) % f.right.stride;
          const Index taps_down = meets(f.down, residue_down), taps_right = meets(f.right, residue_right);
          a_rows.clear();
          c_rows.clear();
          size = 0;
          for_each_group(f.down.pixels, first, last, [&](Index image, Index top, Index bottom) {
            for (Index y = first_like(down, top, f.down.stride); y < bottom; y += f.down.stride) {
              const Index below = position(y) - position(top) + reach_down - (taps_down - 1);
              Index column = (right + f.right.before) / f.right.stride + reach_right - (taps_right - 1);
              for (Index p = right; p < f.right.pixels; p += f.right.stride, ++column) {
                a_rows.push_back(size + below * line + column * f.out);
                c_rows.push_back(((image * f.down.pixels + y) * f.right.pixels + p) * f.in);
              }
            }
            size += span(top, bottom) * line;
          });
          const T* b = reinterpret_cast<const T*>(weights.data);
          if (taps_down > 0 && taps_right > 0)  // otherwise the pixels meet no tap, and are zero
            b += ((residue_down + (taps_down - 1) * f.down.stride) * f.right.taps + residue_right +
                  (taps_right - 1) * f.right.stride) *
                 tap;
          const Product<T> q{{taps_down, taps_right, f.out},
                             copied,
                             a_rows.data(),
                             {line, f.out, 1},
                             b + begin_column * b_column,
                             {-f.down.stride * f.right.taps * tap, -f.right.stride * tap, b_term},
                             reinterpret_cast<T*>(result.data) + begin_column,
                             c_rows.data(),
                             1,
                             false};
          multiply_by_weights(large(weights), q, static_cast<Index>(a_rows.size()), end_column - begin_column, b_column,
                              scratch);
        }
    }
  });
}

template <class T> void convolve_weight(const Geometry& f, const View& x, const View& cotangent, const View& result) {
  const Contiguous4 g(cotangent);
  const Index columns = f.right.span(f.right.positions), line = columns * f.in, filter = f.right.taps * f.in;
  const Index area = f.down.positions * f.right.positions, image_size = f.down.span(f.down.positions) * line;
  // A chain takes several whole images if they are small, otherwise a few rows of one. Two chains of
  // whole images at a time read and write the cotangent of large weights once.
  const Index group = evenly(f.images, kPixels / area);
  const Index step = group > 1 ? f.down.positions : evenly(f.down.positions, kPixels / f.right.positions);
  const Index chain = std::min(group * step * f.right.positions, kChain);
  const Index at_once = large(result) && group * area == chain ? 2 * group : group;
  parallel_for(f.down.taps * filter, f.steps(), [&](Index begin, Index end) {
    std::vector<Index> a_rows, c_rows;
    for_each_group(filter, begin, end, [&](Index k, Index first, Index last) {
      for (Index i = first; i < last; ++i) {
        a_rows.push_back(k * line + i);
        c_rows.push_back((k * filter + i) * f.out);
      }
    });
    Scratch<T> window, scratch;
    T* const c = reinterpret_cast<T*>(result.data);
    Groups<T> groups(c, c_rows.data(), 1, end - begin, f.out, false);
    for (Index image = 0; image < f.images; image += at_once)
      for (Index y = 0; y < f.down.positions; y += step) {
        const Index images = std::min(at_once, f.images - image), positions = std::min(step, f.down.positions - y);
        const Index span = f.down.span(positions);
        T* const copied = window.take(images * span * line);
        for (Index n = 0; n < images; ++n)
          cut(x, image + n, y * f.down.stride - f.down.before, span, -f.right.before, columns,
              copied + n * span * line);
        const Index counts[3] = {images, positions, f.right.positions};
        spend(work({images, positions, f.right.positions, end - begin, f.out}) / kAtOnce);
        const Product<T> q{{images, positions, f.right.positions},
                           copied,
                           a_rows.data(),
                           {image_size, f.down.stride * line, f.right.stride * f.in},
                           g.data<T>() + (image * area + y * f.right.positions) * f.out,
                           {area * f.out, f.right.positions * f.out, f.out},
                           c,
                           c_rows.data(),
                           1,
                           groups.next(chains(counts, chain))};
        multiply(q, end - begin, f.out, 1, end - begin >= kOften, scratch, chain);
      }
    groups.finish();
  });
}

void require_factors(const char* operation, const View& x, const View& y) {
  require_float(operation, x);
  require_same_dtype(operation, x, y);
  require(x.ndim == 4 && y.ndim == 4, operation, "operands must have four axes");
}

// The geometry of images (N, H, W, I) and a kernel (kh, kw, I, O). Throws unless the size in bytes
// of a padded image fits an Index.
Geometry checked(const char* operation, Dtype dtype, const Index* images, const Index* kernel, const Windows& windows) {
  require(images[3] == kernel[2], operation, "images and kernel must have equally many channels");
  const Geometry f = geometry(operation, images, kernel, windows);
  const Index* const padding = windows.padding.size;
  const Index shape[] = {images[1] + padding[0] + padding[1], images[2] + padding[2] + padding[3], images[3]};
  View padded;
  describe(padded, operation, dtype, 3, shape);
  return f;
}

}  // namespace

void check_conv2d(const View& x, const View& w, const Windows& windows, View& result) {
  require_factors("conv2d", x, w);
  const Geometry f = checked("conv2d", x.dtype, x.shape, w.shape, windows);
  const Index shape[] = {f.images, f.down.positions, f.right.positions, f.out};
  describe(result, "conv2d", x.dtype, 4, shape);
}

void run_conv2d(const View& x, const View& w, const Windows& windows, const View& result) {
  if (count(result) == 0) return;
  const Geometry f = geometry("conv2d", x.shape, w.shape, windows);
  with_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (!winograd::fits(f)) return convolve<T>(f, x, w, result);
    for (const Index i : winograd::conv2d(f, x, w, result))
      convolve<T>(f.of_one_image(), image_of(x, i), w, image_of(result, i));
  });
}

void check_conv2d_input(const View& g, const View& w, const Windows& windows, const Shape& size, View& result) {
  require_factors("conv2d_input", g, w);
  require(size.ndim == 2, "conv2d_input", "size must be (H, W)");
  const Index images[] = {g.shape[0], size.size[0], size.size[1], w.shape[2]};
  const Geometry f = checked("conv2d_input", g.dtype, images, w.shape, windows);
  require(f.has_at_positions(g), "conv2d_input", "g must have the shape that conv2d gives");
  describe(result, "conv2d_input", g.dtype, 4, images);
}

void run_conv2d_input(const View& g, const View& w, const Windows& windows, const View& result) {
  if (count(result) == 0) return;
  const Geometry f = geometry("conv2d_input", result.shape, w.shape, windows);
  with_float(g.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Contiguous4 once(large(w) ? w : turned(w));  // and not again for each image
    const View weights = large(w) ? once.view : turned(once.view);
    if (!winograd::fits(f)) return convolve_input<T>(f, g, weights, result);
    for (const Index i : winograd::conv2d_input(f, g, weights, result))
      convolve_input<T>(f.of_one_image(), image_of(g, i), weights, image_of(result, i));
  });
}

void check_conv2d_weight(const View& x, const View& g, const Windows& windows, const Shape& size, View& result) {
  require_factors("conv2d_weight", x, g);
  require(size.ndim == 2, "conv2d_weight", "size must be (kh, kw)");
  const Index kernel[] = {size.size[0], size.size[1], x.shape[3], g.shape[3]};
  const Geometry f = checked("conv2d_weight", x.dtype, x.shape, kernel, windows);
  require(f.has_at_positions(g), "conv2d_weight", "g must have the shape that conv2d gives");
  describe(result, "conv2d_weight", x.dtype, 4, kernel);
}

void run_conv2d_weight(const View& x, const View& g, const Windows& windows, const View& result) {
  if (count(result) == 0) return;
  if (g.shape[0] == 0) {
    std::memset(result.data, 0, static_cast<std::size_t>(count(result) * itemsize(result.dtype)));
    return;
  }
  const Geometry f = geometry("conv2d_weight", x.shape, result.shape, windows);
  if (winograd::fits(f) && winograd::conv2d_weight(f, x, g, result)) return;
  with_float(x.dtype, [&](auto tag) { convolve_weight<typename decltype(tag)::type>(f, x, g, result); });
}

}  // namespace minimeta

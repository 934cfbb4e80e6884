// The three forms of a convolution on the register tile (tile.hpp), without unfolding an image into
// a matrix.
//
// Every window is a set of rows of memory, so each form is a product with a left factor whose rows a
// table locates in the images:
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
// Nor for the zeros around an image: rows go together whose windows meet it with the same taps, which
// are a box of the reduction (Box, in product.hpp). Yet such a zero is a term like any other. To add
// its product changes nothing (at most the sign of a zero, of a sum that underflowed), unless the
// other factor is not finite: then NaN is written.
//
// Threads share the rows of c, or its columns, so each element is summed in the order above, in the chains and
// groups of product.hpp. The weights take a few whole images at a time, or a few rows of one; images
// of few channels are copied for that, with their zeros.
//
// Weights that fit no second cache are read where they lie, once for many rows: some columns of one
// chain after another, in panels that are turned on the way.
//
// Images with many channels and 3 x 3 taps take half of the multiplications by another way
// (winograd.cpp).
#include "convolution.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "elementwise.hpp"
#include "parallel.hpp"
#include "product.hpp"
#include "window_rows.hpp"
#include "winograd.hpp"

namespace minimeta {
namespace {

constexpr Index kBytes = 256 * 1024;  // of images: they share the second cache with the weights
constexpr Index kManyRows = 1024;     // of c
constexpr Index kRows = 384, kColumns = 480;  // of c: they do with the terms of one chain, if the weights are large
constexpr Index kPixels = 168;  // terms of the weights' reduction at a time: their panel of g stays in the first
constexpr Index kFewChannels = 8;  // a box of fewer rows would leave a tile almost empty

// How many flat rows to take at a time, each of so many elements and so many rows of c.
template <class T> Index rows_at_once(Index rows, Index elements, Index c_rows, bool large) {
  const Index most = (large ? kRows : kManyRows) / std::max<Index>(c_rows, 1);
  return evenly(rows, std::min(most, kBytes / Index{sizeof(T)} / std::max<Index>(elements, 1)));
}

// Calls body(rows, scratch, first line, last line, first column, last column) for some lines of the images
// at a time, on threads. They share the lines; or the columns of c, if the weights are large and all
// lines are taken at once, so that each weight is read by one thread.
template <class T, class AtOnce, class Body>
void share(bool large, Index lines, Index columns, Index work, AtOnce at_once, Body body) {
  constexpr Index panel = 32;
  const auto take = [&](Index begin, Index end, Index begin_column, Index end_column) {
    Rows rows;
    Scratch<T> scratch;
    const Index step = at_once(end - begin);
    for (Index first = begin; first < end; first += step) {
      const Index last = std::min(end, first + step);
      spend(work / lines * (last - first));
      body(rows, scratch, first, last, begin_column, end_column);
    }
  };
  if (!large || at_once(lines) < lines)
    return parallel_for(lines, work, [&](Index begin, Index end) { take(begin, end, 0, columns); });
  parallel_for((columns + panel - 1) / panel, work,
               [&](Index begin, Index end) { take(0, lines, begin * panel, std::min(columns, end * panel)); });
}

// c = a b for m rows and n columns, where b are weights.
template <class T> void multiply_by_weights(bool large, Product<T> q, Index m, Index n, Index b_column,
                                            Scratch<T>& scratch, const Boxes* boxes) {
  if (!large || work({q.counts[0], q.counts[1], q.counts[2]}) == 0)
    return multiply(q, m, n, b_column, false, scratch, kChain, boxes);
  Groups<T> groups(q.c, q.c_rows, 1, m, n, false);
  detail::ChainSteps(q.counts, kChain).for_each(q, [&](const Index(&at)[3]) {
    Boxes of_chain = boxes ? *boxes : Boxes();
    for (Box& box : of_chain)
      for (std::size_t d = 0; d < 3; ++d) box.first[d] -= at[d], box.last[d] -= at[d];
    Product<T> part = q;
    part.accumulate = groups.next(1);
    for (Index j = 0; j < n; j += kColumns) {
      part.b = q.b + j * b_column;
      part.c = q.c + j;
      multiply(part, m, std::min(kColumns, n - j), b_column, true, scratch, kChain, boxes ? &of_chain : nullptr);
    }
  });
  groups.finish();
}

// A form whose right factor are weights. products(go) calls go(q, rows, n, b_column, scratch) for each
// product. `zeros` says that windows reach beyond the images, and `all_meet` that each tap meets an
// image nevertheless: then a result is not finite if a weight is not, unless it is masked.
template <class T, class Products> void by_weights(const View& weights, const View& result, bool zeros, bool all_meet,
                                                   const Finished<T>& finished, const Products& products) {
  const auto multiply = [&](Index finishes) {
    products([&](Product<T> q, const Rows& rows, Index n, Index b_column, Scratch<T>& scratch) {
      q.finishing = finished.all();
      q.finishes = finishes;
      multiply_by_weights(large(weights), q, rows.size, n, b_column, scratch, zeros ? &rows.boxes : nullptr);
    });
  };
  multiply(finished.in_tiles());
  const bool tells = all_meet && count(result) < count(weights) && !finished.masks();
  const bool finite = !zeros || all_finite(tells ? result : weights);
  if (!finite) {
    if (finished.in_tiles() > 0) multiply(0);
    products([](const Product<T>& q, const Rows& rows, Index n, Index b_column, Scratch<T>&) {
      multiply_zeros(q, rows.boxes, n, b_column);
    });
  }
  if (!finite || finished.in_tiles() == 0) finished.in_memory();
}

template <class T> void convolve(const Geometry& f, const View& images, const View& weights, const View& result,
                                 const Finishes& finishes) {
  const Contiguous4 x(images), w(weights);
  const Side down(f.down, f.down.positions, 0, 1), right(f.right, f.right.positions, 0, 1);
  const Index lines = f.images * f.down.positions, line = f.right.pixels * f.in, filter = f.right.taps * f.in;
  const bool all = all_meet(down.runs, f.down.taps) && all_meet(right.runs, f.right.taps);
  const auto at_once = [&](Index n) {
    return rows_at_once<T>(n, f.down.stride * line, f.right.positions, large(weights));
  };
  const Finished<T> finished(finishes, result, chains({1, f.down.taps, filter}), large(weights));
  by_weights<T>(w.view, result, !inside(f.down) || !inside(f.right), all, finished, [&](auto go) {
    share<T>(large(weights), lines, f.out, f.steps(), at_once,
             [&](Rows& rows, Scratch<T>& scratch, Index first, Index last, Index begin_column, Index end_column) {
               rows.locate(down, right, first, last, f.in, f.out, [&](Box& box, const Run& across, const Run& along) {
                 box.first = {0, across.begin, along.begin * f.in};
                 box.last = {1, across.end, along.end * f.in};
               });
               const Product<T> q{{1, f.down.taps, filter},
                                  x.data<T>(),
                                  rows.a.data(),
                                  {0, line, 1},
                                  w.data<T>() + begin_column,
                                  {0, filter * f.out, f.out},
                                  reinterpret_cast<T*>(result.data) + begin_column,
                                  rows.c.data(),
                                  1,
                                  false};
               go(q, rows, end_column - begin_column, 1, scratch);
             });
  });
}

// The weights are contiguous, or turned(weights) are.
template <class T> void convolve_input(const Geometry& f, const View& g, const View& weights, const View& result,
                                       const Finishes& finishes) {
  const Contiguous4 cotangent(g);
  const Index b_column = weights.strides[2] / Index{sizeof(T)}, b_term = weights.strides[3] / Index{sizeof(T)};
  const Index line = f.right.positions * f.out, tap = f.in * f.out, lines = f.images * f.down.pixels;
  const std::vector<Residue> downs = Residue::all(f.down), rights = Residue::all(f.right);
  bool zeros = false, all = true;
  for (const auto* residues : {&downs, &rights})
    for (const Residue& each : *residues) {
      zeros = zeros || !inside(each.side.axis);
      all = all && all_meet(each.side.runs, each.side.axis.taps);
    }
  const auto at_once = [&](Index n) {
    return rows_at_once<T>(n, line / f.down.stride, f.right.pixels / (f.down.stride * f.right.stride), large(weights));
  };
  const View contiguous = b_column == 1 ? turned(weights) : weights;
  const auto most = [](const Axis& a) { return (a.taps - 1) / a.stride + 1; };  // taps of one residue
  const Finished<T> finished(finishes, result, chains({most(f.down), most(f.right), f.out}), large(weights));
  by_weights<T>(contiguous, result, zeros, all, finished, [&](auto go) {
    share<T>(large(weights), lines, f.in, f.steps(), at_once,
             [&](Rows& rows, Scratch<T>& scratch, Index first, Index last, Index begin_column, Index end_column) {
               for (const Residue& down : downs)
                 for (const Residue& right : rights) {
                   const Index taps_down = down.side.axis.taps, taps_right = right.side.axis.taps;
                   rows.locate(down.side, right.side, first, last, f.out, f.in,
                               [&](Box& box, const Run& across, const Run& along) {
                                 box.first = {across.begin, along.begin, 0};
                                 box.last = {across.end, along.end, f.out};
                               });
                   const T* b = reinterpret_cast<const T*>(weights.data);
                   if (taps_down > 0 && taps_right > 0)  // otherwise the pixels meet no tap, and are zero
                     b += ((down.tap + (taps_down - 1) * f.down.stride) * f.right.taps + right.tap +
                           (taps_right - 1) * f.right.stride) *
                          tap;
                   const Product<T> q{{taps_down, taps_right, f.out},
                                      cotangent.data<T>(),
                                      rows.a.data(),
                                      {line, f.out, 1},
                                      b + begin_column * b_column,
                                      {-f.down.stride * f.right.taps * tap, -f.right.stride * tap, b_term},
                                      reinterpret_cast<T*>(result.data) + begin_column,
                                      rows.c.data(),
                                      1,
                                      false};
                   go(q, rows, end_column - begin_column, b_column, scratch);
                 }
             });
  });
}

template <class T> void convolve_weight(const Geometry& f, const View& images, const View& cotangent,
                                        const View& result, const Finishes& finishes) {
  const bool zeros = !inside(f.down) || !inside(f.right), copied = zeros && f.in < kFewChannels;
  const bool boxed = zeros && !copied;
  const Contiguous4 g(cotangent), x(images);
  const Index columns = copied ? f.right.span(f.right.positions) : f.right.pixels;
  const Index line = columns * f.in, filter = f.right.taps * f.in;
  const Index above = copied ? 0 : f.down.before, left = copied ? 0 : f.right.before;
  const Index area = f.down.positions * f.right.positions;
  const Index image_size = (copied ? f.down.span(f.down.positions) : f.down.pixels) * line;
  // A chain takes several whole images if they are small, otherwise a few rows of one. Two chains of
  // whole images at a time read and write the cotangent of large weights once.
  const Index group = evenly(f.images, kPixels / area);
  const Index step = group > 1 ? f.down.positions : evenly(f.down.positions, kPixels / f.right.positions);
  const Index chain = std::min(group * step * f.right.positions, kChain);
  const Index at_once = large(result) && group * area == chain ? 2 * group : group;
  const bool finite = !boxed || all_finite(g.view);
  const Index sums = ((f.images + at_once - 1) / at_once) * ((f.down.positions + step - 1) / step);
  const Finished<T> finished(finishes, result, sums * chains({at_once, step, f.right.positions}, chain), !finite);
  parallel_for(f.down.taps * filter, f.steps(), [&](Index begin, Index end) {
    std::vector<Index> a_rows(static_cast<std::size_t>(end - begin)), c_rows(a_rows.size());
    Boxes whole, boxes;
    Index row = 0;
    for_each_group(f.in, begin, end, [&](Index tap, Index first, Index last) {
      const Index k = tap / f.right.taps, l = tap % f.right.taps;
      Index *const a = a_rows.data() + row - first, *const c = c_rows.data() + row - first;
      for (Index i = first; i < last; ++i) {
        a[i] = (k - above) * line + (l - left) * f.in + i;
        c[i] = (tap * f.in + i) * f.out;
      }
      row += last - first;
      const auto [top, bottom] = positions_of(f.down, k);
      const auto [from, to] = positions_of(f.right, l);
      whole.push_back({row, {0, top, from}, {f.images, bottom, to}});
    });
    Scratch<T> window, scratch;
    T* const c = reinterpret_cast<T*>(result.data);
    const auto products = [&](auto go) {
      for (Index image = 0; image < f.images; image += at_once)
        for (Index y = 0; y < f.down.positions; y += step) {
          const Index some = std::min(at_once, f.images - image), positions = std::min(step, f.down.positions - y);
          const T* a = x.data<T>() + image * image_size + y * f.down.stride * line;
          if (copied) {
            const Index span = f.down.span(positions);
            T* const to = window.take(some * image_size);
            for (Index n = 0; n < some; ++n)
              cut(x.view, image + n, y * f.down.stride - f.down.before, span, -f.right.before, columns,
                  to + n * image_size);
            a = to;
          }
          if (boxed) boxes = whole;
          for (Box& box : boxes) box.first[1] -= y, box.last[1] -= y;
          const Product<T> q{{some, positions, f.right.positions},
                             a,
                             a_rows.data(),
                             {image_size, f.down.stride * line, f.right.stride * f.in},
                             g.data<T>() + (image * area + y * f.right.positions) * f.out,
                             {area * f.out, f.right.positions * f.out, f.out},
                             c,
                             c_rows.data(),
                             1,
                             false,
                             nullptr,
                             finished.all(),
                             image + at_once >= f.images && y + step >= f.down.positions ? finished.in_tiles() : 0};
          go(q);
        }
    };
    Groups<T> groups(c, c_rows.data(), 1, end - begin, f.out, false);
    products([&](Product<T> q) {
      q.accumulate = groups.next(chains(q.counts, chain));
      spend(work({q.counts[0], q.counts[1], q.counts[2], end - begin, f.out}) / kAtOnce);
      multiply(q, end - begin, f.out, 1, end - begin >= kOften, scratch, chain, boxed ? &boxes : nullptr);
    });
    groups.finish();
    if (!finite) products([&](const Product<T>& q) { multiply_zeros(q, boxes, f.out, 1); });
  });
  if (finished.in_tiles() == 0) finished.in_memory();
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

void run_conv2d(const View& x, const View& w, const Windows& windows, const View& result, const Finishes& finishes) {
  if (count(result) == 0) return;
  const Geometry f = geometry("conv2d", x.shape, w.shape, windows);
  with_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (!winograd::fits(f)) return convolve<T>(f, x, w, result, finishes);
    for (const Index i : winograd::conv2d(f, x, w, result))
      convolve<T>(f.of_one_image(), image_of(x, i), w, image_of(result, i), {});
    Finished<T>(finishes, result, 0, false).in_memory();
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

void run_conv2d_input(const View& g, const View& w, const Windows& windows, const View& result,
                      const Finishes& finishes) {
  if (count(result) == 0) return;
  const Geometry f = geometry("conv2d_input", result.shape, w.shape, windows);
  with_float(g.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Contiguous4 once(large(w) ? w : turned(w));  // and not again for each image
    const View weights = large(w) ? once.view : turned(once.view);
    if (!winograd::fits(f)) return convolve_input<T>(f, g, weights, result, finishes);
    for (const Index i : winograd::conv2d_input(f, g, weights, result))
      convolve_input<T>(f.of_one_image(), image_of(g, i), weights, image_of(result, i), {});
    Finished<T>(finishes, result, 0, false).in_memory();
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

void run_conv2d_weight(const View& x, const View& g, const Windows& windows, const View& result,
                       const Finishes& finishes) {
  if (count(result) == 0) return;
  const Geometry f = geometry("conv2d_weight", x.shape, result.shape, windows);
  with_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool none = g.shape[0] == 0;
    if (none) std::fill_n(reinterpret_cast<T*>(result.data), count(result), T(0));
    if (!none && !(winograd::fits(f) && winograd::conv2d_weight(f, x, g, result)))
      return convolve_weight<T>(f, x, g, result, finishes);
    Finished<T>(finishes, result, 0, false).in_memory();
  });
}

}  // namespace minimeta

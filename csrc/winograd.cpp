// Winograd's convolution: two neighbouring outputs share multiplications (S. Winograd, Arithmetic
// Complexity of Computations, 1980; A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural
// Networks, 2016).
//
// Along one axis, two positions y under three taps w read four pixels x. For any cotangent g of
// theirs
//
//   sum over y, k of  g[y] x[y + k] w[k]  =  sum over r of  (A' g)[r] (B x)[r] (C w)[r]
//
//         1  0 -1  0            1  0  0
//   B  =  0  1  1  0      C  =  1/2  1/2  1/2      A  =  1  1 -1  0
//         0  1 -1  0            1/2 -1/2  1/2            0  1  1 -1
//         0  1  0 -1            0  0  1
//
// which are four products instead of six. A trilinear form has three partial contractions, so each
// form of a convolution is two transformations, a product for each r, and a transformation back:
//
//   y = A ((B x) * (C w))      w = C' ((B x) * (A' g))      x = the convolution of g by the taps in reverse order
//
// On both axes at once r is a pair, and a tile of 2 x 2 outputs takes 16 products instead of 36.
// With channels and tiles each of them is a product of matrices, on the register tile
// (product.hpp). If an odd row or column leaves only one output of a tile, the products that it
// does not read are left out.
//
// B and A only add, and halves are exact. A row of A reads three products r, and their rows of B
// read the three pixels of that output's own window. So the error of an output, with C channels, is
// at most 16 (C + 11) roundings of
//
//   the sum over channels of  the channel's largest element in the window  times  the sum of its taps' magnitudes,
//
// where the definition has C * 9 roundings of the sum of each pixel's magnitude times its own
// tap's. (A row of B at most doubles the largest pixel, on each axis, and so do the three rows that
// A adds: 16. A term is rounded 4 times in C, 2 in B, once in its product, 4 times in A, and C
// times among the channels.) That is as good for pixels and taps of about one size: of normal ones,
// the error's root mean square is at most half as much again. Where they differ, what cancels in A
// is rounded by the largest: a pixel of 1e6 next to others of 1e-3 leaves no digit of them in
// float32, even where its tap is zero. So an output is computed by the definition if its window
// mixes sizes: a pixel, that is the largest of its channels, is more than 2^8 times another that is
// not zero. If more than a quarter of an image's windows do, all of the image goes the direct way,
// as it does if a result is not finite, which may be an overflow in between. Nothing looks at small
// channels next to large ones of the same pixel, nor at the sizes of the taps: there the bound is
// all that holds.
//
// The taps' cotangent is a sum over tiles. Its error is at most 16 (s + 8) roundings of
//
//   the sum over tiles of  the largest element of x under the tile  times  the sum of the magnitudes of g in the tile,
//
// each of its own channel, where s = min(n, 272 + log2 n) are the roundings of a sum of n terms in
// product.hpp. (B quadruples x, A' adds up g, and a column of C' adds up 2 on each axis. A term is
// rounded twice in B, twice in A' and 4 times in C'.) A tile of mixed sizes, in x or in g, is left out
// of the sum, and what it gives by the definition is added at the end; if more than a quarter of
// all tiles are such, or the result is not finite, all goes the direct way.
//
// Larger tiles need fewer products still, but their constants lose digits. With stride 2 there are
// 25 products instead of 36, which hardly repays their transformations.
#include "winograd.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

#include "elementwise.hpp"
#include "product.hpp"
#include "winograd_definition.hpp"
#include "winograd_tiles.hpp"

namespace minimeta::winograd {
namespace {

constexpr Index kBytes = 640 * 1024;  // of transformed tiles: they share the second cache with the transformed taps
constexpr Index kNear = 512 * 1024;   // of images and their results, while they are judged and computed
constexpr Index kImages = 16;         // from so many for each thread on, threads share images
constexpr Index kTiles = 120;         // that meet a part of large taps
constexpr Index kSums = 2 * 1024 * 1024;  // bytes of sums for a part of large taps' cotangent: they meet all tiles
constexpr Index kKept = 2 * 1024 * 1024;  // elements of memory that a thread keeps, for taps and for tiles each

// The taps of filters, all of them or, if they are large, room for a part: a panel of one chain.
template <class T> struct Taps {
  Taps(const View& w, bool reversed, Index in, Index out, Scratch<T>& memory)
      : w(w), reversed(reversed), parts(large(w)), all(planes(parts ? 0 : in * out, memory)) {
    if (parts) return;
    parallel_for(in, 4 * in * out, [&](Index begin, Index end) {
      Scratch<T> copied;
      transform_taps(w, reversed, begin, end - begin, 0, out, copied, all.from(begin * out));
    });
  }
  const View& w;
  const bool reversed, parts;
  const Square<T> all;
};

// Outputs (images, H, W, out) of some images of x (images, ., ., in). Each row of tiles takes so many
// steps. Of large taps one part after another is transformed where it is needed. Marked outputs are
// those of the definition.
template <class T> void filter(const View& x, const std::vector<Index>& images, const std::vector<Marks>& mixed,
                               const Taps<T>& w, const Tiling& down, const Tiling& right, Index steps,
                               const View& result) {
  const Index in = x.shape[3], out = result.shape[3];
  const bool parts = w.parts;
  const Index terms = parts ? kChain : in, columns = parts ? 2 * simd::kLanes<T> : out;
  const Index lines = static_cast<Index>(images.size()) * down.tiles;
  const auto image = [&](Index line) { return images[static_cast<std::size_t>(line / down.tiles)]; };
  parallel_for(lines, steps * lines, [&](Index begin, Index end) {
    static thread_local Scratch<T> read_memory, product_memory, part_memory;
    Scratch<T> window, packed;
    Places places;
    const Index tile_bytes = kRank * kRank * (in + out) * Index{sizeof(T)};
    const Index step = evenly(end - begin, (parts ? kTiles : kBytes / tile_bytes) / right.tiles);
    const Index tiles = step * right.tiles;
    const Square<T> read = planes(tiles * in, read_memory), products = planes(tiles * out, product_memory);
    const Square<T> part = parts ? planes(terms * columns, part_memory) : w.all;
    std::vector<Index> every, some;  // rows of a product: of its left factor, and its own
    for (const Index width : {in, out})
      for (Index i = 0; i < tiles; ++i) every.push_back(i * width);
    std::vector<Index> planes_of_products;
    for (Index r = 0; r < kRank * kRank; ++r) planes_of_products.push_back(r * products.right);
    for (Index first = begin; first < end; first += step) {
      const Index last = std::min(end, first + step);
      spend(steps * (last - first));
      for (Index line = first; line < last; ++line)
        read_tiles<kB, T>(x, image(line), down.pixel(line % down.tiles), right, 0, in, window,
                          read.from((line - first) * right.tiles * in));
      const auto multiply_by = [&](Square<T> taps, Index p, Index now, Index j, Index n, bool accumulate) {
        for (Index r = 0; r < kRank; ++r)
          for (Index q = 0; q < kRank; ++q) {
            const Index *a_rows = every.data(), *c_rows = a_rows + tiles;
            Index m = (last - first) * right.tiles;
            if ((r == kSecond && !down.even()) || (q == kSecond && !right.even())) {
              some.clear();
              for (const Index width : {in, out})
                for (Index line = first; line < last; ++line)
                  if (r != kSecond || down.outputs_of(line % down.tiles) == kOutputs)
                    for (Index t = 0; t < right.tiles - (q == kSecond && !right.even()); ++t)
                      some.push_back(((line - first) * right.tiles + t) * width);
              m = static_cast<Index>(some.size()) / 2;
              a_rows = some.data();
              c_rows = a_rows + m;
            }
            const Product<T> product{{1, 1, now}, read.at(r, q) + p,     a_rows, {0, 0, 1}, taps.at(r, q),
                                     {0, 0, n},   products.at(r, q) + j, c_rows, 1,         accumulate};
            multiply(product, m, n, 1, false, packed);
          }
      };
      Groups<T> groups(products.first, planes_of_products.data(), 1, kRank * kRank, tiles * out, false);
      for (Index p = 0; p < in; p += terms) {
        const Index now = std::min(terms, in - p);
        const bool accumulate = parts && groups.next(1);
        for (Index j = 0; j < out; j += columns) {
          const Index n = std::min(columns, out - j);
          if (parts) transform_taps(w.w, w.reversed, p, now, j, n, packed, part);
          multiply_by(part, p, now, j, n, accumulate);
        }
      }
      groups.finish();
      for (Index line = first; line < last; ++line)
        write_tiles<T>({products.first + (line - first) * right.tiles * out, products.down, products.right},
                       image(line), line % down.tiles, down, right, window, result);
      places.clear();
      for (Index line = first; line < last; ++line) {
        const Marks& marks = mixed[static_cast<std::size_t>(image(line))];
        const Index row = kOutputs * (line % down.tiles);
        if (marks.empty()) continue;
        for (Index i = row; i < row + down.outputs_of(line % down.tiles); ++i)
          for (Index j = 0; j < right.outputs; ++j)
            if (marks[static_cast<std::size_t>(i * right.outputs + j)]) places.push_back({image(line), i, j});
      }
      define(x, places, down, right, w.w, w.reversed, window, packed, result);
    }
    for (Scratch<T>* memory : {&read_memory, &product_memory}) memory->keep(kKept);
  });
}

// The same for all images but those that mix sizes in many windows, or whose results are not finite:
// returns these. A few images at a time are judged, computed and judged again, while they are in the
// second cache.
template <class T> std::vector<Index> filter_all(const View& x, const View& w, bool reversed, const Tiling& down,
                                                 const Tiling& right, Index steps, const View& result) {
  static thread_local Scratch<T> memory;
  const Index n = x.shape[0], work = steps + count(x) + count(result);
  const Taps<T> taps(w, reversed, x.shape[3], result.shape[3], memory);
  Marks directly(static_cast<std::size_t>(n));
  std::vector<Marks> mixed(directly.size());  // outputs of each image
  const auto flag = [&](Index i) -> char& { return directly[static_cast<std::size_t>(i)]; };
  const auto some = [&](Index first, Index last) {
    std::vector<Index> images;
    parallel_for(last - first, count(x) / n * (last - first), [&](Index begin, Index end) {
      for (Index i = first + begin; i < first + end; ++i) {
        Marks& marks = mixed[static_cast<std::size_t>(i)];
        marks = mixing<T>(x, i, windows_of(down), windows_of(right));
        flag(i) = kFew * std::count(marks.begin(), marks.end(), 1) > down.outputs * right.outputs;
      }
    });
    for (Index i = first; i < last; ++i)
      if (!flag(i)) images.push_back(i);
    filter<T>(x, images, mixed, taps, down, right, steps / (n * down.tiles), result);
    const Index m = static_cast<Index>(images.size());
    parallel_for(m, count(result) / n * m, [&](Index begin, Index end) {
      for (Index j = begin; j < end; ++j) {
        const Index i = images[static_cast<std::size_t>(j)];
        flag(i) = !all_finite(image_of(result, i));
      }
    });
  };
  const int threads = deserved_threads(n, work);
  if (taps.parts || (threads > 1 && n < kImages * threads)) {
    some(0, n);  // all at once meet large taps, and threads share the rows of few images
  } else {
    const Index bytes = (count(x) + count(result)) / n * Index{sizeof(T)};
    parallel_for(n, work, [&](Index begin, Index end) {
      const Index step = evenly(end - begin, kNear / bytes);
      for (Index first = begin; first < end; first += step) some(first, std::min(end, first + step));
    });
  }
  memory.keep(kKept);
  std::vector<Index> direct;
  for (Index i = 0; i < n; ++i)
    if (flag(i)) direct.push_back(i);
  return direct;
}

// The cotangent of w (3, 3, in, out) for channels [begin, end) of x: sums over all tiles of x and of
// g, the marked ones among them by the definition. judge(first, last) marks those of some images, and
// says whether to go on.
template <class T, class Judge> void correlate(const Geometry& f, const View& x, const View& g, const Tiling& down,
                                               const Tiling& right, const Marks& mixed, Index begin, Index end,
                                               const View& result, const Judge& judge) {
  const Tiling right_of_g = tiling(f.right.positions, 0);
  static thread_local Scratch<T> x_memory, g_memory, sum_memory;
  Scratch<T> window, packed;
  const Index in = end - begin, out = f.out;
  // Several whole images at a time where they are small, otherwise a few rows of one: a chain of
  // each sum.
  const Index most = std::min(kMatrixChain, kBytes / (kRank * kRank * (f.in + out) * Index{sizeof(T)}));
  const Index group = evenly(f.images, most / (down.tiles * right.tiles));
  const Index step = group > 1 ? down.tiles : evenly(down.tiles, most / right.tiles);
  const Index tiles = group * step * right.tiles;
  const Square<T> of_x = planes(tiles * in, x_memory), of_g = planes(tiles * out, g_memory);
  const Square<T> sums = planes(in * out, sum_memory);
  std::vector<Index> rows;  // of a product: of its left factor, and its own
  for (const Index width : {Index{1}, out})
    for (Index i = 0; i < in; ++i) rows.push_back(i * width);
  std::vector<Index> planes_of_sums;
  for (Index r = 0; r < kRank * kRank; ++r) planes_of_sums.push_back(r * sums.right);
  Places places;
  const auto leave_out = [&](Index line, Square<T> row) {  // adds zeros for what the definition adds
    for (Index q = 0; q < right.tiles; ++q) {
      if (!mixed[static_cast<std::size_t>(line * right.tiles + q)]) continue;
      for (Index i = 0; i < kRank; ++i)
        for (Index j = 0; j < kRank; ++j) std::fill_n(row.from(q * out).at(i, j), out, T(0));
      const Index s = line % down.tiles;
      for (Index i = 0; i < down.outputs_of(s); ++i)
        for (Index j = 0; j < right.outputs_of(q); ++j)
          places.push_back({line / down.tiles, kOutputs * s + i, kOutputs * q + j});
    }
  };
  Groups<T> groups(sums.first, planes_of_sums.data(), 1, kRank * kRank, in * out, false);
  for (Index image = 0; image < f.images; image += group) {
    if (!judge(image, std::min(f.images, image + group))) return;
    for (Index t = 0; t < down.tiles; t += step) {
      const Index images = std::min(group, f.images - image), lines = std::min(step, down.tiles - t);
      const Index counts[3] = {images, lines, right.tiles};
      const bool accumulate = groups.next(chains(counts));
      spend(work({images, lines, right.tiles, in, out}));
      for (Index n = 0; n < images; ++n)
        for (Index i = 0; i < lines; ++i) {
          const Index row = (n * lines + i) * right.tiles;
          read_tiles<kB>(x, image + n, down.pixel(t + i), right, begin, in, window, of_x.from(row * in));
          read_tiles<kToA>(g, image + n, kOutputs * (t + i), right_of_g, 0, out, window, of_g.from(row * out));
          leave_out((image + n) * down.tiles + t + i, of_g.from(row * out));
        }
      for (Index r = 0; r < kRank; ++r)
        for (Index q = 0; q < kRank; ++q) {
          // An output that does not exist would add zero.
          const Index tall = lines - (r == kSecond && !down.even() && t + lines == down.tiles);
          const Index wide = right.tiles - (q == kSecond && !right.even());
          const Index line = right.tiles, area = lines * line;
          const Product<T> product{{images, tall, wide},
                                   of_x.at(r, q),
                                   rows.data(),
                                   {area * in, line * in, in},
                                   of_g.at(r, q),
                                   {area * out, line * out, out},
                                   sums.at(r, q),
                                   rows.data() + in,
                                   1,
                                   accumulate};
          multiply(product, in, out, 1, false, packed);
        }
    }
  }
  groups.finish();
  const Index tap = f.in * out;
  const Square<T> to{reinterpret_cast<T*>(result.data) + begin * out, 3 * tap, tap};
  transform<kToC, T>({sums.first, sums.down, sums.right}, to, in * out);
  add_definition(x, g, places, down, right, begin, end, window, packed, result);
  for (Scratch<T>* memory : {&x_memory, &g_memory, &sum_memory}) memory->keep(kKept);
}

// Returns whether the result holds, which it does not if many tiles mix sizes or it is not finite.
template <class T> bool correlate(const Geometry& f, const View& x, const View& g, const View& result) {
  const Tiling down = tiling(f.down.positions, -f.down.before), right = tiling(f.right.positions, -f.right.before);
  const Tiling down_of_g = tiling(f.down.positions, 0), right_of_g = tiling(f.right.positions, 0);
  const Index tiles = down.tiles * right.tiles;
  Marks mixed(static_cast<std::size_t>(f.images * tiles));
  std::atomic<Index> most{f.images * tiles / kFew};  // tiles that may still be marked
  const auto judge = [&](Index first, Index last) {
    for (Index i = first; i < last; ++i) {
      const auto mark = [&](const Marks& marks) {
        for (std::size_t t = 0; t < marks.size(); ++t) mixed[static_cast<std::size_t>(i * tiles) + t] |= marks[t];
      };
      mark(mixing<T>(x, i, tiles_of(down, kRank), tiles_of(right, kRank)));
      mark(mixing<T>(g, i, tiles_of(down_of_g, kOutputs), tiles_of(right_of_g, kOutputs)));
      most -= std::count(mixed.begin() + i * tiles, mixed.begin() + (i + 1) * tiles, 1);
    }
    return most >= 0;
  };
  // One thread judges images when it needs them, while they come to the second cache; several share them.
  const bool alone = deserved_threads(f.in, f.steps()) == 1;
  if (!alone) parallel_for(f.images, count(x) + count(g), [&](Index first, Index last) { judge(first, last); });
  if (most < 0) return false;
  parallel_for(f.in, f.steps(), [&](Index begin, Index end) {
    const Index at_once = large(result) ? kSums / (kRank * kRank * f.out * Index{sizeof(T)}) : f.in;
    for (Index step = evenly(end - begin, at_once); begin < end; begin += step)
      correlate<T>(f, x, g, down, right, mixed, begin, std::min(end, begin + step), result,
                   [&](Index first, Index last) { return alone && begin == 0 ? judge(first, last) : most >= 0; });
  });
  return most >= 0 && all_finite(result);
}

}  // namespace

bool fits(const Geometry& f) {
  const auto suits = [](const Axis& a) { return a.taps == 3 && a.stride == 1 && a.positions >= 4; };
  const Index channels = std::min(f.in, f.out), positions = std::min(f.down.positions, f.right.positions);
  return suits(f.down) && suits(f.right) && channels >= 16 && channels * positions >= 128;
}

std::vector<Index> conv2d(const Geometry& f, const View& x, const View& weights, const View& result) {
  const Contiguous4 w(weights);
  const Tiling down = tiling(f.down.positions, -f.down.before), right = tiling(f.right.positions, -f.right.before);
  std::vector<Index> direct;
  with_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    direct = filter_all<T>(x, w.view, false, down, right, f.steps(), result);
  });
  return direct;
}

std::vector<Index> conv2d_input(const Geometry& f, const View& g, const View& weights, const View& result) {
  const Tiling down = tiling(f.down.pixels, f.down.before - 2), right = tiling(f.right.pixels, f.right.before - 2);
  std::vector<Index> direct;
  with_float(g.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    direct = filter_all<T>(g, turned(weights), true, down, right, f.steps(), result);
  });
  return direct;
}

bool conv2d_weight(const Geometry& f, const View& x, const View& g, const View& result) {
  bool holds = false;
  with_float(x.dtype, [&](auto tag) { holds = correlate<typename decltype(tag)::type>(f, x, g, result); });
  return holds;
}

}  // namespace minimeta::winograd

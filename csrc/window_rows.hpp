// Windows as rows of a product, without the zeros around the images (convolution.cpp).
//
// At position y, the taps [begin, end) of a window meet the image,
//
//   begin = max(0, before - stride y)      end = min(taps, pixels + before - stride y)
//
// and neither grows with y. So positions that meet the same taps are neighbours: at the edges one or
// a few each, in between all. Rows of a product that have the same taps on both axes go together,
// with the box of the reduction in which their terms are.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "product.hpp"
#include "windows.hpp"

namespace minimeta {

// Neighbouring positions [first, last) whose windows meet the image with the same taps, [begin, end).
struct Run {
  Index first, last, begin, end;
};

inline std::vector<Run> runs(const Axis& a) {
  std::vector<Run> found;
  for (Index y = 0; y < a.positions; ++y) {
    const Index above = a.before - a.stride * y, begin = std::clamp<Index>(above, 0, a.taps);
    const Index end = std::clamp<Index>(above + a.pixels, begin, a.taps);
    if (!found.empty() && found.back().begin == begin && found.back().end == end)
      ++found.back().last;
    else
      found.push_back({y, y + 1, begin, end});
  }
  return found;
}

// Whether all windows lie in the image.
inline bool inside(const Axis& a) { return a.before <= 0 && a.span(a.positions) - a.before <= a.pixels; }

// Whether each tap meets the image at some position. (From one position to the next, `begin` and `end` go down.)
inline bool all_meet(const std::vector<Run>& runs, Index taps) {
  Index met = taps;  // all from here on do
  for (const Run& run : runs)
    if (run.end >= met) met = std::min(met, run.begin);
  return met == 0;
}

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

// Windows along one axis of the images that are read. The result of position p is that of the pixel
// first + step p, of those that are written.
struct Side {
  Side(const Axis& axis, Index pixels, Index first, Index step)
      : axis(axis), runs(minimeta::runs(axis)), pixels(pixels), first(first), step(step) {}

  // The first position whose pixel is not before this one.
  Index position(Index pixel) const { return pixel <= first ? 0 : (pixel - first - 1) / step + 1; }

  Axis axis;
  std::vector<Run> runs;
  Index pixels, first, step;
};

// Rows of a product: windows, those together that meet the image with the same taps.
struct Rows {
  std::vector<Index> a, c;
  Boxes boxes;
  Index size = 0;

  // Those whose results are in the lines [begin, end), counted through all images. box(box, down,
  // right) says where the taps of two runs are in the reduction.
  template <class Box>
  void locate(const Side& down, const Side& right, Index begin, Index end, Index read, Index written, Box box) {
    a.resize(static_cast<std::size_t>((end - begin) * right.axis.positions));
    c.resize(a.size());
    boxes.clear();
    size = 0;
    const Index line = right.axis.pixels * read, a_step = right.axis.stride * read, c_step = right.step * written;
    for (const Run& along : right.runs)
      for (const Run& across : down.runs) {
        for_each_group(down.pixels, begin, end, [&](Index image, Index top, Index bottom) {
          const Index last = std::min(across.last, down.position(bottom));
          for (Index y = std::max(across.first, down.position(top)); y < last; ++y) {
            const Index row = image * down.axis.pixels + y * down.axis.stride - down.axis.before;
            const Index to = (image * down.pixels + down.first + y * down.step) * right.pixels + right.first;
            Index *const a_rows = a.data() + size - along.first, *const c_rows = c.data() + size - along.first;
            for (Index p = along.first; p < along.last; ++p) {
              a_rows[p] = row * line - right.axis.before * read + p * a_step;
              c_rows[p] = to * written + p * c_step;
            }
            size += along.last - along.first;
          }
        });
        boxes.push_back({size, {}, {}});
        box(boxes.back(), across, along);
      }
  }
};

// The pixels of one residue, along one axis: a pixel y meets the taps `tap` + s t, at the positions
// (y + before) / s - t. In reverse order these are windows on the positions, with stride 1.
struct Residue {
  Residue(const Axis& a, Index first)
      : tap((first + a.before) % a.stride), side(windows(a, first, tap), a.pixels, first, a.stride) {}

  Index tap;
  Side side;

  static std::vector<Residue> all(const Axis& a) {
    std::vector<Residue> found;
    for (Index first = 0; first < std::min(a.stride, a.pixels); ++first) found.emplace_back(a, first);
    return found;
  }

 private:
  static Axis windows(const Axis& a, Index first, Index tap) {
    const Index taps = tap < a.taps ? (a.taps - tap - 1) / a.stride + 1 : 0;
    return {a.positions, taps, (a.pixels - first - 1) / a.stride + 1, 1, taps - 1 - (first + a.before) / a.stride};
  }
};

// The positions [first, last) at which a tap meets the image.
inline std::pair<Index, Index> positions_of(const Axis& a, Index tap) {
  const auto from = [&](Index pixel) {  // the first whose tap is not before this one
    const Index way = pixel + a.before - tap;
    return way <= 0 ? 0 : std::min((way - 1) / a.stride + 1, a.positions);
  };
  return {from(0), from(a.pixels)};
}

// Writes NaN where a zero around the images meets an element of b that is not finite.
template <class T> void multiply_zeros(const Product<T>& q, const Boxes& boxes, Index n, Index b_column) {
  Index i = 0, at[3];
  for (const Box& box : boxes)
    for (; i < box.rows; ++i)
      for (at[0] = 0; at[0] < q.counts[0]; ++at[0])
        for (at[1] = 0; at[1] < q.counts[1]; ++at[1])
          for (at[2] = 0; at[2] < q.counts[2]; ++at[2]) {
            bool met = true;
            for (int d = 0; d < 3; ++d) met = met && box.first[d] <= at[d] && at[d] < box.last[d];
            const T* const b = q.b + at[0] * q.b_steps[0] + at[1] * q.b_steps[1] + at[2] * q.b_steps[2];
            for (Index j = 0; j < n && !met; ++j)
              if (!std::isfinite(b[j * b_column]))
                q.c[q.c_rows[i] + j * q.c_column] = b[j * b_column] - b[j * b_column];
          }
}

}  // namespace minimeta

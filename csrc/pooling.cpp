// Pooling walks over all windows, and over the cells of each. The channels of a pixel lie side by
// side, and are computed as vectors. A result at a window is written once, from the window's own
// cells. A result on the image is summed row by row: a row stays in the nearest cache while the
// windows over it add their parts, in their order.
#include "pooling.hpp"

#include <algorithm>
#include <type_traits>

#include "parallel.hpp"
#include "simd.hpp"

namespace minimeta {
namespace {

constexpr Index kMostCells = Index{1} << 32;  // of a window, so that their numbers fit the lanes of floats

struct Range {
  Index first, last;
};

// The cells of a window that lie on the image, or on a row of it.
struct Cells {
  Index pixel, number;  // of the first: where it begins in the images, and which cell of its window it is
  Index rows, columns;  // how many
  Index next_row, next_column, window;  // to the next pixel in elements, to the next row in numbers

  template <class Visit> MINIMETA_INLINE void for_each(const Visit& visit) const {
    const auto cell = [&](Index i, Index j) { visit(pixel + i * next_row + j * next_column, number + i * window + j); };
    if (rows == 2 && columns == 2) {  // as most are
      for (const Index i : {0, 1}) cell(i, 0), cell(i, 1);
      return;
    }
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < columns; ++j) cell(i, j);
  }
};

// A geometry whose windows take each channel by itself.
struct Grid : Geometry {
  Index channels() const { return in; }

  Index position(Index image, Index u, Index v) const {
    return ((image * down.positions + u) * right.positions + v) * channels();
  }
  Index pixel(Index image, Index row, Index column) const {
    return ((image * down.pixels + row) * right.pixels + column) * channels();
  }

  // The pixels of an axis under its window at a position, and the positions whose windows hold a
  // pixel.
  static Range under(const Axis& axis, Index position) {
    const Index start = position * axis.stride - axis.before;
    return {std::max(start, Index{0}), std::min(start + axis.taps, axis.pixels)};
  }
  static Range over(const Axis& axis, Index pixel) {
    const Index from = pixel + axis.before;
    return {from < axis.taps ? 0 : (from - axis.taps) / axis.stride + 1,
            std::min(from / axis.stride + 1, axis.positions)};
  }

  // The cells of a window that lie on these rows of the image.
  Cells cells(Index image, Index u, Index v, Range rows) const {
    const auto cell = [](const Axis& axis, Index pixel, Index position) {
      return pixel + axis.before - position * axis.stride;
    };
    const Range columns = under(right, v);
    const Index number = cell(down, rows.first, u) * right.taps + cell(right, columns.first, v);
    return {pixel(image, rows.first, columns.first),
            number,
            rows.last - rows.first,
            columns.last - columns.first,
            right.pixels * channels(),
            channels(),
            right.taps};
  }

  // Calls go(v, cells) for the windows of a row of positions: all of one size, if none is padded.
  template <class Go> void for_each_cells(Index image, Index u, Range rows, const Go& go) const {
    const bool alike = right.before == 0 && right.span(right.positions) <= right.pixels;
    Cells next = cells(image, u, 0, rows);
    for (Index v = 0; v < right.positions; ++v, next.pixel += right.stride * channels())
      go(v, alike ? next : cells(image, u, v, rows));
  }

  // Whether each pixel is under exactly one window.
  bool tiled() const {
    const auto is_tiled = [](const Axis& axis) {
      return axis.taps == axis.stride && axis.before == 0 && axis.positions * axis.taps == axis.pixels;
    };
    return is_tiled(down) && is_tiled(right);
  }

  // How many elements the cells of all windows are.
  Index visits() const {
    return work({images, down.positions, right.positions, channels(), std::min(down.taps, down.pixels),
                 std::min(right.taps, right.pixels)});
  }
};

// body(lanes, position, cells) for all channels of a window, as many at a time as a vector has
// lanes, and then one by one.
template <class T, class Body> void for_each_vector(Index channels, Index position, Cells cells, const Body& body) {
  constexpr std::integral_constant<int, simd::kLanes<T>> lanes;
  constexpr std::integral_constant<int, 1> one;
  const Index end = position + channels;
  for (; position + lanes <= end; position += lanes, cells.pixel += lanes) body(lanes, position, cells);
  for (; position < end; position += one, cells.pixel += one) body(one, position, cells);
}

// The same for all windows; the body writes the result at its position. (A range works on a copy of
// the grid, which nothing that is written can change: its numbers stay in registers.)
template <class T, class Body> void for_each_window(const Grid& all, const Body& body) {
  const Index rows = all.images * all.down.positions;
  parallel_for(rows, all.visits(), [=](Index first, Index last) {
    const Grid grid = all;
    const Index cost = all.visits() / rows;
    for (Index row = first; row < last; ++row) {
      spend(cost);
      const Index image = row / grid.down.positions, u = row % grid.down.positions;
      const Range under = Grid::under(grid.down, u);
      grid.for_each_cells(image, u, under, [&](Index v, const Cells& cells) {
        for_each_vector<T>(grid.channels(), grid.position(image, u, v), cells, body);
      });
    }
  });
}

// The same for all rows of the images and the windows over each; the body adds to the row's pixels.
// They begin as zeros, but where windows tile the images: there it writes each of them once.
template <class T, class Body> void for_each_row_and_window(const Grid& all, T* pixels, const Body& body) {
  const Index rows = all.images * all.down.pixels, row_size = all.right.pixels * all.channels();
  parallel_for(rows, std::max(all.visits(), rows * row_size), [=](Index first, Index last) {
    const Grid grid = all;
    const Index cost = all.visits() / rows;
    for (Index each = first; each < last; ++each) {
      spend(cost);
      const Index image = each / grid.down.pixels, row = each % grid.down.pixels;
      const Range over = Grid::over(grid.down, row);
      if (!grid.tiled()) std::fill_n(pixels + each * row_size, row_size, T(0));
      for (Index u = over.first; u < over.last; ++u)
        grid.for_each_cells(image, u, {row, row + 1}, [&](Index v, const Cells& cells) {
          for_each_vector<T>(grid.channels(), grid.position(image, u, v), cells, body);
        });
    }
  });
}

Grid grid_of(const char* operation, const Pooling& pooling, Index images, Index height, Index width, Index channels) {
  require(pooling.window.ndim == 2, operation, "window must have two entries");
  const Index image[] = {images, height, width, channels};
  const Index kernel[] = {pooling.window.size[0], pooling.window.size[1], channels, channels};
  const Grid grid{geometry(operation, image, kernel, pooling)};
  for (int d = 0; d < 2; ++d)
    require(image[1 + d] >= 1 && pooling.padding.size[2 * d] < kernel[d] && pooling.padding.size[2 * d + 1] < kernel[d],
            operation, "every window needs a cell on the image");
  require(work({kernel[0], kernel[1]}) <= kMostCells, operation, "a window has more than 2^32 cells");
  return grid;
}
Grid grid_of(const char* operation, const Pooling& pooling, const View& images) {
  require_float(operation, images);
  require(images.ndim == 4, operation, "images must have four axes");
  return grid_of(operation, pooling, images.shape[0], images.shape[1], images.shape[2], images.shape[3]);
}

Grid check_pooled(const char* operation, const View& x, const Pooling& pooling, View& result) {
  const Grid grid = grid_of(operation, pooling, x);
  const Index shape[] = {grid.images, grid.down.positions, grid.right.positions, grid.channels()};
  describe(result, operation, x.dtype, 4, shape);
  return grid;
}

Grid check_spread(const char* operation, const View& g, const Pooling& pooling, const Shape& size, View& result) {
  require_float(operation, g);
  require(g.ndim == 4 && size.ndim == 2, operation, "g must have four axes, and size two entries");
  const Grid grid = grid_of(operation, pooling, g.shape[0], size.size[0], size.size[1], g.shape[3]);
  require(grid.has_at_positions(g), operation, "g must have an element for each window");
  const Index shape[] = {grid.images, grid.down.pixels, grid.right.pixels, grid.channels()};
  describe(result, operation, g.dtype, 4, shape);
  return grid;
}

Dtype number_dtype(const Grid& grid) { return cell_dtype(grid.down.taps * grid.right.taps); }

void check_cell(const char* operation, const Grid& grid, const View& pooled, const View& cell) {
  require<DtypeError>(cell.dtype == number_dtype(grid), operation, "cell must have the dtype that max_cell gives");
  require_same_shape(operation, pooled, cell);
}

// Calls go(Tag<T>, Tag<C>) with the types of elements and of the numbers of cells.
template <class Go> void with_types(Dtype floats, Dtype numbers, Go go) {
  with_float(floats, [&](auto float_tag) {
    if (numbers == Dtype::uint8)
      go(float_tag, Tag<std::uint8_t>{});
    else
      go(float_tag, Tag<std::uint32_t>{});
  });
}

// Numbers of cells in lanes as wide as those of T.
template <class T> using Number = simd::Unsigned<sizeof(T)>;

template <class T, int lanes, class C> simd::Vec<Number<T>, lanes> load_numbers(const C* from) {
  return simd::resize<Number<T>>(simd::load<simd::Vec<C, lanes>>(from));
}

// Adds to a pixel, or writes one of a tiled image. (Zero is added there too: the part may be -0.)
template <class V, class T> void add(T* pixel, V part, bool tiled) {
  simd::store(pixel, (tiled ? V{} : simd::load<V>(pixel)) + part);
}

// The largest cell of each window, and its value if it is taken.
template <bool take> void find_largest(const View& x, const Pooling& pooling, const View& result, char* taken) {
  const Contiguous4 images(x);
  with_types(x.dtype, result.dtype, [&](auto float_tag, auto number_tag) {
    using T = typename decltype(float_tag)::type;
    using C = typename decltype(number_tag)::type;
    const T* const pixels = images.data<T>();
    C* const chosen = reinterpret_cast<C*>(result.data);
    T* const values = reinterpret_cast<T*>(taken);
    for_each_window<T>(grid_of("pooling", pooling, x), [=](auto lanes, Index position, const Cells& cells) {
      using V = simd::Vec<T, lanes>;
      V largest = simd::load<V>(pixels + cells.pixel);
      auto cell = simd::Vec<Number<T>, lanes>{} + Number<T>(cells.number);
      cells.for_each([&](Index pixel, Index number) {
        const V value = simd::load<V>(pixels + pixel);
        const auto wins = (largest == largest) & !(value <= largest);  // NaN wins, the first of them
        largest = wins ? value : largest;
        cell = wins ? Number<T>(number) : cell;
      });
      simd::store(chosen + position, simd::resize<C>(cell));
      if constexpr (take) simd::store(values + position, largest);
    });
  });
}

}  // namespace

void check_max_cell(const View& x, const Pooling& pooling, View& result) {
  const Grid grid = check_pooled("max_cell", x, pooling, result);
  describe(result, "max_cell", number_dtype(grid), result);
}

void run_max_cell(const View& x, const Pooling& pooling, const View& result) {
  find_largest<false>(x, pooling, result, nullptr);
}

void run_max_cell_and_take(const View& x, const Pooling& pooling, const View& result, const View& taken) {
  find_largest<true>(x, pooling, result, taken.data);
}

void check_pool_take(const View& x, const View& cell, const Pooling& pooling, View& result) {
  const Grid grid = check_pooled("pool_take", x, pooling, result);
  check_cell("pool_take", grid, result, cell);
}

void run_pool_take(const View& x, const View& cell, const Pooling& pooling, const View& result) {
  const Contiguous4 images(x), numbers(cell);
  with_types(x.dtype, cell.dtype, [&](auto float_tag, auto number_tag) {
    using T = typename decltype(float_tag)::type;
    using C = typename decltype(number_tag)::type;
    const T* const pixels = images.data<T>();
    const C* const chosen = numbers.data<C>();
    T* const taken = reinterpret_cast<T*>(result.data);
    for_each_window<T>(grid_of("pooling", pooling, x), [=](auto lanes, Index position, const Cells& cells) {
      using V = simd::Vec<T, lanes>;
      const auto cell = load_numbers<T, lanes>(chosen + position);
      V value = {};
      cells.for_each([&](Index pixel, Index number) {
        value = cell == Number<T>(number) ? simd::load<V>(pixels + pixel) : value;
      });
      simd::store(taken + position, value);
    });
  });
}

void check_pool_put(const View& g, const View& cell, const Pooling& pooling, const Shape& size, View& result) {
  const Grid grid = check_spread("pool_put", g, pooling, size, result);
  check_cell("pool_put", grid, g, cell);
}

void run_pool_put(const View& g, const View& cell, const Pooling& pooling, const View& result) {
  const Contiguous4 given(g), numbers(cell);
  with_types(g.dtype, cell.dtype, [&](auto float_tag, auto number_tag) {
    using T = typename decltype(float_tag)::type;
    using C = typename decltype(number_tag)::type;
    const T* const values = given.data<T>();
    const C* const chosen = numbers.data<C>();
    T* const pixels = reinterpret_cast<T*>(result.data);
    const Grid grid = grid_of("pooling", pooling, result);
    const bool tiled = grid.tiled();
    for_each_row_and_window(grid, pixels, [=](auto lanes, Index position, const Cells& cells) {
      using V = simd::Vec<T, lanes>;
      const auto cell = load_numbers<T, lanes>(chosen + position);
      const V value = simd::load<V>(values + position);
      cells.for_each(
          [&](Index pixel, Index number) { add(pixels + pixel, cell == Number<T>(number) ? value : V{}, tiled); });
    });
  });
}

void check_sum_pool(const View& x, const Pooling& pooling, View& result) {
  check_pooled("sum_pool", x, pooling, result);
}

void run_sum_pool(const View& x, const Pooling& pooling, const View& result) {
  const Contiguous4 images(x);
  with_float(x.dtype, [&](auto float_tag) {
    using T = typename decltype(float_tag)::type;
    const T* const pixels = images.data<T>();
    T* const sums = reinterpret_cast<T*>(result.data);
    for_each_window<T>(grid_of("pooling", pooling, x), [=](auto lanes, Index position, const Cells& cells) {
      simd::Vec<T, lanes> sum = {};
      cells.for_each([&](Index pixel, Index) { sum += simd::load<simd::Vec<T, lanes>>(pixels + pixel); });
      simd::store(sums + position, sum);
    });
  });
}

void check_sum_pool_input(const View& g, const Pooling& pooling, const Shape& size, View& result) {
  check_spread("sum_pool_input", g, pooling, size, result);
}

void run_sum_pool_input(const View& g, const Pooling& pooling, const View& result) {
  const Contiguous4 given(g);
  with_float(g.dtype, [&](auto float_tag) {
    using T = typename decltype(float_tag)::type;
    const T* const values = given.data<T>();
    T* const pixels = reinterpret_cast<T*>(result.data);
    const Grid grid = grid_of("pooling", pooling, result);
    const bool tiled = grid.tiled();
    for_each_row_and_window(grid, pixels, [=](auto lanes, Index position, const Cells& cells) {
      using V = simd::Vec<T, lanes>;
      const V value = simd::load<V>(values + position);
      cells.for_each([&](Index pixel, Index) { add(pixels + pixel, value, tiled); });
    });
  });
}

}  // namespace minimeta

// Pooling: two walks over all windows and the cells of each, with the channels of a pixel, which lie side by side, as
// vectors. What belongs to a window is written once, from its own cells. What belongs to the image is summed row by row: a
// row stays in the nearest cache while the windows over it add their parts, in their order.
#include "pooling.hpp"

#include <algorithm>
#include <memory>
#include <type_traits>

#include "layout.hpp"
#include "parallel.hpp"
#include "simd.hpp"

namespace minimeta {
namespace {

struct Range {
  Index first, last;
};

// Rows or columns: of an image, of a window, and of the results.
struct Axis {
  Index size, window, stride, before, places;

  // What of the image is under the window at a place.
  Range under(Index place) const {
    const Index start = place * stride - before;
    return {std::max(start, Index{0}), std::min(start + window, size)};
  }

  // The places whose windows hold a pixel.
  Range over(Index pixel) const {
    const Index from = pixel + before;
    return {from < window ? 0 : (from - window) / stride + 1, std::min(from / stride + 1, places)};
  }

  // Whether each pixel is under exactly one window.
  bool tiled() const { return window == stride && before == 0 && places * window == size; }

  // The cell of the window at a place that a pixel is under.
  Index cell(Index pixel, Index place) const { return pixel + before - place * stride; }
};

// Sums of sizes and offsets below this fit an Index.
constexpr Index kFar = Index{1} << 60;

constexpr Index kMostCells = Index{1} << 32;  // of a window, so that their numbers fit the lanes of floats

// The cells of a window that lie on the image, or on a row of it.
struct Cells {
  Index pixel, number;  // of the first: where it begins in the images, and which cell of its window it is
  Index rows, columns;  // how many
  Index next_row, next_column, window;  // to the next pixel in elements, to the next row in numbers

  template <class Visit> void for_each(const Visit& visit) const {
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < columns; ++j) visit(pixel + i * next_row + j * next_column, number + i * window + j);
  }
};

struct Grid {
  Axis rows, columns;
  Index images, channels;

  Index place(Index image, Index u, Index v) const {
    return ((image * rows.places + u) * columns.places + v) * channels;
  }
  Index pixel(Index image, Index row, Index column) const {
    return ((image * rows.size + row) * columns.size + column) * channels;
  }

  // The cells of a window that lie on these rows of the image.
  Cells cells(Index image, Index u, Index v, Range down) const {
    const Range across = columns.under(v);
    const Index number = rows.cell(down.first, u) * columns.window + columns.cell(across.first, v);
    const Index first = pixel(image, down.first, across.first), next_row = columns.size * channels;
    return {first, number, down.last - down.first, across.last - across.first, next_row, channels, columns.window};
  }

  bool tiled() const { return rows.tiled() && columns.tiled(); }

  // How many elements the cells of all windows are.
  Index visits() const {
    return work({images, rows.places, columns.places, channels, std::min(rows.window, rows.size),
                 std::min(columns.window, columns.size)});
  }
};

// body(lanes, place, cells) for all channels of a window, as many at a time as a vector has lanes, and then one by one.
template <class T, class Body> void for_each_vector(Index channels, Index place, Cells cells, const Body& body) {
  constexpr std::integral_constant<int, simd::kLanes<T>> lanes;
  constexpr std::integral_constant<int, 1> one;
  const Index end = place + channels;
  for (; place + lanes <= end; place += lanes, cells.pixel += lanes) body(lanes, place, cells);
  for (; place < end; place += one, cells.pixel += one) body(one, place, cells);
}

// The same for all windows; the body writes the result at its place. (A range works on a copy of the grid, which nothing
// that is written can change: its numbers stay in registers.)
template <class T, class Body> void for_each_window(const Grid& all, const Body& body) {
  parallel_for(all.images * all.rows.places, all.visits(), [=](Index first, Index last) {
    const Grid grid = all;
    const Index cost = all.visits() / (all.images * all.rows.places);
    for (Index row = first; row < last; ++row) {
      spend(cost);
      const Index image = row / grid.rows.places, u = row % grid.rows.places;
      const Range down = grid.rows.under(u);
      for (Index v = 0; v < grid.columns.places; ++v)
        for_each_vector<T>(grid.channels, grid.place(image, u, v), grid.cells(image, u, v, down), body);
    }
  });
}

// The same for all rows of the images and the windows over each; the body adds to the row's pixels. They begin as zeros,
// but where windows tile the images: there it writes each of them once.
template <class T, class Body> void for_each_row_and_window(const Grid& all, T* pixels, const Body& body) {
  const Index rows = all.images * all.rows.size, row_size = all.columns.size * all.channels;
  parallel_for(rows, std::max(all.visits(), rows * row_size), [=](Index first, Index last) {
    const Grid grid = all;
    const Index cost = all.visits() / rows;
    for (Index each = first; each < last; ++each) {
      spend(cost);
      const Index image = each / grid.rows.size, row = each % grid.rows.size;
      const Range over = grid.rows.over(row);
      if (!grid.tiled()) std::fill_n(pixels + each * row_size, row_size, T(0));
      for (Index u = over.first; u < over.last; ++u)
        for (Index v = 0; v < grid.columns.places; ++v)
          for_each_vector<T>(grid.channels, grid.place(image, u, v), grid.cells(image, u, v, {row, row + 1}), body);
    }
  });
}

// Checks

Axis axis_of(const char* operation, const Pooling& pooling, int d, Index size) {
  const Shape &window = pooling.window, &strides = pooling.strides, &padding = pooling.padding;
  if (window.ndim != 2 || strides.ndim != 2 || padding.ndim != 4)
    throw std::invalid_argument(std::string(operation) + ": window and strides have two entries, padding four");
  const Index k = window.size[d], s = strides.size[d], before = padding.size[2 * d], after = padding.size[2 * d + 1];
  const bool legal = 1 <= k && k < kFar && 1 <= s && s < kFar && 0 <= before && before < k && 0 <= after && after < k &&
                     1 <= size && size < kFar && k <= size + before + after;
  if (!legal)
    throw std::invalid_argument(std::string(operation) + ": a window of " + to_string(window) + " in steps of " +
                                to_string(strides) + " with padding " + to_string(padding) + " does not fit a side of " +
                                std::to_string(size) + "; every window needs a cell on the image");
  return {size, k, s, before, (size + before + after - k) / s + 1};
}

// The images or what is at their windows, x, lie on a grid of this size.
Grid grid_of(const char* operation, const View& x, const Pooling& pooling, Index height, Index width) {
  const Axis rows = axis_of(operation, pooling, 0, height), columns = axis_of(operation, pooling, 1, width);
  if (work({rows.window, columns.window}) > kMostCells)
    throw std::invalid_argument(std::string(operation) + ": a window of " + to_string(pooling.window) +
                                " has more than 2^32 cells");
  return {rows, columns, x.shape[0], x.shape[3]};
}

void check_images(const char* operation, const View& x) {
  require_float(operation, "images", x);
  if (x.ndim != 4)
    throw std::invalid_argument(std::string(operation) + ": images have shape (N, H, W, C), not " + to_string(x));
}

Grid check_pooled(const char* operation, const View& x, const Pooling& pooling, View& result) {
  check_images(operation, x);
  const Grid grid = grid_of(operation, x, pooling, x.shape[1], x.shape[2]);
  const Index shape[] = {grid.images, grid.rows.places, grid.columns.places, grid.channels};
  describe(result, operation, x.dtype, 4, shape);
  return grid;
}

Grid check_spread(const char* operation, const View& g, const Pooling& pooling, const Shape& size, View& result) {
  check_images(operation, g);
  if (size.ndim != 2)
    throw std::invalid_argument(std::string(operation) + ": size must be rows and columns of images, not " +
                                to_string(size));
  const Grid grid = grid_of(operation, g, pooling, size.size[0], size.size[1]);
  if (g.shape[1] != grid.rows.places || g.shape[2] != grid.columns.places)
    throw std::invalid_argument(std::string(operation) + ": images of " + to_string(size) + " have " +
                                std::to_string(grid.rows.places) + " x " + std::to_string(grid.columns.places) +
                                " windows, which shape " + to_string(g) + " does not fit");
  const Index shape[] = {grid.images, grid.rows.size, grid.columns.size, grid.channels};
  describe(result, operation, g.dtype, 4, shape);
  return grid;
}

Dtype number_dtype(const Grid& grid) {
  return grid.rows.window * grid.columns.window <= 256 ? Dtype::uint8 : Dtype::uint32;
}

void check_cell(const char* operation, const Grid& grid, const View& pooled, const View& cell) {
  require_dtype(operation, "cell", cell, number_dtype(grid));
  require_same_shape(operation, pooled, cell);
}

// Runs

Grid grid_of_images(const View& x, const Pooling& pooling) {
  return grid_of("pooling", x, pooling, x.shape[1], x.shape[2]);
}

// The elements in C order: where they are, or in a copy.
class Dense {
 public:
  explicit Dense(const View& x) : data_(x.data) {
    View dense;
    describe(dense, "pooling", x.dtype, x);
    if (std::equal(x.strides, x.strides + x.ndim, dense.strides)) return;
    copy_.reset(new char[static_cast<std::size_t>(count(x) * itemsize(x.dtype))]);
    dense.data = copy_.get();
    copy(x, dense);
    data_ = copy_.get();
  }
  template <class T> const T* data() const { return reinterpret_cast<const T*>(data_); }

 private:
  const char* data_;
  std::unique_ptr<char[]> copy_;
};

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
  const Dense images(x);
  with_types(x.dtype, result.dtype, [&](auto float_tag, auto number_tag) {
    using T = typename decltype(float_tag)::type;
    using C = typename decltype(number_tag)::type;
    const T* const pixels = images.data<T>();
    C* const chosen = reinterpret_cast<C*>(result.data);
    T* const values = reinterpret_cast<T*>(taken);
    for_each_window<T>(grid_of_images(x, pooling), [=](auto lanes, Index place, const Cells& cells) {
      using V = simd::Vec<T, lanes>;
      V largest = simd::load<V>(pixels + cells.pixel);
      auto cell = simd::Vec<Number<T>, lanes>{} + Number<T>(cells.number);
      cells.for_each([&](Index pixel, Index number) {
        const V value = simd::load<V>(pixels + pixel);
        const auto wins = (value > largest) | ((value != value) & (largest == largest));  // NaN wins, the first of them
        largest = wins ? value : largest;
        cell = wins ? Number<T>(number) : cell;
      });
      simd::store(chosen + place, simd::resize<C>(cell));
      if constexpr (take) simd::store(values + place, largest);
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
  const Dense images(x), numbers(cell);
  with_types(x.dtype, cell.dtype, [&](auto float_tag, auto number_tag) {
    using T = typename decltype(float_tag)::type;
    using C = typename decltype(number_tag)::type;
    const T* const pixels = images.data<T>();
    const C* const chosen = numbers.data<C>();
    T* const taken = reinterpret_cast<T*>(result.data);
    for_each_window<T>(grid_of_images(x, pooling), [=](auto lanes, Index place, const Cells& cells) {
      using V = simd::Vec<T, lanes>;
      const auto cell = load_numbers<T, lanes>(chosen + place);
      V value = {};
      cells.for_each([&](Index pixel, Index number) {
        value = cell == Number<T>(number) ? simd::load<V>(pixels + pixel) : value;
      });
      simd::store(taken + place, value);
    });
  });
}

void check_pool_put(const View& g, const View& cell, const Pooling& pooling, const Shape& size, View& result) {
  const Grid grid = check_spread("pool_put", g, pooling, size, result);
  check_cell("pool_put", grid, g, cell);
}

void run_pool_put(const View& g, const View& cell, const Pooling& pooling, const View& result) {
  const Dense given(g), numbers(cell);
  with_types(g.dtype, cell.dtype, [&](auto float_tag, auto number_tag) {
    using T = typename decltype(float_tag)::type;
    using C = typename decltype(number_tag)::type;
    const T* const values = given.data<T>();
    const C* const chosen = numbers.data<C>();
    T* const pixels = reinterpret_cast<T*>(result.data);
    const Grid grid = grid_of_images(result, pooling);
    const bool tiled = grid.tiled();
    for_each_row_and_window(grid, pixels, [=](auto lanes, Index place, const Cells& cells) {
      using V = simd::Vec<T, lanes>;
      const auto cell = load_numbers<T, lanes>(chosen + place);
      const V value = simd::load<V>(values + place);
      cells.for_each([&](Index pixel, Index number) {
        add(pixels + pixel, cell == Number<T>(number) ? value : V{}, tiled);
      });
    });
  });
}

void check_sum_pool(const View& x, const Pooling& pooling, View& result) {
  check_pooled("sum_pool", x, pooling, result);
}

void run_sum_pool(const View& x, const Pooling& pooling, const View& result) {
  const Dense images(x);
  with_float(x.dtype, [&](auto float_tag) {
    using T = typename decltype(float_tag)::type;
    const T* const pixels = images.data<T>();
    T* const sums = reinterpret_cast<T*>(result.data);
    for_each_window<T>(grid_of_images(x, pooling), [=](auto lanes, Index place, const Cells& cells) {
      simd::Vec<T, lanes> sum = {};
      cells.for_each([&](Index pixel, Index) { sum += simd::load<simd::Vec<T, lanes>>(pixels + pixel); });
      simd::store(sums + place, sum);
    });
  });
}

void check_sum_pool_input(const View& g, const Pooling& pooling, const Shape& size, View& result) {
  check_spread("sum_pool_input", g, pooling, size, result);
}

void run_sum_pool_input(const View& g, const Pooling& pooling, const View& result) {
  const Dense given(g);
  with_float(g.dtype, [&](auto float_tag) {
    using T = typename decltype(float_tag)::type;
    const T* const values = given.data<T>();
    T* const pixels = reinterpret_cast<T*>(result.data);
    const Grid grid = grid_of_images(result, pooling);
    const bool tiled = grid.tiled();
    for_each_row_and_window(grid, pixels, [=](auto lanes, Index place, const Cells& cells) {
      using V = simd::Vec<T, lanes>;
      const V value = simd::load<V>(values + place);
      cells.for_each([&](Index pixel, Index) { add(pixels + pixel, value, tiled); });
    });
  });
}

}  // namespace minimeta

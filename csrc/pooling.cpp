// Pooling: a loop over places, inside it one over the cells of the window, and inside that the channels, which lie side
// by side and become vectors. Every result is written once, from its own window, in the order of the window's rows.
#include "pooling.hpp"

#include <algorithm>
#include <memory>

#include "layout.hpp"
#include "parallel.hpp"

namespace minimeta {
namespace {

// Rows or columns: of an image, of a window, and of the results.
struct Axis {
  Index size, window, stride, before, places;

  // The range of the image under the window at a place.
  Index begin(Index place) const { return std::max(place * stride - before, Index{0}); }
  Index end(Index place) const { return std::min(place * stride - before + window, size); }

  // The range of places whose windows hold a cell.
  Index first(Index cell) const { return cell + before < window ? 0 : (cell + before - window) / stride + 1; }
  Index last(Index cell) const { return std::min((cell + before) / stride + 1, places); }
};

// Sums of sizes and offsets below this fit an Index.
constexpr Index kFar = Index{1} << 60;

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

void check_images(const char* operation, const View& x) {
  require_float(operation, "images", x);
  if (x.ndim != 4)
    throw std::invalid_argument(std::string(operation) + ": images have shape (N, H, W, C), not " + to_string(x));
}

void check_pooled(const char* operation, const View& x, const Pooling& pooling, Dtype dtype, View& result) {
  check_images(operation, x);
  const Axis rows = axis_of(operation, pooling, 0, x.shape[1]), columns = axis_of(operation, pooling, 1, x.shape[2]);
  const Index shape[] = {x.shape[0], rows.places, columns.places, x.shape[3]};
  describe(result, operation, dtype, 4, shape);
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

// body(image, row, column, target) for every pixel of a result that costs so many operations an element.
template <class T, class Body> void for_each_pixel(const View& result, double operations, const Body& body) {
  const Index height = result.shape[1], width = result.shape[2], channels = result.shape[3];
  T* const pixels = reinterpret_cast<T*>(result.data);
  const double work = std::min(operations * static_cast<double>(count(result)), 1e18);
  parallel_for(result.shape[0] * height, static_cast<Index>(work), [&](Index first, Index last) {
    for (Index row = first; row < last; ++row)
      for (Index column = 0; column < width; ++column)
        body(row / height, row % height, column, pixels + (row * width + column) * channels);
  });
}

double cells_of(const Axis& rows, const Axis& columns) {
  return static_cast<double>(std::min(rows.window, rows.size)) * static_cast<double>(std::min(columns.window, columns.size));
}

// sum[c] = the sum of pixels[row, column, c] over a rectangle, of images of this width.
template <class T>
void add_up(const T* pixels, Index width, Index channels, Index top, Index bottom, Index left, Index right,
            T* __restrict sum) {
  std::fill_n(sum, channels, T(0));
  for (Index row = top; row < bottom; ++row)
    for (Index column = left; column < right; ++column) {
      const T* pixel = pixels + (row * width + column) * channels;
      for (Index c = 0; c < channels; ++c) sum[c] += pixel[c];
    }
}

constexpr Index kBlock = 32;  // channels whose maxima so far stay in registers or nearby

template <class T>
void find_maxima(const T* pixels, Index width, Index channels, Index top, Index bottom, Index left, Index right,
                 std::int64_t* positions) {
  for (Index start = 0; start < channels; start += kBlock) {
    const Index size = std::min(kBlock, channels - start);
    T largest[kBlock];
    std::int64_t position[kBlock];
    const Index corner = (top * width + left) * channels + start;
    std::copy_n(pixels + corner, size, largest);
    std::fill_n(position, size, corner);
    for (Index row = top; row < bottom; ++row)
      for (Index column = left; column < right; ++column) {
        const Index here = (row * width + column) * channels + start;
        for (Index c = 0; c < size; ++c) {
          const T x = pixels[here + c];
          const bool wins = (x > largest[c]) | ((x != x) & (largest[c] == largest[c]));  // NaN wins, the first of them
          largest[c] = wins ? x : largest[c];
          position[c] = wins ? here : position[c];
        }
      }
    for (Index c = 0; c < size; ++c) positions[start + c] = position[c] + c;
  }
}

}  // namespace

void check_max_positions(const View& x, const Pooling& pooling, View& result) {
  check_pooled("max_positions", x, pooling, Dtype::int64, result);
}

void run_max_positions(const View& x, const Pooling& pooling, const View& result) {
  const Axis rows = axis_of("max_positions", pooling, 0, x.shape[1]);
  const Axis columns = axis_of("max_positions", pooling, 1, x.shape[2]);
  const Dense images(x);
  with_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto maxima = [&](Index image, Index u, Index v, std::int64_t* positions) {
      const Index row = image * rows.size;  // all images are one high one
      find_maxima(images.data<T>(), columns.size, x.shape[3], row + rows.begin(u), row + rows.end(u), columns.begin(v),
                  columns.end(v), positions);
    };
    for_each_pixel<std::int64_t>(result, cells_of(rows, columns), maxima);
  });
}

void check_sum_pool(const View& x, const Pooling& pooling, View& result) {
  check_pooled("sum_pool", x, pooling, x.dtype, result);
}

void run_sum_pool(const View& x, const Pooling& pooling, const View& result) {
  const Axis rows = axis_of("sum_pool", pooling, 0, x.shape[1]), columns = axis_of("sum_pool", pooling, 1, x.shape[2]);
  const Dense images(x);
  with_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_each_pixel<T>(result, cells_of(rows, columns), [&](Index image, Index u, Index v, T* sum) {
      const Index row = image * rows.size;
      add_up(images.data<T>(), columns.size, x.shape[3], row + rows.begin(u), row + rows.end(u), columns.begin(v),
             columns.end(v), sum);
    });
  });
}

void check_sum_pool_input(const View& g, const Pooling& pooling, const Shape& size, View& result) {
  check_images("sum_pool_input", g);
  if (size.ndim != 2)
    throw std::invalid_argument("sum_pool_input: size must be rows and columns of images, not " + to_string(size));
  const Axis rows = axis_of("sum_pool_input", pooling, 0, size.size[0]);
  const Axis columns = axis_of("sum_pool_input", pooling, 1, size.size[1]);
  if (g.shape[1] != rows.places || g.shape[2] != columns.places)
    throw std::invalid_argument("sum_pool_input: images of " + to_string(size) + " have " + std::to_string(rows.places) +
                                " x " + std::to_string(columns.places) + " windows, which shape " + to_string(g) +
                                " does not fit");
  const Index shape[] = {g.shape[0], size.size[0], size.size[1], g.shape[3]};
  describe(result, "sum_pool_input", g.dtype, 4, shape);
}

void run_sum_pool_input(const View& g, const Pooling& pooling, const View& result) {
  const Axis rows = axis_of("sum_pool_input", pooling, 0, result.shape[1]);
  const Axis columns = axis_of("sum_pool_input", pooling, 1, result.shape[2]);
  const Dense windows(g);
  with_float(g.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_each_pixel<T>(result, cells_of(rows, columns), [&](Index image, Index row, Index column, T* sum) {
      const Index u = image * rows.places;
      add_up(windows.data<T>(), columns.places, g.shape[3], u + rows.first(row), u + rows.last(row), columns.first(column),
             columns.last(column), sum);
    });
  });
}

}  // namespace minimeta

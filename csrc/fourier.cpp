// Transforms along axes, and of real signals: see fourier.hpp. transform.hpp has the transform.
//
// The inverse exchanges real and imaginary parts before and after. A real signal of even length is
// taken for one of half as many complex numbers; the two halves of what comes out are added and
// subtracted.
#include "fourier.hpp"

#include "layout.hpp"
#include "transform.hpp"

namespace minimeta {
namespace {

constexpr std::size_t kKnown = 8;  // lengths that a thread remembers

// From the transform z of x[2j] + i x[2j + 1] to that of x, in place, or back (times 2). Together
// for k and h - k, with n = 2h:
//
//   e = z[k] + z*[h - k],  d = z[k] - z*[h - k],  u = -i w_n^k (back: its conjugate)
//   y[k] = e + u d,  y[h - k] = (e - u d)*        (forth: half of it)
template <class T> class Halves {
 public:
  explicit Halves(Index h)
      : h_(h),
        fine_(kFine, 2 * h, [](Index i) { return i; }),
        coarse_(h / 2 / kFine + 1, 2 * h, [](Index i) { return i * kFine; }) {}

  // Of h + 1 pairs.
  void run(T* z, bool back) const {
    const T scale = back ? T(1) : T(0.5), sign = back ? T(-1) : T(1);
    parallel_for(h_ / 2 + 1, work({h_, kCost}), [&](Index first, Index last) {
      for (Index k = first; k < last; ++k) {
        const std::size_t a = static_cast<std::size_t>(k / kFine), b = static_cast<std::size_t>(k % kFine);
        const Number<T> w = Number<T>{coarse_.re[a], coarse_.im[a]}.times({fine_.re[b], fine_.im[b]});
        T *const x = z + 2 * k, *const y = z + 2 * (h_ - k);
        const Number<T> e{x[0] + y[0], x[1] - y[1]}, d{x[0] - y[0], x[1] + y[1]}, u{w.im, -sign * w.re};
        const Number<T> product = u.times(d);
        y[0] = scale * (e.re - product.re);
        y[1] = scale * (product.im - e.im);
        x[0] = scale * (e.re + product.re);
        x[1] = scale * (e.im + product.im);
      }
    });
  }

 private:
  Index h_;
  Roots<T> fine_, coarse_;
};

// The transform of a length, which a thread that needs it again finds again.
template <class T> const Transform<T>& transform_of(Index n) {
  static thread_local std::vector<std::pair<Index, std::unique_ptr<Transform<T>>>> known;
  for (const auto& each : known)
    if (each.first == n) return *each.second;
  if (known.size() == kKnown) known.erase(known.begin());
  known.emplace_back(n, std::make_unique<Transform<T>>(n));
  return *known.back().second;
}

View without(const View& x, int axis) {
  View rest = x;
  rest.ndim = x.ndim - 1;
  std::copy(x.shape + axis + 1, x.shape + x.ndim, rest.shape + axis);
  std::copy(x.strides + axis + 1, x.strides + x.ndim, rest.strides + axis);
  return rest;
}

// The signals of two arrays, whose other axes are those of x and y.
class Signals {
 public:
  Signals(const View& x, const View& y) : x_(x.data), y_(y.data) { plan<2>(loop_, {&x, &y}, 0, x.ndim); }
  Index count() const { return minimeta::count(loop_); }
  std::pair<char*, char*> operator[](Index i) const {
    char* data[2] = {x_, y_};
    move_to(loop_, i, data);
    return {data[0], data[1]};
  }

 private:
  Loop<2> loop_;
  char *x_, *y_;
};

template <class T> void transform_axis(const View& x, int axis, bool inverse, const View& y) {
  const int part = x.ndim - 1;
  const Signals signals(without(without(x, part), axis), without(without(y, part), axis));
  transform_of<T>(x.shape[axis]).run(signals.count(), [&](Index i) {
    const auto [from, to] = signals[i];
    return std::pair{line<T>(from, x.strides[axis], x.strides[part], inverse),
                     line<T>(to, y.strides[axis], y.strides[part], inverse)};
  });
}

template <class T> std::unique_ptr<T[]> pairs(Index n) {
  return std::unique_ptr<T[]>(new T[static_cast<std::size_t>(2 * n)]);
}

template <class T> void of_real(const View& x, const View& y) {
  const int last = x.ndim - 1;
  const Index n = x.shape[last], h = n / 2, step = x.strides[last];
  const Signals signals(without(x, last), without(without(y, last + 1), last));
  const auto result = [&](Index i) { return reinterpret_cast<T*>(signals[i].second); };
  if (n % 2 == 0) {
    transform_of<T>(h).run(signals.count(), [&](Index i) {
      char* const from = signals[i].first;
      return std::pair{Line{from, from + step, 2 * step}, line(result(i))};
    });
    const Halves<T> halves(h);
    return parallel_for(signals.count(), work({signals.count(), n, kCost}), [&](Index first, Index end) {
      for (Index i = first; i < end; ++i) {
        std::copy_n(result(i), 2, result(i) + 2 * h);
        halves.run(result(i), false);
      }
    });
  }
  const auto all = pairs<T>(signals.count() * n);
  transform_of<T>(n).run(signals.count(), [&](Index i) {
    return std::pair{Line{signals[i].first, nullptr, step}, line(all.get() + 2 * n * i)};
  });
  for (Index i = 0; i < signals.count(); ++i) std::copy_n(all.get() + 2 * n * i, 2 * (h + 1), result(i));
}

template <class T> void to_real(const View& x, const View& y) {
  const int last = y.ndim - 1;
  const Index n = y.shape[last], h = n / 2, step = y.strides[last], size = n % 2 ? n : h + 1;
  const Signals signals(without(without(x, last + 1), last), without(y, last));
  const auto all = pairs<T>(signals.count() * size);
  const Halves<T> halves(std::max<Index>(h, 1));
  parallel_for(signals.count(), work({signals.count(), n, kCost}), [&](Index first, Index end) {
    for (Index i = first; i < end; ++i) {
      const char* const from = signals[i].first;
      T* const z = all.get() + 2 * size * i;
      for (Index k = 0; k <= h; ++k)
        for (int part = 0; part < 2; ++part)
          z[2 * k + part] = *reinterpret_cast<const T*>(from + k * x.strides[last] + part * x.strides[last + 1]);
      z[1] = 0;
      if (n % 2 == 0) {
        z[2 * h + 1] = 0;
        halves.run(z, true);
      } else {
        for (Index k = 1; k <= h; ++k) {
          z[2 * (n - k)] = z[2 * k];
          z[2 * (n - k) + 1] = -z[2 * k + 1];
        }
      }
    }
  });
  const auto from = [&](Index i) { return line(all.get() + 2 * size * i, true); };
  if (n % 2 == 0)
    return transform_of<T>(h).run(signals.count(), [&](Index i) {
      char* const to = signals[i].second;
      return std::pair{from(i), Line{to + step, to, 2 * step}};
    });
  transform_of<T>(n).run(signals.count(), [&](Index i) { return std::pair{from(i), from(i)}; });
  for (Index i = 0; i < signals.count(); ++i)
    for (Index j = 0; j < n; ++j)
      reinterpret_cast<T*>(signals[i].second)[j] = all[static_cast<std::size_t>(2 * (size * i + j))];
}

void require_pairs(const char* operation, const View& x) {
  require_float(operation, x);
  require(x.ndim >= 2 && x.shape[x.ndim - 1] == 2, operation, "the last axis must hold pairs");
}

}  // namespace

void check_fourier(const View& x, const Shape& axes, View& result) {
  require_pairs("fourier", x);
  for (int a = 0; a < axes.ndim; ++a) {
    require_axis("fourier", axes.size[a], x.ndim - 1);
    require(x.shape[axes.size[a]] > 0, "fourier", "an axis has no elements");
  }
  describe(result, "fourier", x.dtype, x);
}

void run_fourier(const View& x, const Shape& axes, bool inverse, const View& result) {
  if (count(x) == 0) return;
  if (axes.ndim == 0) return copy(x, result);
  with_float(x.dtype, [&](auto tag) {
    for (int a = 0; a < axes.ndim; ++a)
      transform_axis<typename decltype(tag)::type>(a == 0 ? x : result, static_cast<int>(axes.size[a]), inverse,
                                                   result);
  });
}

void check_of_real(const View& x, View& result) {
  require_float("of_real", x);
  require(x.ndim >= 1 && x.shape[x.ndim - 1] > 0, "of_real", "the last axis has no elements");
  require(x.ndim < kMaxDims, "of_real", "the result has too many dimensions");
  Index shape[kMaxDims];
  std::copy_n(x.shape, x.ndim, shape);
  shape[x.ndim - 1] = x.shape[x.ndim - 1] / 2 + 1;
  shape[x.ndim] = 2;
  describe(result, "of_real", x.dtype, x.ndim + 1, shape);
}

void run_of_real(const View& x, const View& result) {
  if (count(x) > 0) with_float(x.dtype, [&](auto tag) { of_real<typename decltype(tag)::type>(x, result); });
}

void check_to_real(const View& x, Index n, View& result) {
  require_pairs("to_real", x);
  require(n > 0 && x.shape[x.ndim - 2] == n / 2 + 1, "to_real", "n elements have n / 2 + 1 pairs");
  Index shape[kMaxDims];
  std::copy_n(x.shape, x.ndim - 1, shape);
  shape[x.ndim - 2] = n;
  describe(result, "to_real", x.dtype, x.ndim - 1, shape);
}

void run_to_real(const View& x, const View& result) {
  if (count(result) > 0) with_float(x.dtype, [&](auto tag) { to_real<typename decltype(tag)::type>(x, result); });
}

}  // namespace minimeta

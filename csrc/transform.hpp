// Fourier transforms of any length.
//
// A long transform, n = n_1 n_2, is one of length n_1 over columns and one of length n_2 over rows,
// each in a cache, with neighbouring columns or rows as lanes and a twiddle in between:
//
//   y[k_1 + n_1 k_2] = sum_{j_2} w_{n_2}^(j_2 k_2) ( w_n^(j_2 k_1) sum_{j_1} w_{n_1}^(j_1 k_1) x[n_2 j_1 + j_2] )
//
// If n has a prime factor above 13, j k = (j^2 + k^2 - (k - j)^2) / 2 makes a convolution of the sum
// (Bluestein 1970), which transforms of a power of two compute. Short transforms have signals as
// lanes. Which of these ways is taken depends on n alone, so no result shows the batch or the number
// of threads.
#pragma once

#include <algorithm>
#include <memory>

#include "parallel.hpp"
#include "product.hpp"
#include "stages.hpp"
#include "transpose.hpp"

namespace minimeta {

constexpr Index kLong = 256;  // from here on, a transform is split
constexpr Index kFine = 64;   // twiddles are products w^(64 a) w^b
constexpr Index kCost = 16;   // of an element of a transform, in elements moved

// One signal: its parts, and how many bytes two elements lie apart. Without imaginary parts they are
// 0.
struct Line {
  char *re, *im;
  Index step;
};
template <class T> Line line(char* x, Index step, Index part, bool inverse) {
  return inverse ? Line{x + part, x, step} : Line{x, x + part, step};
}
template <class T> Line line(T* pairs, bool inverse = false) {
  return line<T>(reinterpret_cast<char*>(pairs), 2 * sizeof(T), sizeof(T), inverse);
}

// Signals, at most one for each lane, whose elements lie equally far apart.
template <class T> class Lanes {
  using V = simd::Vec<T>;
  static constexpr int kLanes = simd::kLanes<T>;
  using Numbers = std::make_integer_sequence<int, kLanes>;

 public:
  // The signals are lines(0), lines(1), ...
  template <class Lines> Lanes(Index width, const Lines& lines) : width_(width) {
    const Line first = lines(0);
    first_ = std::min(first.re, first.im);
    step_ = first.step;
    // Whether all are pairs that lie side by side.
    is_dense_ = width == kLanes && first.im && std::max(first.re, first.im) - first_ == Index{sizeof(T)};
    for (Index l = 0; l < width; ++l) {
      const Line x = lines(l);
      re_[l] = x.re;
      im_[l] = x.im;
      const Index apart = l * Index{2 * sizeof(T)};
      is_dense_ = is_dense_ && x.re == first.re + apart && x.im == first.im + apart;
    }
  }

  Complex<T> load(Index i) const {
    if (is_dense_) {
      const T* const x = reinterpret_cast<const T*>(first_ + i * step_);
      const V low = simd::load<V>(x), high = simd::load<V>(x + kLanes);
      const V even = parts<0>(low, high, Numbers{}), odd = parts<1>(low, high, Numbers{});
      return re_[0] == first_ ? Complex<T>{even, odd} : Complex<T>{odd, even};
    }
    T re[kLanes] = {}, im[kLanes] = {};
    for (Index l = 0; l < width_; ++l) {
      re[l] = *reinterpret_cast<const T*>(re_[l] + i * step_);
      if (im_[l]) im[l] = *reinterpret_cast<const T*>(im_[l] + i * step_);
    }
    return {simd::load<V>(re), simd::load<V>(im)};
  }

  void store(Index i, const Complex<T>& x) const {
    if (is_dense_) {
      T* const y = reinterpret_cast<T*>(first_ + i * step_);
      const bool turned = re_[0] != first_;
      const V even = turned ? x.im : x.re, odd = turned ? x.re : x.im;
      simd::store(y, pairs<0>(even, odd, Numbers{}));
      simd::store(y + kLanes, pairs<kLanes / 2>(even, odd, Numbers{}));
      return;
    }
    for (Index l = 0; l < width_; ++l) {
      *reinterpret_cast<T*>(re_[l] + i * step_) = x.re[l];
      *reinterpret_cast<T*>(im_[l] + i * step_) = x.im[l];
    }
  }

 private:
  template <int part, int... I> static V parts(V low, V high, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(low, high, (2 * I + part)...);
  }
  template <int from, int... I> static V pairs(V even, V odd, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(even, odd, (from + I / 2 + I % 2 * kLanes)...);
  }

  Index width_, step_;
  char *re_[kLanes], *im_[kLanes], *first_;
  bool is_dense_;
};

inline bool has_small_factors(Index n) {
  for (const int r : {2, 3, 5, 7, 11, 13})
    while (n % r == 0) n /= r;
  return n == 1;
}

// The largest divisor that is no larger than the root, for a transform that is split; else n.
inline Index columns_of(Index n) {
  if (n < kLong) return n;
  Index found = 1;
  for (Index d = 2; d * d <= n; ++d)
    if (n % d == 0) found = d;
  return found;
}

// Complex numbers of this thread, for the columns and for the rows of a transform.
template <class T> Complex<T>* room(Index n) {
  static thread_local Scratch<Complex<T>> scratch;
  scratch.keep(kLong * kFine);
  return scratch.take(n);
}

template <class T> class Transform {
  using V = simd::Vec<T>;
  static constexpr Index kLanes = simd::kLanes<T>;

 public:
  explicit Transform(Index n) : n_(n), columns_(has_small_factors(n) ? columns_of(n) : 1) {
    if (!has_small_factors(n)) {
      chirp_ = std::make_unique<Chirp>(n);
    } else if (columns_ == n) {
      first_ = std::make_unique<Stages<T>>(n);
    } else {
      const Index rows = n / columns_, coarse = (rows + kFine - 1) / kFine;
      first_ = std::make_unique<Stages<T>>(columns_);
      second_ = std::make_unique<Stages<T>>(rows);
      fine_ = std::make_unique<Roots<T>>(columns_ * kFine, n, [](Index i) { return i / kFine * (i % kFine); });
      coarse_ =
          std::make_unique<Roots<T>>(columns_ * coarse, n, [=](Index i) { return i / coarse * (i % coarse) * kFine; });
    }
  }

  // Transforms so many signals: lines(i) are where the i-th is read, and where its transform goes.
  template <class Lines> void run(Index signals, const Lines& lines) const {
    if (!chirp_ && !second_)
      return parallel_for((signals + kLanes - 1) / kLanes, work({signals, n_, kCost}), [&](Index first, Index last) {
        for (Index block = first; block < last; ++block) run_lanes(signals, block * kLanes, lines);
      });
    parallel_for(signals, work({signals, n_, kCost}), [&](Index first, Index last) {
      for (Index i = first; i < last; ++i) {
        const std::pair<Line, Line> each = lines(i);
        chirp_ ? chirp_->run(each.first, each.second) : split(each.first, each.second);
      }
    });
  }

 private:
  template <class Lines> void run_lanes(Index signals, Index first, const Lines& lines) const {
    const Index width = std::min(kLanes, signals - first);
    const Lanes<T> from(width, [&](Index l) { return lines(first + l).first; });
    const Lanes<T> to(width, [&](Index l) { return lines(first + l).second; });
    spend(n_ * kCost);
    Complex<T>* const x = room<T>(2 * n_);
    for (Index i = 0; i < n_; ++i) x[i] = from.load(i);
    const Complex<T>* const y = first_->run(x, x + n_);
    for (Index i = 0; i < n_; ++i) to.store(i, y[i]);
  }

  // Elements j, j + 1, ... of a line, below n, each with every n-th element after it.
  static Lanes<T> part_of(const Line& x, Index j, Index n) {
    return {std::min(kLanes, n - j), [&](Index l) {
              const Index at = (j + l) * x.step;
              return Line{x.re + at, x.im ? x.im + at : nullptr, n * x.step};
            }};
  }

  void split(const Line& from, const Line& to) const {
    const Index rows = n_ / columns_, coarse = (rows + kFine - 1) / kFine, padded = rows + kLanes;
    static thread_local Scratch<T> scratch;
    scratch.keep(kLong * kLong);
    T* const re = scratch.take(2 * padded * columns_ + 2 * kLanes);
    T* const im = re + padded * columns_ + kLanes;
    const auto blocks = [](Index n) { return (n + kLanes - 1) / kLanes; };
    parallel_for(blocks(rows), work({n_, kCost}), [&](Index begin, Index end) {
      Complex<T>* const x = room<T>(2 * columns_);
      for (Index j = begin * kLanes; j < std::min(rows, end * kLanes); j += kLanes) {
        const Lanes<T> lanes = part_of(from, j, rows);
        spend(columns_ * kCost * kLanes);
        for (Index i = 0; i < columns_; ++i) x[i] = lanes.load(i);
        Complex<T>* const y = first_->run(x, x + columns_);
        for (Index k = 0; k < columns_; ++k) {
          const std::size_t a = static_cast<std::size_t>(k * coarse + j / kFine);
          const std::size_t b = static_cast<std::size_t>(k * kFine + j % kFine);
          const Complex<T> fine{simd::load<V>(&fine_->re[b]), simd::load<V>(&fine_->im[b])};
          const Complex<T> twiddle = fine.times(coarse_->re[a], coarse_->im[a]);
          y[k] = y[k].times(twiddle.re, twiddle.im);
        }
        const T* const parts = reinterpret_cast<const T*>(y);
        transpose(parts, 2 * kLanes, columns_, kLanes, re + j * columns_, columns_);
        transpose(parts + kLanes, 2 * kLanes, columns_, kLanes, im + j * columns_, columns_);
      }
    });
    parallel_for(blocks(columns_), work({n_, kCost}), [&](Index begin, Index end) {
      Complex<T>* const x = room<T>(2 * rows);
      for (Index k = begin * kLanes; k < std::min(columns_, end * kLanes); k += kLanes) {
        const Lanes<T> lanes = part_of(to, k, columns_);
        spend(rows * kCost * kLanes);
        for (Index j = 0; j < rows; ++j)
          x[j] = {simd::load<V>(re + j * columns_ + k), simd::load<V>(im + j * columns_ + k)};
        const Complex<T>* const y = second_->run(x, x + rows);
        for (Index i = 0; i < rows; ++i) lanes.store(i, y[i]);
      }
    });
  }

  // y[k] = c[k] sum_j (x[j] c[j]) / c[k - j],   c[j] = exp(-pi i j^2 / n)
  struct Chirp {
    explicit Chirp(Index n)
        : n(n), m(power_of_two(2 * n - 1)), c(n, 2 * n, [n](Index j) { return j * j % (2 * n); }), transform(m) {
      std::vector<T> kernel(static_cast<std::size_t>(2 * m));
      for (Index j = 0; j < n; ++j)
        for (const Index i : {j, (m - j) % m}) {
          kernel[static_cast<std::size_t>(2 * i)] = c.re[static_cast<std::size_t>(j)];
          kernel[static_cast<std::size_t>(2 * i + 1)] = -c.im[static_cast<std::size_t>(j)];
        }
      spectrum.resize(kernel.size());
      transform.run(1, [&](Index) { return std::pair{line(kernel.data()), line(spectrum.data())}; });
    }

    static Index power_of_two(Index least) {
      Index m = 1;
      while (m < least) m *= 2;
      return m;
    }

    void run(const Line& from, const Line& to) const {
      std::vector<T> x(static_cast<std::size_t>(2 * m));
      const auto at = [](char* part, Index i, Index step) -> T& { return *reinterpret_cast<T*>(part + i * step); };
      const auto times = [](T* z, T re, T im) {
        const Number<T> product = Number<T>{z[0], z[1]}.times({re, im});
        z[0] = product.re;
        z[1] = product.im;
      };
      for (Index j = 0; j < n; ++j) {
        T* const z = &x[static_cast<std::size_t>(2 * j)];
        z[0] = at(from.re, j, from.step);
        z[1] = from.im ? at(from.im, j, from.step) : T(0);
        times(z, c.re[static_cast<std::size_t>(j)], c.im[static_cast<std::size_t>(j)]);
      }
      transform.run(1, [&](Index) { return std::pair{line(x.data()), line(x.data())}; });
      for (std::size_t j = 0; j < x.size(); j += 2) times(&x[j], spectrum[j], spectrum[j + 1]);
      transform.run(1, [&](Index) { return std::pair{line(x.data(), true), line(x.data(), true)}; });
      for (Index k = 0; k < n; ++k) {
        T* const z = &x[static_cast<std::size_t>(2 * k)];
        times(z, c.re[static_cast<std::size_t>(k)], c.im[static_cast<std::size_t>(k)]);
        at(to.re, k, to.step) = z[0] / static_cast<T>(m);
        at(to.im, k, to.step) = z[1] / static_cast<T>(m);
      }
    }

    Index n, m;
    Roots<T> c;
    Transform transform;
    std::vector<T> spectrum;
  };

  Index n_, columns_;
  std::unique_ptr<Stages<T>> first_, second_;
  std::unique_ptr<Roots<T>> fine_, coarse_;
  std::unique_ptr<Chirp> chirp_;
};

}  // namespace minimeta

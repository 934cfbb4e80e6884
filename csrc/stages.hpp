// Fourier transforms of a length with small factors, one in each lane of a vector.
//
//   y[k] = sum_j x[j] w_n^(j k),    w_n = exp(-2 pi i / n),    n = r_1 r_2 ... r_m
//
// A stage splits a transform of length r m into r of length m, for a factor r of 2, 3, 4, 5, 7, 11
// or 13 (Stockham's form: what a stage reads in steps it writes in order, so nothing is permuted):
//
//   y[r p + j] = w_n^(p j) sum_k x[p + k m] w_r^(j k)
//
// Every lane computes by itself, so no result shows how many there are.
#pragma once

#include <utility>
#include <vector>

#include "loop.hpp"
#include "trigonometric.hpp"

namespace minimeta {

// w_n^e for each exponent e >= 0. The angle is brought to at most pi / 4 while it is a fraction.
template <class T> class Roots {
 public:
  template <class Exponent> Roots(Index count, Index n, Exponent exponent) {
    struct Turn {
      bool below, left, steep;
    };
    const std::size_t size = static_cast<std::size_t>(count);
    std::vector<double> angles(size), sines(size), cosines(size);
    std::vector<Turn> turns;
    for (std::size_t i = 0; i < size; ++i) {
      Index e = 8 * (exponent(static_cast<Index>(i)) % n);  // in units of 2 pi / 8 n
      const bool below = e > 4 * n;
      if (below) e = 8 * n - e;
      const bool left = e > 2 * n;
      if (left) e = 4 * n - e;
      const bool steep = e > n;
      if (steep) e = 2 * n - e;
      turns.push_back({below, left, steep});
      angles[i] = 0.78539816339744830962 * static_cast<double>(e) / static_cast<double>(n);
    }
    map_row(angles.data(), sines.data(), count, functions::Sin{});
    map_row(angles.data(), cosines.data(), count, functions::Cos{});
    for (std::size_t i = 0; i < size; ++i) {
      if (turns[i].steep) std::swap(sines[i], cosines[i]);
      re.push_back(static_cast<T>(turns[i].left ? -cosines[i] : cosines[i]));
      im.push_back(static_cast<T>(turns[i].below ? sines[i] : -sines[i]));
    }
  }

  std::vector<T> re, im;
};

// A vector of complex numbers.
template <class T> struct Complex {
  using V = simd::Vec<T>;
  V re, im;
  Complex operator+(const Complex& y) const { return {re + y.re, im + y.im}; }
  Complex operator-(const Complex& y) const { return {re - y.re, im - y.im}; }
  Complex times(V c, V s) const { return {re * c - im * s, re * s + im * c}; }
  Complex times(T c, T s) const { return times(simd::broadcast<V>(c), simd::broadcast<V>(s)); }
};

// A complex number. Its products say how they round: GCC 12 joins the two sums of plain ones into one
// instruction of fused multiply-adds, even if it is told to contract nothing.
template <class T> struct Number {
  T re, im;
  Number times(const Number& y) const { return {simd::fma(re, y.re, -(im * y.im)), simd::fma(re, y.im, im * y.re)}; }
};

// b[j] = sum_k a[k] w_r^(j k). An odd r takes a[k] and a[r - k] together.
template <int r, class T>
MINIMETA_INLINE void butterfly(const Roots<T>& w, Index n, const Complex<T>* a, Complex<T>* b) {
  if constexpr (r == 2) {
    b[0] = a[0] + a[1];
    b[1] = a[0] - a[1];
  } else if constexpr (r == 4) {
    const Complex<T> s = a[0] + a[2], d = a[0] - a[2], t = a[1] + a[3], e = a[1] - a[3];
    b[0] = s + t;
    b[1] = {d.re + e.im, d.im - e.re};
    b[2] = s - t;
    b[3] = {d.re - e.im, d.im + e.re};
  } else {
    constexpr int half = r / 2;
    Complex<T> sum[half], difference[half];
    b[0] = a[0];
  MINIMETA_UNROLL
    for (int k = 0; k < half; ++k) {
      sum[k] = a[k + 1] + a[r - 1 - k];
      difference[k] = a[k + 1] - a[r - 1 - k];
      b[0] = b[0] + sum[k];
    }
    MINIMETA_UNROLL
    for (int j = 1; j <= half; ++j) {
      Complex<T> c = a[0], s{};
      MINIMETA_UNROLL
      for (int k = 0; k < half; ++k) {
        const std::size_t root = static_cast<std::size_t>(j * (k + 1) % r * (n / r));
        const auto cosine = simd::broadcast<simd::Vec<T>>(w.re[root]), sine = simd::broadcast<simd::Vec<T>>(w.im[root]);
        c = {simd::fma(cosine, sum[k].re, c.re), simd::fma(cosine, sum[k].im, c.im)};
        s = {simd::fma(sine, difference[k].re, s.re), simd::fma(sine, difference[k].im, s.im)};
      }
      b[j] = {c.re - s.im, c.im + s.re};
      b[r - j] = {c.re + s.im, c.im - s.re};
    }
  }
}

// Transforms of a length that has small factors alone, in lanes.
template <class T> class Stages {
 public:
  explicit Stages(Index n) : n_(n), roots_(n, n, [](Index i) { return i; }) {
    for (const int r : {4, 2, 3, 5, 7, 11, 13})
      for (; n % r == 0; n /= r) factors_.push_back(r);
  }

  Index length() const { return n_; }

  // Transforms x by means of y, of the same length, and returns that of them where the result is.
  Complex<T>* run(Complex<T>* x, Complex<T>* y) const {
    Index stride = 1;
    for (const int r : factors_) {
      switch (r) {
        case 2: stage<2>(stride, x, y); break;
        case 3: stage<3>(stride, x, y); break;
        case 4: stage<4>(stride, x, y); break;
        case 5: stage<5>(stride, x, y); break;
        case 7: stage<7>(stride, x, y); break;
        case 11: stage<11>(stride, x, y); break;
        default: stage<13>(stride, x, y);
      }
      stride *= r;
      std::swap(x, y);
    }
    return x;
  }

 private:
  template <int r> void stage(Index stride, const Complex<T>* x, Complex<T>* y) const {
    const Index m = n_ / stride / r;
    for (Index p = 0; p < m; ++p)
      for (Index q = 0; q < stride; ++q) {
        Complex<T> a[r], b[r];
        MINIMETA_UNROLL
        for (int k = 0; k < r; ++k) a[k] = x[q + stride * (p + k * m)];
        butterfly<r>(roots_, n_, a, b);
        Complex<T>* const to = y + q + stride * r * p;
        to[0] = b[0];
        MINIMETA_UNROLL
        for (int j = 1; j < r; ++j) {
          const std::size_t root = static_cast<std::size_t>(p * j * stride);
          to[j * stride] = b[j].times(roots_.re[root], roots_.im[root]);
        }
      }
  }

  Index n_;
  Roots<T> roots_;
  std::vector<int> factors_;
};

}  // namespace minimeta

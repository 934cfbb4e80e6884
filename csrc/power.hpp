// Powers x^y, whose exponents are mostly a few halves: 3, -2, 1.5, 12.
//
// For y = k / 2 with |k| <= 128 the power is a product of squares, times a root if k is odd,
//
//   x^13 = x^8 x^4 x        x^2.5 = x^2 sqrt(x)        x^-3 = 1 / x^3 .
//
// Each factor is a number and what it lacks (Extended, transcendental.hpp), so that the product is
// rounded once. Where one of the two is lost, and for other exponents, the C library's pow computes it.
#pragma once

#include <cmath>
#include <limits>

#include "transcendental.hpp"

namespace minimeta::functions {

constexpr int kMostHalves = 128;

template <class T> bool has_halves(T y) {
  const T halves = 2 * y;
  return std::fabs(halves) <= kMostHalves && halves == std::floor(halves);
}

template <class V> Extended<V> times(Extended<V> x, Extended<V> y) {
  const V high = x.high * y.high;
  return {high, fma(x.high, y.high, -high) + (x.high * y.tail + x.tail * y.high)};
}

template <class V> Extended<V> root(V x) {
  V high = x;
  for (int i = 0; i < simd::kLanesOf<V>; ++i) high[i] = std::sqrt(x[i]);
  return {high, fma(-high, high, x) / (2 * high)};
}

// x^y of vectors, for one exponent that has halves.
template <class T> struct HalvesPower {
  T exponent;
  template <class V> V operator()(V x) const {
    const int halves = std::abs(static_cast<int>(2 * exponent));
    Extended<V> power{all<V>(1), all<V>(0)}, square{x, all<V>(0)};
    bool is_one = true;
    const auto multiply = [&](Extended<V> y) {
      power = is_one ? y : times(power, y);
      is_one = false;
    };
    if (halves % 2 == 1) multiply(root(x));
    for (int rest = halves / 2; rest > 0; rest /= 2) {
      if (rest % 2 == 1) multiply(square);
      if (rest > 1) square = times(square, square);
    }
    V result = power.high + power.tail;
    if (exponent < 0) {
      const V first = 1 / power.high;
      result = fma(fma(-first, power.high, all<V>(1)) - first * power.tail, first, first);
    }
    constexpr T least = std::numeric_limits<T>::min(), most = std::numeric_limits<T>::max();
    const auto is_exact = (absolute(power.high) >= least / std::numeric_limits<T>::epsilon()) &
                          (absolute(result) >= least) & (absolute(power.high) <= most) & (absolute(result) <= most);
    if (__builtin_expect(simd::any(!is_exact), 0)) {
      const auto exact = is_exact ? all<V>(1) : all<V>(0);
      for (int i = 0; i < simd::kLanesOf<V>; ++i)
        if (exact[i] == 0) result[i] = std::pow(x[i], exponent);
    }
    return result;
  }
};

// The same of any two numbers.
template <class T> T power(T x, T y) {
  if (!has_halves(y)) return std::pow(x, y);
  return HalvesPower<T>{y}(all<simd::Vec<T>>(x))[0];
}

}  // namespace minimeta::functions

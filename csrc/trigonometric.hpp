// Sine, cosine and tangent, on vectors: see transcendental.hpp for their accuracy.
//
//   |x| = q pi/2 + r, q an integer, |r| <= pi/4;   sin and cos of r are polynomials in r^2, and q mod 4 says which of
//   them, with which sign, is the sine or cosine of |x|. Sine and tangent are odd, cosine is even.
//
// Near a multiple of pi/2 all of x cancels, so r takes more than the digits of x. For |x| < 2^30
// pi/2 is a sum of three doubles (Cody and Waite, 1980): |x| - q p_0 is exact, and what the
// subtraction of q p_1 loses is kept as a `tail`. A float is computed in double, where two parts
// are enough and nothing is lost, and is rounded once at the end.
//
// For larger |x| = m 2^e, m of 53 bits, the bits of 2/pi above 2^(2-e) would only add multiples of
// 4 to q. The product of m with the next 192 bits has q mod 4 as its first two bits and the
// fraction after them, of which a double can cancel at most 61 (Payne and Hanek, 1983). This takes
// one lane at a time.
#pragma once

#include "transcendental.hpp"

namespace minimeta::functions {

constexpr double kLarge = 0x1p30;

// An angle up to a multiple of 2 pi: (quadrant mod 4) pi/2 + high + tail.
struct LargeAngle {
  std::uint64_t quadrant;
  double high, tail;
};

// x >= kLarge.
inline LargeAngle reduce_large(double x) {
  __extension__ using Wide = unsigned __int128;
  __extension__ using Signed = __int128;
  if (x == kInfinity<double>) return {0, kNaN<double>, 0};
  std::uint64_t word;
  std::memcpy(&word, &x, sizeof(word));
  constexpr std::uint64_t leading = std::uint64_t(1) << kFraction<double>;
  const std::uint64_t m = (word & (leading - 1)) | leading;
  const int exponent = static_cast<int>(word >> kFraction<double>) - kBias<double> - kFraction<double>;
  const int first = 64 + exponent - 2;  // the bit of the table where the window begins; a word of zeros is before 2/pi
  const auto window = [first](int i) {
    const std::uint64_t* const from = two_over_pi + first / 64 + i;
    const int shift = first % 64;
    return shift == 0 ? from[0] : from[0] << shift | from[1] >> (64 - shift);
  };
  const Wide low = Wide(m) * window(2), middle = Wide(m) * window(1) + (low >> 64);
  const std::uint64_t top = m * window(0) + std::uint64_t(middle >> 64);
  const std::uint64_t quadrant = (top + (std::uint64_t(1) << 61)) >> 62;
  const Signed fraction = Signed(Wide(top - (quadrant << 62)) << 64 | std::uint64_t(middle));  // in units of 2^-126
  const double f = static_cast<double>(fraction), f_tail = static_cast<double>(fraction - static_cast<Signed>(f));
  const double turn = f * half_pi[0];
  const double turn_tail = simd::fma(f, half_pi[0], -turn) + simd::fma(f, half_pi[1], f_tail * half_pi[0]);
  const double high = turn + turn_tail;
  return {quadrant, high * 0x1p-126, ((turn - high) + turn_tail) * 0x1p-126};
}

// |x| in every lane, to the digits that T needs.
template <class T, class V> struct Angle {
  Bits<V> quadrant;
  Extended<V> r;

  explicit Angle(V x) {
    const V a = absolute(x);
    const V rounded = fma(a, all<V>(two_over_pi_rounded), all<V>(kRounding<double>)), q = rounded - kRounding<double>;
    quadrant = simd::bits<Bits<V>>(rounded);
    const V first = fma(q, all<V>(-half_pi[0]), a);  // exact
    if constexpr (std::is_same_v<T, float>) {
      r = {fma(q, all<V>(-half_pi[1]), first), all<V>(0)};
    } else {
      const V product = q * half_pi[1], product_tail = fma(q, all<V>(half_pi[1]), -product);
      const V difference = first - product, subtracted = first - difference;
      const V lost = (first - (difference + subtracted)) + (subtracted - product);
      r = {difference, lost - fma(q, all<V>(half_pi[2]), product_tail)};
    }
    if (simd::any(a >= kLarge)) reduce_large_lanes(a);
  }

 private:
  __attribute__((noinline)) void reduce_large_lanes(V a) {
    for (int i = 0; i < simd::kLanesOf<V>; ++i) {
      if (!(a[i] >= kLarge)) continue;
      const LargeAngle angle = reduce_large(a[i]);
      quadrant[i] = angle.quadrant;
      r.high[i] = angle.high;
      r.tail[i] = angle.tail;
    }
  }
};

// The sine and the cosine of |x|; what rounding took from them is in the tails.
template <class T, class V> struct Turn {
  Extended<V> sine, cosine;

  explicit Turn(V x) {
    using C = Coefficients<T>;
    const Angle<T, V> angle(x);
    const V r = angle.r.high, square = r * r;
    const V sine_terms = r * square * polynomial(square, C::sin), cosine_terms = square * polynomial(square, C::cos);
    Extended<V> s, c;
    if constexpr (std::is_same_v<T, float>) {  // in double, nothing is lost that a float could show
      s = {r + sine_terms, all<V>(0)};
      c = {fma(square, cosine_terms - 0.5, all<V>(1)), all<V>(0)};
    } else {
      const V half = 0.5 * square, near_one = 1 - half;
      const V to_cosine = fma(square, cosine_terms, ((1 - near_one) - half) - r * angle.r.tail);
      c.high = near_one + to_cosine;
      c.tail = (near_one - c.high) + to_cosine;
      const V to_sine = fma(c.high, angle.r.tail, sine_terms);
      s.high = r + to_sine;
      s.tail = (r - s.high) + to_sine;
    }
    const auto odd = (angle.quadrant & 1) != 0;
    const Bits<V> sine_sign = (angle.quadrant << 62) & sign_bit<V>();
    const Bits<V> cosine_sign = ((angle.quadrant + 1) << 62) & sign_bit<V>();
    sine = {flip(sine_sign, odd ? c.high : s.high), flip(sine_sign, odd ? c.tail : s.tail)};
    cosine = {flip(cosine_sign, odd ? s.high : c.high), flip(cosine_sign, odd ? s.tail : c.tail)};
  }

  static V flip(Bits<V> sign, V x) { return simd::bits<V>(simd::bits<Bits<V>>(x) ^ sign); }
};

// go(turn, x), in double for either type; x gives its sign to what is odd.
template <class V, class Go> V with_turn(V x, Go go) {
  if constexpr (std::is_same_v<Element<V>, float>)
    return simd::in_double(x, [go](auto wide) { return go(Turn<float, decltype(wide)>(wide), wide); });
  else
    return go(Turn<double, V>(x), x);
}

template <class V> V times_sign_of(V x, V value) {
  return simd::bits<V>(simd::bits<Bits<V>>(value) ^ (simd::bits<Bits<V>>(x) & sign_bit<V>()));
}

struct Sin {
  template <class V> V operator()(V x) const {
    return with_turn(x, [](const auto& turn, auto wide) { return times_sign_of(wide, turn.sine.high); });
  }
};

struct Cos {
  template <class V> V operator()(V x) const {
    return with_turn(x, [](const auto& turn, auto) { return turn.cosine.high; });
  }
};

struct Tan {
  template <class V> V operator()(V x) const {
    return with_turn(x,
                     [](const auto& turn, auto wide) { return times_sign_of(wide, quotient(turn.sine, turn.cosine)); });
  }
};

}  // namespace minimeta::functions

// The exponential, the logarithm and related functions, on vectors.
//
// Each is written once, for a vector V of any width of float or double, and acts on each lane by
// itself: a result does not depend on the width, on the lane, or on any library. The argument is
// reduced to a small interval, where a polynomial approximates the function (fit_coefficients.py).
// Rounding errors that the next step would magnify are carried along. So a result is within 1.2
// units in the last place in both types, for subnormal numbers, too.
//
// A long chain of operations may be two, `first` and `second`, each of which runs for a few vectors
// before the other. The processor looks some 200 operations ahead: of short chains it sees more, and
// does more of them at the same time.
//
//   exp       x = n log 2 + r, n an integer, |r| <= log(2) / 2:   e^x = 2^n (1 + r + r^2 P(r))
//   expm1     2^n (1 + r + r^2 P(r)) - 1, where 2^n - 1 + 2^n r is summed without error
//   log       x = 2^n (1 + f), 1 + f between sqrt(1/2) and sqrt(2), s = f / (2 + f):
//               log x = n log 2 + log(1 + f),   log(1 + f) = 2 atanh s = f - (f^2/2 - s (f^2/2 + s^2 P(s^2)))
//   log1p     u + c = 1 + x without error, u the nearest number:   log u + c / u
//   tanh      x + x^3 P(x^2) for |x| < 1, since 1 - 2 / (e^2x + 1) cancels there; odd, so |x| is enough
//   erf       x + x P(x^2) for |x| < 1, and 1 - e^Q(|x| - 1) beyond, where Q is the logarithm of 1 - erf; odd
//   sigmoid   e = e^-|x|, never of a large number:   1 / (1 + e) for x >= 0, e / (1 + e) below
//   slopes    sigmoid' = e / (1 + e)^2;   tanh' x = 4 sigmoid' 2x
//   softplus  log(1 + e^x) = max(x, 0) + log1p(e^-|x|)
//   logaddexp log(e^x + e^y) = max(x, y) + log1p(e^-|x - y|)
#pragma once

#include <limits>
#include <type_traits>

#include "coefficients.hpp"
#include "simd.hpp"

namespace minimeta::functions {

using simd::Bits, simd::Element, simd::fma;

// The format of a number: sign, exponent + kBias, and kFraction bits after the leading one.
template <class E> constexpr int kFraction = std::numeric_limits<E>::digits - 1;
template <class E> constexpr int kBias = std::numeric_limits<E>::max_exponent - 1;
template <class E> constexpr E kInfinity = std::numeric_limits<E>::infinity();
template <class E> constexpr E kNaN = std::numeric_limits<E>::quiet_NaN();

template <class V> V all(Element<V> value) { return simd::broadcast<V>(value); }

template <class V> Bits<V> sign_bit() {
  using Word = Element<Bits<V>>;
  return simd::broadcast<Bits<V>>(Word(Word(1) << (8 * sizeof(Word) - 1)));
}
template <class V> V absolute(V x) { return simd::bits<V>(simd::bits<Bits<V>>(x) & ~sign_bit<V>()); }
template <class V> V with_sign_of(V x, V magnitude) {
  return simd::bits<V>(simd::bits<Bits<V>>(magnitude) | (simd::bits<Bits<V>>(x) & sign_bit<V>()));
}

// The sum of terms[i] t^i.
template <class V, std::size_t N> V polynomial(V t, const Element<V> (&terms)[N]) {
  V sum = all<V>(terms[N - 1]);
  MINIMETA_UNROLL for (std::size_t i = 2; i <= N; ++i) sum = fma(sum, t, all<V>(terms[N - i]));
  return sum;
}

// Adding 1.5 * 2^kFraction rounds to an integer, which is then the bits of the sum minus
// kRoundingBits.
template <class E> constexpr E kRounding = E(std::uint64_t(3) << (kFraction<E> - 1));
template <class E>
constexpr std::uint64_t kRoundingBits = (std::uint64_t(2 * (kBias<E> + kFraction<E>) + 1) << (kFraction<E> - 1));

template <class V> Bits<V> integer(V rounded, int plus) {
  using Word = Element<Bits<V>>;
  return simd::bits<Bits<V>>(rounded) - Word(kRoundingBits<Element<V>> - std::uint64_t(std::int64_t(plus)));
}
template <class V> V power_of_two(Bits<V> biased_exponent) {
  return simd::bits<V>(biased_exponent << kFraction<Element<V>>);
}

// high + tail: a number with more digits than its type holds.
template <class V> struct Extended {
  V high, tail;
};

// e^x = 2^n (1 + r.high + r.tail); `rounded` is n + kRounding.
template <class V> struct Exponential {
  V rounded;
  Extended<V> r;

  explicit Exponential(V x) {
    using C = Coefficients<Element<V>>;
    rounded = fma(x, all<V>(C::log2_e), all<V>(kRounding<Element<V>>));
    const V n = rounded - kRounding<Element<V>>;
    const V low = n * -C::log_2_low;
    r.high = fma(n, all<V>(-C::log_2_high), x);  // exact
    const V nearest = r.high + low;
    r.tail = fma(nearest * nearest, polynomial(nearest, C::exp), low);
  }
};

// Scales e^x / 2^n to e^x with one rounding. Without an instruction for it, this takes two factors,
// because 2^n alone may not be a normal number.
template <class V> struct Scale {
  V rounded;
  V operator()(V x) const {
    if constexpr (simd::kScales<V>) {
      return simd::scale(x, rounded - kRounding<Element<V>>);
    } else {
      const Bits<V> exponent = integer(rounded, 2 * kBias<Element<V>>), half = exponent >> 1;
      return x * power_of_two<V>(half) * power_of_two<V>(exponent - half);
    }
  }
};

// The same if 2^n is a normal number.
template <class V> struct NormalScale {
  V rounded;
  V operator()(V x) const { return x * power_of_two<V>(integer(rounded, kBias<Element<V>>)); }
};

// Calls go(e^x / 2^n as an Extended, the scale by 2^n). The caller has clamped x to where n fits.
template <template <class> class Scaling = Scale, class V, class Go> auto with_exp(V x, Go go) {
  const Exponential<V> e(x);
  const V one = 1 + e.r.high, rest = ((1 - one) + e.r.high) + e.r.tail, sum = one + rest;
  return go(Extended<V>{sum, (one - sum) + rest}, Scaling<V>{e.rounded});
}

// far<F> computes F for any argument. The near way is faster, and gives the same bits if the
// exponential is a normal number. A vector takes the far way if one of its lanes needs it.
template <class E> constexpr E kNear = (kBias<E> - 2) * E(0.693);

template <class F, class V> __attribute__((noinline, cold)) V far(V x) { return F{}.template any<Scale>(x); }

template <class F, class V> MINIMETA_INLINE V near_or_far(V x) {
  if constexpr (simd::kScales<V>) {
    return F{}.template any<Scale>(x);
  } else {
    const V near = F{}.template any<NormalScale>(x);
    const auto is_near = absolute(x) <= kNear<Element<V>>;
    return __builtin_expect(simd::any(!is_near), 0) ? (is_near ? near : far<F>(x)) : near;
  }
}

template <class V> V not_too_large(V x) {
  using C = Coefficients<Element<V>>;
  return x > C::exp_infinite ? all<V>(C::exp_infinite) : x;
}
template <class V> V not_too_small(V x) {
  using C = Coefficients<Element<V>>;
  return x < C::exp_zero ? all<V>(C::exp_zero) : x;
}

template <template <class> class Scaling, class V> V exp_between(V x) {
  return with_exp<Scaling>(x, [](Extended<V> e, Scaling<V> scaled) { return scaled(e.high); });
}

struct Exp {
  template <class V> V operator()(V x) const { return near_or_far<Exp>(x); }
  template <template <class> class Scaling, class V> MINIMETA_INLINE V any(V x) const {
    return exp_between<Scaling>(not_too_small(not_too_large(x)));
  }
};

// e^-|x|, from which several functions continue.
template <template <class> class Scaling, class V> MINIMETA_INLINE Extended<V> exp_of_minus(V x) {
  return with_exp<Scaling>(not_too_small(-absolute(x)), [](Extended<V> e, Scaling<V> scaled) {
    return Extended<V>{scaled(e.high), scaled(e.tail)};
  });
}
template <class V> __attribute__((noinline, cold)) Extended<V> far_exp_of_minus(V x) { return exp_of_minus<Scale>(x); }

template <class V> MINIMETA_INLINE Extended<V> exp_of_minus(V x) {
  if constexpr (simd::kScales<V>) {
    return exp_of_minus<Scale>(x);
  } else {
    const Extended<V> near = exp_of_minus<NormalScale>(x);
    const auto is_near = absolute(x) <= kNear<Element<V>>;
    if (!__builtin_expect(simd::any(!is_near), 0)) return near;
    const Extended<V> far = far_exp_of_minus(x);
    return {is_near ? near.high : far.high, is_near ? near.tail : far.tail};
  }
}

struct Expm1 {
  template <class V> V operator()(V x) const {
    using E = Element<V>;
    using C = Coefficients<E>;
    V y = x > C::exp_infinite ? all<V>(C::exp_infinite) : x;
    y = y < C::expm1_minus_one ? all<V>(C::expm1_minus_one) : y;
    const Exponential<V> e(y);
    // Compute half of everything, because 2^n may overflow where the result does not.
    const V scale = power_of_two<V>(integer(e.rounded, kBias<E> - 1));
    const V whole = scale - E(0.5), lost = (scale - whole) - E(0.5);
    const V part = scale * e.r.high, sum = whole + part;
    const V tail = ((whole - sum) + part) + fma(scale, e.r.tail, lost);
    return absolute(x) < std::numeric_limits<E>::epsilon() / 4 ? x : 2 * (sum + tail);
  }
};

// log(u 2^offset) + correction, for normal u > 0.
template <class V> MINIMETA_INLINE Extended<V> logarithm(V u, V correction, V offset) {
  using E = Element<V>;
  using Word = Element<Bits<V>>;
  using C = Coefficients<E>;
  constexpr Word one = Word(kBias<E>) << kFraction<E>;
  const Bits<V> word = simd::bits<Bits<V>>(u);
  const Bits<V> exponent = (word + (one - C::root_half_bits)) >> kFraction<E>;  // biased; it changes at sqrt(1/2)
  const V significand = simd::bits<V>(word - ((exponent - Word(kBias<E>)) << kFraction<E>));
  const V n = (simd::bits<V>(exponent + Word(kRoundingBits<E>)) - (kRounding<E> + kBias<E>)) + offset;
  const V f = significand - 1, s = f / (2 + f), square = s * s, half = E(0.5) * f * f;
  const V rest = half - s * (half + square * polynomial(square, C::log));
  const V whole = n * C::log_2_high, high = whole + f;  // the product is exact
  return {high, ((whole - high) + f) + (fma(n, all<V>(C::log_2_low), correction) - rest)};
}

struct Log {
  template <class V> V operator()(V x) const {
    using E = Element<V>;
    const auto subnormal = x < std::numeric_limits<E>::min();
    const V scaled = subnormal ? x * E(std::uint64_t(2) << kFraction<E>) : x;
    const Extended<V> log = logarithm(scaled, all<V>(0), subnormal ? all<V>(-kFraction<E> - 1) : all<V>(0));
    const V special = x == 0 ? all<V>(-kInfinity<E>) : x < 0 ? all<V>(kNaN<E>) : x;
    return ((x > 0) & (x < kInfinity<E>)) ? log.high + log.tail : special;
  }
};

struct Log1p {
  template <class V> V operator()(V x) const {
    using E = Element<V>;
    const V u = 1 + x, added = u - 1;
    const V lost = (x - added) + (1 - (u - added));
    const Extended<V> log = logarithm(u, lost / u, all<V>(0));
    const V special = x == -1 ? all<V>(-kInfinity<E>) : x < -1 ? all<V>(kNaN<E>) : x;
    const V value = with_sign_of(x, absolute(log.high + log.tail));  // of -0, too
    return ((x > -1) & (x < kInfinity<E>)) ? value : special;
  }
};

struct Tanh {
  template <class V> V operator()(V x) const {
    const V a = absolute(x), square = a * a;
    const V near = fma(a * square, polynomial(square, Coefficients<Element<V>>::tanh), a);
    // From here on the result is 1.
    constexpr Element<V> one = sizeof(Element<V>) == 4 ? 10 : 20;
    const V far = 1 - 2 / (exp_between<NormalScale>(a > one ? all<V>(2 * one) : 2 * a) + 1);
    return with_sign_of(x, a < 1 ? near : far);
  }
};

struct Erf {
  template <class V> V operator()(V x) const {
    using C = Coefficients<Element<V>>;
    const V a = absolute(x), near = fma(a, polynomial(a * a, C::erf), a);
    // From here on the result is 1.
    constexpr Element<V> one = sizeof(Element<V>) == 4 ? 4 : 6;
    const V beyond = (a > one ? all<V>(one) : a) - 1;
    const V far = 1 - exp_between<NormalScale>(polynomial(beyond, C::log_erfc));
    return with_sign_of(x, a < 1 ? near : far);
  }
};

// A quotient: a first attempt, and the quotient of its remainder.
template <class V> V quotient(Extended<V> numerator, Extended<V> divisor) {
  const V inverse = 1 / divisor.high, first = numerator.high * inverse;
  const V left = fma(-first, divisor.high, numerator.high) + fma(-first, divisor.tail, numerator.tail);
  return fma(left, inverse, first);
}

struct Sigmoid {
  template <class V> V operator()(V x) const { return second(x, first(x)); }
  template <class V> MINIMETA_INLINE static Extended<V> first(V x) { return exp_of_minus(x); }
  template <class V> MINIMETA_INLINE static V second(V x, Extended<V> e) {
    const Extended<V> numerator = {x < 0 ? e.high : all<V>(1), x < 0 ? e.tail : all<V>(0)};
    const V sum = 1 + e.high, lost = (e.high - (sum - 1)) + e.tail;
    return quotient(numerator, {sum, lost});
  }
};

// e / (1 + e)^2 with e = e^-|x|: the derivative of sigmoid, within a few units in the last place.
// Computed from the result y, y (1 - y) would keep few digits where y is nearly 1. The exponential
// loses little compared with 1 + e and its square, so a bare polynomial with a shifted exponent is
// enough.
struct SigmoidSlope {
  template <class V> V operator()(V x) const { return near_or_far<SigmoidSlope>(x); }
  template <template <class> class Scaling, class V> V any(V x) const {
    using C = Coefficients<Element<V>>;
    V minus = simd::bits<V>(simd::bits<Bits<V>>(x) | sign_bit<V>());
    if constexpr (std::is_same_v<Scaling<V>, Scale<V>>) minus = not_too_small(minus);
    const V rounded = fma(minus, all<V>(C::log2_e), all<V>(kRounding<Element<V>>)), n = rounded - kRounding<Element<V>>;
    const V r = fma(n, all<V>(-C::log_2_low), fma(n, all<V>(-C::log_2_high), minus));
    const V e = Scaling<V>{rounded}(fma(fma(polynomial(r, C::exp), r, all<V>(1)), r, all<V>(1))), sum = 1 + e;
    return e / (sum * sum);
  }
};
struct TanhSlope {
  template <class V> V operator()(V x) const { return 4 * SigmoidSlope{}(2 * x); }
};

// larger + log(1 + e^-|x|)
template <class V> MINIMETA_INLINE V plus_log1p_of_decay(V larger, V x) {
  const Extended<V> e = exp_of_minus(x);
  const V u = 1 + e.high, lost = (e.high - (u - 1)) + e.tail;
  const Extended<V> log = logarithm(u, lost / u, all<V>(0));
  const V sum = larger + log.high, added = sum - larger;
  const V tail = ((larger - (sum - added)) + (log.high - added)) + log.tail;
  return sum + tail;
}

struct Softplus {
  template <class V> V operator()(V x) const {
    const V value = plus_log1p_of_decay(x > 0 ? x : all<V>(0), x);
    return x == kInfinity<Element<V>> ? x : value;
  }
};

struct LogAddExp {
  template <class V> V operator()(V x, V y) const {
    const V larger = x > y ? x : y, difference = x == y ? all<V>(0) : x - y;
    const V value = plus_log1p_of_decay(larger, difference);
    // A difference that is no number comes of a NaN.
    return (absolute(larger) == kInfinity<Element<V>>) & (difference == difference) ? larger : value;
  }
};

}  // namespace minimeta::functions

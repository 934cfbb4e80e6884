// The simple functions: what an elementwise operation does to one element.
//
// Each is a pure function of its operands, so a result cannot depend on where its element sits or
// on how the compiler vectorised a loop. NaN goes in, NaN comes out. Transcendental functions
// are written for vectors, in transcendental.hpp, trigonometric.hpp and power.hpp.
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <type_traits>

namespace minimeta::functions {

struct Negative {
  template <class T> T operator()(T x) const { return -x; }
};
struct Sqrt {
  template <class T> T operator()(T x) const { return std::sqrt(x); }
};
struct Square {
  template <class T> T operator()(T x) const { return x * x; }
};
struct Reciprocal {
  template <class T> T operator()(T x) const { return T(1) / x; }
};
struct Absolute {
  template <class T> T operator()(T x) const { return std::fabs(x); }
};

// F of whole numbers, which wrap around: the low bits of the result in 64 bits.
template <class F> struct Wrapped {
  template <class T, class... Rest> auto operator()(T x, Rest... rest) const
      -> decltype(F{}(std::uint64_t{}, std::uint64_t(rest)...), T{}) {
    return static_cast<T>(F{}(static_cast<std::uint64_t>(x), static_cast<std::uint64_t>(rest)...));
  }
};
struct WholeAbsolute {
  template <class T> T operator()(T x) const { return x < 0 ? Wrapped<Negative>{}(x) : x; }
};

struct Sign {
  template <class T> T operator()(T x) const { return x > 0 ? T(1) : x < 0 ? T(-1) : x == 0 ? T(0) : x; }
};

struct Relu {  // not x > 0 ? x : 0, which would turn NaN into 0
  template <class T> T operator()(T x) const { return x <= 0 ? T(0) : x; }
};

struct Add {
  template <class T> T operator()(T x, T y) const { return x + y; }
};
struct Subtract {
  template <class T> T operator()(T x, T y) const { return x - y; }
};
struct Multiply {
  template <class T> T operator()(T x, T y) const { return x * y; }
};
struct Divide {
  template <class T> T operator()(T x, T y) const { return x / y; }
};

// The neighbours among whole numbers.
struct Floor {
  template <class T> T operator()(T x) const { return std::floor(x); }
};
struct Ceil {
  template <class T> T operator()(T x) const { return std::ceil(x); }
};
struct Trunc {
  template <class T> T operator()(T x) const { return std::trunc(x); }
};
struct Rint {
  template <class T> T operator()(T x) const { return std::nearbyint(x); }
};

struct WholePower {
  template <class T> T operator()(T x, T y) const {
    if (y < 0)
      throw std::invalid_argument("power: integers to negative integer powers are no integers; convert with astype");
    std::uint64_t power = 1, square = static_cast<std::uint64_t>(x);
    for (std::uint64_t rest = static_cast<std::uint64_t>(y); rest > 0; rest >>= 1, square *= square)
      if (rest & 1) power *= square;
    return static_cast<T>(power);
  }
};

// x - y floor(x / y), which has the sign of y, and floor(x / y), each as numpy rounds it.
struct Remainder {
  template <class T> T operator()(T x, T y) const {
    if constexpr (std::is_integral_v<T>) {
      if (y == 0 || y == static_cast<T>(-1)) return std::is_signed_v<T> || y == 0 ? T(0) : static_cast<T>(x % y);
      const T rest = static_cast<T>(x % y);
      return rest != 0 && (rest < 0) != (y < 0) ? static_cast<T>(rest + y) : rest;
    } else {
      const T rest = std::fmod(x, y);
      if (y == 0) return rest;
      if (rest == 0) return std::copysign(T(0), y);
      return (rest < 0) != (y < 0) ? rest + y : rest;
    }
  }
};
struct FloorDivide {
  template <class T> T operator()(T x, T y) const {
    if constexpr (std::is_integral_v<T>) {
      if (y == 0) return 0;
      if (std::is_signed_v<T> && y == static_cast<T>(-1)) return Wrapped<Negative>{}(x);
      return static_cast<T>(x / y - (x % y != 0 && (x < 0) != (y < 0)));
    } else {
      if (y == 0) return x / y;
      const T rest = std::fmod(x, y);
      T quotient = (x - rest) / y;  // a whole number, before rounding
      if (rest != 0 && (rest < 0) != (y < 0)) quotient -= 1;
      if (quotient == 0) return std::copysign(T(0), x / y);
      const T whole = std::floor(quotient);
      return quotient - whole > T(0.5) ? whole + 1 : whole;
    }
  }
};

// The derivative of relu times g. The result of relu serves as well as its argument.
struct ReluSlope {
  template <class T> T operator()(T x, T g) const { return x > 0 ? g : T(0); }
};

// x != x: a NaN on the left wins; one on the right does because the comparison is false. For
// vectors, too: | is not ||.
struct Maximum {
  template <class T> T operator()(T x, T y) const { return ((x >= y) | (x != x)) ? x : y; }
};
struct Minimum {
  template <class T> T operator()(T x, T y) const { return ((x <= y) | (x != x)) ? x : y; }
};
struct Clip {
  template <class T> T operator()(T x, T low, T high) const { return Minimum{}(Maximum{}(x, low), high); }
};

// A boolean is a byte, and any byte except 0 is true. numpy writes 0 and 1, but a view of other
// memory may hold other bytes.
struct Truth {
  std::uint8_t byte;
  friend bool operator==(Truth x, Truth y) { return !x.byte == !y.byte; }
  friend bool operator<(Truth x, Truth y) { return !x.byte > !y.byte; }
  friend bool operator<=(Truth x, Truth y) { return !x.byte >= !y.byte; }
};

struct Equal {
  template <class T> bool operator()(T x, T y) const { return x == y; }
};
struct NotEqual {
  template <class T> bool operator()(T x, T y) const { return !(x == y); }
};
struct Less {
  template <class T> bool operator()(T x, T y) const { return x < y; }
};
struct LessEqual {
  template <class T> bool operator()(T x, T y) const { return x <= y; }
};
struct Greater {
  template <class T> bool operator()(T x, T y) const { return y < x; }
};
struct GreaterEqual {
  template <class T> bool operator()(T x, T y) const { return y <= x; }
};

struct LogicalAnd {
  bool operator()(Truth x, Truth y) const { return x.byte && y.byte; }
};
struct LogicalOr {
  bool operator()(Truth x, Truth y) const { return x.byte || y.byte; }
};
struct LogicalNot {
  bool operator()(Truth x) const { return !x.byte; }
};

struct BitwiseAnd {
  template <class T> T operator()(T x, T y) const { return static_cast<T>(x & y); }
};
struct BitwiseOr {
  template <class T> T operator()(T x, T y) const { return static_cast<T>(x | y); }
};
struct BitwiseXor {
  template <class T> T operator()(T x, T y) const { return static_cast<T>(x ^ y); }
};

struct Where {
  template <class T> T operator()(Truth condition, T x, T y) const { return condition.byte ? x : y; }
};

}  // namespace minimeta::functions

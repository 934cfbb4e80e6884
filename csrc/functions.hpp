// The simple functions: what an elementwise operation does to one element.
//
// Each is a pure function of its operands, so a result cannot depend on where its element sits or on how the compiler
// vectorised a loop. NaN goes in, NaN comes out. The exponential and its kin are written for vectors, in
// transcendental.hpp and trigonometric.hpp.
#pragma once

#include <cmath>
#include <cstdint>

namespace minimeta::functions {

struct Negative { template <class T> T operator()(T x) const { return -x; } };
struct Sqrt { template <class T> T operator()(T x) const { return std::sqrt(x); } };
struct Square { template <class T> T operator()(T x) const { return x * x; } };
struct Reciprocal { template <class T> T operator()(T x) const { return T(1) / x; } };
struct Absolute { template <class T> T operator()(T x) const { return std::fabs(x); } };

struct Sign {
  template <class T> T operator()(T x) const { return x > 0 ? T(1) : x < 0 ? T(-1) : x == 0 ? T(0) : x; }
};

struct Relu {  // not x > 0 ? x : 0, which would turn NaN into 0
  template <class T> T operator()(T x) const { return x <= 0 ? T(0) : x; }
};

struct Add { template <class T> T operator()(T x, T y) const { return x + y; } };
struct Subtract { template <class T> T operator()(T x, T y) const { return x - y; } };
struct Multiply { template <class T> T operator()(T x, T y) const { return x * y; } };
struct Divide { template <class T> T operator()(T x, T y) const { return x / y; } };
struct Power { template <class T> T operator()(T x, T y) const { return std::pow(x, y); } };

// The derivatives of relu, sigmoid and tanh in terms of their results, times g.
struct Gate { template <class T> T operator()(T x, T g) const { return x > 0 ? g : T(0); } };
struct SigmoidSlope { template <class T> T operator()(T y, T g) const { return g * (y * (T(1) - y)); } };
struct TanhSlope { template <class T> T operator()(T y, T g) const { return g * (T(1) - y * y); } };

// x != x: a NaN on the left wins; one on the right does because the comparison is false. For vectors, too: | is not ||.
struct Maximum {
  template <class T> T operator()(T x, T y) const { return ((x >= y) | (x != x)) ? x : y; }
};
struct Minimum {
  template <class T> T operator()(T x, T y) const { return ((x <= y) | (x != x)) ? x : y; }
};
struct Clip {
  template <class T> T operator()(T x, T low, T high) const { return Minimum{}(Maximum{}(x, low), high); }
};

// A boolean is a byte, and any byte but 0 is true: numpy's own are 0 and 1, a view of other memory need not be.
struct Truth {
  std::uint8_t byte;
  friend bool operator==(Truth x, Truth y) { return !x.byte == !y.byte; }
  friend bool operator<(Truth x, Truth y) { return !x.byte > !y.byte; }
  friend bool operator<=(Truth x, Truth y) { return !x.byte >= !y.byte; }
};

struct Equal { template <class T> bool operator()(T x, T y) const { return x == y; } };
struct NotEqual { template <class T> bool operator()(T x, T y) const { return !(x == y); } };
struct Less { template <class T> bool operator()(T x, T y) const { return x < y; } };
struct LessEqual { template <class T> bool operator()(T x, T y) const { return x <= y; } };
struct Greater { template <class T> bool operator()(T x, T y) const { return y < x; } };
struct GreaterEqual { template <class T> bool operator()(T x, T y) const { return y <= x; } };

struct LogicalAnd { bool operator()(Truth x, Truth y) const { return x.byte && y.byte; } };
struct LogicalOr { bool operator()(Truth x, Truth y) const { return x.byte || y.byte; } };
struct LogicalNot { bool operator()(Truth x) const { return !x.byte; } };

struct Where { template <class T> T operator()(Truth condition, T x, T y) const { return condition.byte ? x : y; } };

}  // namespace minimeta::functions

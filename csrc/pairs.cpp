// The table of pairs: see pairs.hpp.
#include "pairs.hpp"

#include <string>
#include <type_traits>

#include "functions.hpp"
#include "loop.hpp"

namespace minimeta {
namespace {

using namespace functions;

// Both round, one after the other, as two rows would.
template <class Outer, class Inner> struct OfLeft {
  template <class T> T operator()(T x) const { return Outer{}(Inner{}(x)); }
  template <class T> T operator()(T x, T y) const {
    if constexpr (std::is_invocable_v<Inner, T, T>)
      return Outer{}(Inner{}(x, y));
    else
      return Outer{}(Inner{}(x), y);
  }
  template <class T> T operator()(T x, T y, T z) const { return Outer{}(Inner{}(x, y), z); }
};
template <class Outer, class Inner> struct OfRight {
  template <class T, class... Y> T operator()(T x, Y... y) const { return Outer{}(x, Inner{}(y...)); }
};

template <class F, class... T> void row(char* const* data, const Index* strides, Index size) {
  float* __restrict result = reinterpret_cast<float*>(data[sizeof...(T)]);
  read_row<T...>(data, strides, [=](auto... operand) {
    for (Index i = 0; i < size; ++i) result[i] = F{}(operand[i]...);
  });
}

struct Pair {
  std::string outer, inner;
  int position;
  RowKernel row;
};

template <class F> struct Named {
  const char* name;
};

template <int position, class Outer, class Inner> void add(std::vector<Pair>& pairs, Named<Outer> outer, Named<Inner> inner) {
  using F = std::conditional_t<position == 0, OfLeft<Outer, Inner>, OfRight<Outer, Inner>>;
  constexpr int operands = std::is_invocable_v<Outer, float> + 2 * std::is_invocable_v<Outer, float, float> - 1 +
                           std::is_invocable_v<Inner, float> + 2 * std::is_invocable_v<Inner, float, float>;
  RowKernel both = nullptr;
  if constexpr (operands == 1) both = row<F, float>;
  if constexpr (operands == 2) both = row<F, float, float>;
  if constexpr (operands == 3) both = row<F, float, float, float>;
  pairs.push_back({outer.name, inner.name, position, both});
}

template <int... positions, class Outer> void add_arithmetic(std::vector<Pair>& pairs, Named<Outer> outer) {
  const auto of = [&](auto inner) { (add<positions>(pairs, outer, inner), ...); };
  of(Named<Add>{"add"});
  of(Named<Subtract>{"subtract"});
  of(Named<Multiply>{"multiply"});
  of(Named<Gate>{"gate"});
  of(Named<Negative>{"negative"});
  of(Named<Square>{"square"});
}

std::vector<Pair> all_pairs() {
  std::vector<Pair> pairs;
  add_arithmetic<0, 1>(pairs, Named<Add>{"add"});
  add_arithmetic<0, 1>(pairs, Named<Subtract>{"subtract"});
  add_arithmetic<0, 1>(pairs, Named<Multiply>{"multiply"});
  add_arithmetic<1>(pairs, Named<Gate>{"gate"});
  add<0>(pairs, Named<Gate>{"gate"}, Named<Relu>{"relu"});
  add_arithmetic<0>(pairs, Named<Relu>{"relu"});
  add_arithmetic<0>(pairs, Named<Square>{"square"});
  return pairs;
}

}  // namespace

RowKernel row_of_pair(const Function& outer, const Function& inner, int position, Dtype dtype) {
  static const std::vector<Pair> pairs = all_pairs();
  if (dtype != Dtype::float32) return nullptr;  // the only type that networks compute in
  for (const Pair& pair : pairs)
    if (pair.outer == outer.name && pair.inner == inner.name && pair.position == position) return pair.row;
  return nullptr;
}

}  // namespace minimeta

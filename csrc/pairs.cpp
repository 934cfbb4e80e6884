// The table of pairs: see pairs.hpp.
#include "pairs.hpp"

#include <algorithm>
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

template <class Inner> struct WhereOf {  // Its condition is no float.
  template <class T> T operator()(T x, T y, T then, T otherwise) const { return Inner{}(x, y) ? then : otherwise; }
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

template <class Outer, class Inner, int position = 0> Pair pair(const char* outer, const char* inner) {
  using F = std::conditional_t<position == 0, OfLeft<Outer, Inner>, OfRight<Outer, Inner>>;
  constexpr int operands = std::is_invocable_v<Outer, float> + 2 * std::is_invocable_v<Outer, float, float> - 1 +
                           std::is_invocable_v<Inner, float> + 2 * std::is_invocable_v<Inner, float, float>;
  if constexpr (operands == 1) return {outer, inner, position, row<F, float>};
  if constexpr (operands == 2) return {outer, inner, position, row<F, float, float>};
  if constexpr (operands == 3) return {outer, inner, position, row<F, float, float, float>};
}

// Those that the meta-steps of benchmarks/workloads.py run on more than some dozen elements, the
// most frequent first.
const std::vector<Pair>& all_pairs() {
  static const std::vector<Pair> pairs{
      pair<Subtract, Multiply, 1>("subtract", "multiply"),
      pair<Add, Multiply>("add", "multiply"),
      pair<Multiply, Subtract>("multiply", "subtract"),
      pair<Multiply, Square, 1>("multiply", "square"),
      pair<Multiply, Negative, 1>("multiply", "negative"),
      pair<Add, Add>("add", "add"),
      pair<Multiply, ReluSlope>("multiply", "relu_slope"),
      pair<Multiply, Subtract, 1>("multiply", "subtract"),
      pair<Add, Add, 1>("add", "add"),
      pair<Multiply, Add>("multiply", "add"),
      pair<Relu, Add>("relu", "add"),
      pair<ReluSlope, Relu>("relu_slope", "relu"),
      pair<ReluSlope, Add, 1>("relu_slope", "add"),
      pair<Square, Subtract>("square", "subtract"),
      pair<Subtract, Multiply>("subtract", "multiply"),
      pair<Multiply, Negative>("multiply", "negative"),
      pair<Add, Multiply, 1>("add", "multiply"),
      pair<Divide, Multiply>("divide", "multiply"),  // of Adam's step, as the next
      pair<Sqrt, Maximum>("sqrt", "maximum"),
      {"where", "greater", 0, row<WhereOf<Greater>, float, float, float, float>},  // of softmax's derivative
  };
  return pairs;
}

}  // namespace

RowKernel row_of_pair(const Function& outer, const Function& inner, int position, Dtype dtype) {
  if (dtype != Dtype::float32) return nullptr;  // the only type that networks compute in
  for (const Pair& pair : all_pairs())
    if (pair.outer == outer.name && pair.inner == inner.name && pair.position == position) return pair.row;
  return nullptr;
}

std::vector<RowCommand> commands_of(const std::vector<FusedOperation>& operations, const std::vector<View>& values,
                                    Index first, const std::vector<int>& needed) {
  std::vector<int> readers(values.size(), 0);
  for (const FusedOperation& operation : operations)
    for (const int i : operation.operands) ++readers[static_cast<std::size_t>(i)];
  for (const int value : needed) ++readers[static_cast<std::size_t>(value)];

  const std::size_t n = static_cast<std::size_t>(first);
  std::vector<std::vector<int>> operands;
  std::vector<RowCommand> commands;
  std::vector<bool> taken(operations.size(), false), is_pair = taken;
  for (std::size_t k = 0; k < operations.size(); ++k) {
    const FusedOperation& operation = operations[k];
    const Dtype dtype = values[static_cast<std::size_t>(operation.operands.back())].dtype;
    RowKernel kernel = operation.function->row[static_cast<int>(dtype)];
    operands.push_back(operation.operands);
    for (std::size_t p = 0; p < operation.operands.size() && !is_pair[k]; ++p) {
      const std::size_t i = static_cast<std::size_t>(operation.operands[p]), inner = i - n;
      if (i < n || readers[i] > 1 || is_pair[inner]) continue;
      const FusedOperation& feeding = operations[inner];
      if (values[static_cast<std::size_t>(feeding.operands[0])].dtype != dtype) continue;  // what is compared
      const RowKernel both = row_of_pair(*operation.function, *feeding.function, static_cast<int>(p), dtype);
      if (!both) continue;
      kernel = both;
      is_pair[k] = taken[inner] = true;
      const auto at = operands[k].erase(operands[k].begin() + static_cast<std::ptrdiff_t>(p));
      operands[k].insert(at, operands[inner].begin(), operands[inner].end());
    }
    commands.push_back({kernel, static_cast<int>(operands[k].size()), {}, static_cast<int>(n + k)});
    std::copy(operands[k].begin(), operands[k].end(), commands.back().operands);
  }
  std::size_t k = 0;
  const auto is_taken = [&](const RowCommand&) { return taken[k++]; };
  commands.erase(std::remove_if(commands.begin(), commands.end(), is_taken), commands.end());
  return commands;
}

}  // namespace minimeta

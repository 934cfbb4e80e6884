// The table of compounds: see compound.hpp.
#include "compound.hpp"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "functions.hpp"
#include "loop.hpp"

namespace minimeta {
namespace {

using namespace functions;

// A compound is a type: a function of parts, which are compounds or operands.
template <class F, class... Parts> struct Of {};
struct Any {};     // an operand that lies in any way
struct Dense {};   // its elements lie one after another
struct Number {};  // one number for all elements

template <class F> constexpr const char* kName = "";
template <> constexpr const char* kName<Add> = "add";
template <> constexpr const char* kName<Divide> = "divide";
template <> constexpr const char* kName<Greater> = "greater";
template <> constexpr const char* kName<Maximum> = "maximum";
template <> constexpr const char* kName<Multiply> = "multiply";
template <> constexpr const char* kName<Negative> = "negative";
template <> constexpr const char* kName<Relu> = "relu";
template <> constexpr const char* kName<ReluSlope> = "relu_slope";
template <> constexpr const char* kName<Sqrt> = "sqrt";
template <> constexpr const char* kName<Square> = "square";
template <> constexpr const char* kName<Subtract> = "subtract";
template <> constexpr const char* kName<Where> = "where";

template <class F> constexpr bool kCommutes = std::is_same_v<F, Add> || std::is_same_v<F, Multiply>;

// The operands of a compound, in order.
template <class... Leaf> struct Leaves {
  static constexpr int count = sizeof...(Leaf);
  template <class... More> auto operator+(Leaves<More...>) const { return Leaves<Leaf..., More...>{}; }
};
template <class Leaf> struct LeavesOf {
  using type = Leaves<Leaf>;
};
template <class F, class... Parts> struct LeavesOf<Of<F, Parts...>> {
  using type = decltype((Leaves<>{} + ... + typename LeavesOf<Parts>::type{}));
};

// The value of a part whose operands are x[first], ...; each function rounds, as rows of their own
// would.
template <int first, class Leaf, class X> MINIMETA_INLINE float value(Leaf, const X& x) { return std::get<first>(x); }
template <int first, class F, class A, class X> MINIMETA_INLINE auto value(Of<F, A>, const X& x) {
  return F{}(value<first>(A{}, x));
}
template <int first, class F, class A, class B, class X> MINIMETA_INLINE auto value(Of<F, A, B>, const X& x) {
  return F{}(value<first>(A{}, x), value<first + LeavesOf<A>::type::count>(B{}, x));
}
template <int first, class A, class B, class C, class X>
MINIMETA_INLINE auto value(Of<Where, A, B, C>, const X& x) {  // Its condition is no float.
  constexpr int second = first + LeavesOf<A>::type::count, third = second + LeavesOf<B>::type::count;
  return value<first>(A{}, x) ? value<second>(B{}, x) : value<third>(C{}, x);
}

template <class> using Float = float;

// Calls go(reader, ...) with one reader for each operand.
template <class Leaf, class... Rest, class Go> void read_as(char* const* data, Go go) {
  const float* const first = reinterpret_cast<const float*>(*data);
  const auto next = [&](auto reader) {
    if constexpr (sizeof...(Rest) == 0)
      go(reader);
    else
      read_as<Rest...>(data + 1, [&](auto... rest) { go(reader, rest...); });
  };
  if constexpr (std::is_same_v<Leaf, Number>)
    next(Repeated<float>{*first});
  else
    next(Contiguous<float>{first});
}

template <class Tree, class... Leaf> RowKernel row_of(Leaves<Leaf...>) {
  return [](char* const* data, const Index* strides, Index size) {
    float* __restrict result = reinterpret_cast<float*>(data[sizeof...(Leaf)]);
    const auto loop = [=](auto... x) {
      for (Index i = 0; i < size; ++i) result[i] = value<0>(Tree{}, std::make_tuple(x[i]...));
    };
    if constexpr ((std::is_same_v<Leaf, Any> && ...))
      read_row<Float<Leaf>...>(data, strides, loop);
    else
      read_as<Leaf...>(data, loop);
  };
}

// What a compound is found by.
struct Pattern {
  const char* name;  // of the function; none for an operand
  bool commutes;
  bool takes[3];  // of an operand: the layouts
  std::vector<Pattern> parts;
};

template <class Leaf> Pattern pattern(Leaf) {
  constexpr bool any = std::is_same_v<Leaf, Any>;
  return {nullptr, false, {any || std::is_same_v<Leaf, Dense>, any || std::is_same_v<Leaf, Number>, any}, {}};
}
template <class F, class... Parts> Pattern pattern(Of<F, Parts...>) {
  return {kName<F>, kCommutes<F>, {}, {pattern(Parts{})...}};
}

struct Compound {
  Pattern pattern;
  RowKernel row;
};

template <class Tree> Compound compound() { return {pattern(Tree{}), row_of<Tree>(typename LeavesOf<Tree>::type{})}; }

// Parts of optimisers, as their authors write them, where the numbers are rates and the arrays
// parameters, moments and gradients; and of batch normalisation and its derivatives, where a channel's
// numbers repeat. A part of another comes after it.
const std::vector<Compound>& all_trees() {
  using Scaled = Of<Multiply, Number, Dense>;
  using Corrected = Of<Divide, Dense, Number>;
  using Root = Of<Add, Of<Sqrt, Dense>, Number>;
  using RootAboveNumber = Of<Add, Of<Sqrt, Of<Maximum, Dense, Number>>, Number>;
  using CorrectedRoot = Of<Add, Of<Sqrt, Corrected>, Number>;
  using Scaling = Of<Multiply, Dense, Dense>;
  using Normalised = Of<Add, Of<Multiply, Of<Subtract, Dense, Dense>, Dense>, Dense>;
  using Backward = Of<Add, Scaling, Normalised>;
  using Along = Of<Add, Scaling, Of<Multiply, Dense, Of<Subtract, Dense, Dense>>>;
  static const std::vector<Compound> trees{
      compound<Of<ReluSlope, Dense, Of<Add, Of<Add, Along, Dense>, Dense>>>(),
      compound<Of<Add, Dense, Backward>>(),
      compound<Of<Add, Of<Multiply, Of<ReluSlope, Dense, Dense>, Dense>, Normalised>>(),
      compound<Backward>(),
      compound<Of<Relu, Normalised>>(),
      compound<Of<Negative, Of<Add, Scaling, Scaling>>>(),
      compound<Of<Add, Scaling, Scaling>>(),
      compound<Of<Add, Scaled, Of<Multiply, Number, Of<Square, Dense>>>>(),
      compound<Of<Add, Scaled, Of<Multiply, Scaled, Dense>>>(),
      compound<Of<Add, Scaled, Scaled>>(),
      compound<Of<Subtract, Dense, Of<Divide, Scaled, RootAboveNumber>>>(),
      compound<Of<Subtract, Dense, Of<Divide, Scaled, Root>>>(),
      compound<Of<Subtract, Dense, Of<Divide, Scaled, Dense>>>(),
      compound<Of<Subtract, Dense, Of<Divide, Of<Multiply, Number, Corrected>, CorrectedRoot>>>(),
      compound<Of<Subtract, Dense, Of<Divide, Of<Multiply, Number, Corrected>, Dense>>>(),
      compound<Of<Subtract, Dense, Of<Multiply, Number, Of<Divide, Corrected, CorrectedRoot>>>>(),
      compound<Of<Subtract, Dense, Of<Multiply, Number, Of<Divide, Corrected, Dense>>>>(),
      compound<Of<Subtract, Dense, Of<Multiply, Number, Of<Divide, Dense, Root>>>>(),
      compound<Of<Subtract, Dense, Of<Multiply, Number, Of<Divide, Dense, Dense>>>>(),
      compound<Of<Divide, Corrected, CorrectedRoot>>(),
      compound<Of<Subtract, Dense, Of<Multiply, Number, Of<Add, Dense, Scaled>>>>(),
      compound<RootAboveNumber>(),
      compound<CorrectedRoot>(),
  };
  return trees;
}

// Two operations that the meta-steps of benchmarks/workloads.py run on more than some dozen
// elements, the most frequent first.
const std::vector<Compound>& all_pairs() {
  static const std::vector<Compound> pairs{
      compound<Of<Subtract, Any, Of<Multiply, Any, Any>>>(),
      compound<Of<Add, Of<Multiply, Any, Any>, Any>>(),
      compound<Of<Multiply, Of<Subtract, Any, Any>, Any>>(),
      compound<Of<Multiply, Any, Of<Square, Any>>>(),
      compound<Of<Multiply, Any, Of<Negative, Any>>>(),
      compound<Of<Add, Of<Add, Any, Any>, Any>>(),
      compound<Of<Multiply, Of<ReluSlope, Any, Any>, Any>>(),
      compound<Of<Multiply, Of<Add, Any, Any>, Any>>(),
      compound<Of<Relu, Of<Add, Any, Any>>>(),
      compound<Of<ReluSlope, Of<Relu, Any>, Any>>(),
      compound<Of<ReluSlope, Any, Of<Add, Any, Any>>>(),
      compound<Of<Square, Of<Subtract, Any, Any>>>(),
      compound<Of<Subtract, Of<Multiply, Any, Any>, Any>>(),
      compound<Of<Divide, Of<Multiply, Any, Any>, Any>>(),
      compound<Of<Divide, Any, Of<Add, Any, Any>>>(),
      compound<Of<Sqrt, Of<Maximum, Any, Any>>>(),
      compound<Of<Add, Of<Sqrt, Any>, Any>>(),
      compound<Of<Where, Of<Greater, Any, Any>, Any, Any>>(),  // of softmax's derivative
  };
  return pairs;
}

// A search for compounds among the operations of a group.
class Search {
 public:
  Search(const std::vector<FusedOperation>& operations, const std::vector<View>& values,
         const std::vector<Layout>& layouts, const std::vector<int>& needed)
      : operations_(operations), values_(values), layouts_(layouts), readers_(values.size(), 0) {
    for (const FusedOperation& operation : operations)
      for (const int i : operation.operands) ++readers_[static_cast<std::size_t>(i)];
    for (const int value : needed) ++readers_[static_cast<std::size_t>(value)];
    commands_.resize(operations.size());
    is_inside_.resize(operations.size());
  }

  // Lets operation k, if it is no part of a compound, compute one of these with those that feed it.
  void take(std::size_t k, const std::vector<Compound>& compounds) {
    if (is_inside_[k] || commands_[k].kernel) return;
    for (const Compound& compound : compounds) {
      operands_.clear();
      inside_.clear();
      if (!fits(compound.pattern, static_cast<int>(layouts_.size() + k), true)) continue;
      commands_[k] = command(compound.row, operands_, k);
      for (const std::size_t i : inside_) is_inside_[i] = true;
      return;
    }
  }

  std::vector<RowCommand> found() const {
    std::vector<RowCommand> found;
    for (std::size_t k = 0; k < operations_.size(); ++k) {
      if (is_inside_[k]) continue;
      const FusedOperation& each = operations_[k];
      const int dtype = static_cast<int>(values_[static_cast<std::size_t>(each.operands.back())].dtype);
      found.push_back(commands_[k].kernel ? commands_[k] : command(each.function->row[dtype], each.operands, k));
    }
    return found;
  }

 private:
  RowCommand command(RowKernel row, const std::vector<int>& operands, std::size_t k) const {
    RowCommand command{row, static_cast<int>(operands.size()), {}, static_cast<int>(layouts_.size() + k)};
    std::copy(operands.begin(), operands.end(), command.operands);
    return command;
  }

  // Whether a value is such a compound. Notes down its operands, and the operations inside of it.
  bool fits(const Pattern& pattern, int value, bool is_last = false) {
    const std::size_t i = static_cast<std::size_t>(value);
    if (!pattern.name) {
      operands_.push_back(value);
      const Layout layout = i < layouts_.size() ? layouts_[i] : Layout::dense;
      return values_[i].dtype == Dtype::float32 && pattern.takes[static_cast<int>(layout)];  // as networks compute in
    }
    const std::size_t k = i - layouts_.size();
    if (i < layouts_.size() || std::strcmp(operations_[k].function->name, pattern.name) != 0) return false;
    if (!is_last) {
      if (readers_[i] > 1 || is_inside_[k] || commands_[k].kernel) return false;
      inside_.push_back(k);
    }
    const std::vector<int>& operands = operations_[k].operands;
    const std::size_t before = operands_.size(), inside = inside_.size();
    for (const bool turned : {false, true}) {
      if (turned && !pattern.commutes) break;
      operands_.resize(before);
      inside_.resize(inside);
      bool all = true;
      for (std::size_t p = 0; p < operands.size() && all; ++p)
        all = fits(pattern.parts[p], operands[turned ? operands.size() - 1 - p : p]);
      if (all) return true;
    }
    return false;
  }

  const std::vector<FusedOperation>& operations_;
  const std::vector<View>& values_;
  const std::vector<Layout>& layouts_;
  std::vector<int> readers_;
  std::vector<RowCommand> commands_;
  std::vector<bool> is_inside_;
  std::vector<int> operands_;
  std::vector<std::size_t> inside_;
};

}  // namespace

std::vector<RowCommand> commands_of(const std::vector<FusedOperation>& operations, const std::vector<View>& values,
                                    const std::vector<Layout>& layouts, const std::vector<int>& needed) {
  Search search(operations, values, layouts, needed);
  for (std::size_t k = operations.size(); k-- > 0;) search.take(k, all_trees());
  for (std::size_t k = 0; k < operations.size(); ++k) search.take(k, all_pairs());
  return search.found();
}

}  // namespace minimeta

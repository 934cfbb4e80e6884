// The table of elementwise operations and the one loop that runs them: see elementwise.hpp.
#include "elementwise.hpp"

#include <type_traits>

#include "functions.hpp"
#include "fused_rows.hpp"
#include "loop.hpp"
#include "power.hpp"
#include "trigonometric.hpp"

namespace minimeta {
namespace {

using namespace functions;

template <class F, class Result, class... T> void row(char* const* data, const Index* strides, Index size) {
  Result* __restrict result = reinterpret_cast<Result*>(data[sizeof...(T)]);
  read_row<T...>(data, strides, [=](auto... operand) {
    for (Index i = 0; i < size; ++i) result[i] = F{}(operand[i]...);
  });
}

// The same with one loop for all strides. There are eight kinds of whole numbers, and long arrays
// of them are rare.
template <class F, class Result, class... T> void short_row(char* const* data, const Index* strides, Index size) {
  Result* result = reinterpret_cast<Result*>(data[sizeof...(T)]);
  read_strided<T...>(data, strides, [=](auto... operand) {
    for (Index i = 0; i < size; ++i) result[i] = F{}(operand[i]...);
  });
}

// Whether F is computed in two parts (transcendental.hpp).
template <class F, class V, class = void> constexpr bool has_parts = false;
template <class F, class V> constexpr bool has_parts<F, V, std::void_t<decltype(F::first(V{}))>> = true;

// Computes a few vectors at a time, and returns how many elements those are.
template <class F, class T> Index map_parts(const T* x, T* y, Index size) {
  using V = simd::Vec<T>;
  constexpr Index lanes = simd::kLanes<T>, few = 8 * lanes;
  Index done = 0;
  for (; done + few <= size; done += few) {
    decltype(F::first(V{})) between[few / lanes];
    for (Index i = 0; i < few; i += lanes) between[i / lanes] = F::first(simd::load<V>(x + done + i));
    for (Index i = 0; i < few; i += lanes)
      simd::store(y + done + i, F::second(simd::load<V>(x + done + i), between[i / lanes]));
  }
  return done;
}

// The same for an F that computes in vectors.
template <class F, class T> void vector_row(char* const* data, const Index* strides, Index size) {
  T* const y = reinterpret_cast<T*>(data[1]);
  Index done = 0;
  if constexpr (has_parts<F, simd::Vec<T>>)
    if (strides[0] == Index{sizeof(T)}) done = map_parts<F>(reinterpret_cast<const T*>(data[0]), y, size);
  map_row(data[0] + done * strides[0], strides[0], y + done, size - done, F{});
}

// F(x) y for an F that computes in vectors.
template <class F, class T> void scaled_row(char* const* data, const Index* strides, Index size) {
  T* __restrict result = reinterpret_cast<T*>(data[2]);
  constexpr Index element = sizeof(T), lanes = simd::kLanes<T>;
  if (strides[0] == element && strides[1] == element && size % lanes == 0) {
    const T *const x = reinterpret_cast<const T*>(data[0]), *const y = reinterpret_cast<const T*>(data[1]);
    map_vectors(result, size, [](auto x, auto y) { return y * F{}(x); }, x, y);
    return;
  }
  map_row(data[0], strides[0], result, size, F{});
  read_row<T>(data + 1, strides + 1, [=](auto y) {
    for (Index i = 0; i < size; ++i) result[i] = y[i] * result[i];
  });
}

// F(x, y) for an F that computes in vectors of both. What is no contiguous row is gathered a block at a time.
template <class F, class T> void row_of_vectors(char* const* data, const Index* strides, Index size) {
  using V = simd::Vec<T>;
  constexpr Index block = 256, lanes = simd::kLanes<T>;
  T* const result = reinterpret_cast<T*>(data[2]);
  T room[2][block];
  for (Index done = 0; done < size; done += block) {
    const Index n = std::min(block, size - done), whole = n / lanes * lanes;
    const T* x[2];
    for (int k = 0; k < 2; ++k) {
      const Strided<T> from{data[k] + done * strides[k], strides[k]};
      x[k] = strides[k] == Index{sizeof(T)} ? reinterpret_cast<const T*>(from.data) : room[k];
      if (x[k] == room[k] && (strides[k] != 0 || done == 0))
        for (Index i = 0; i < n; ++i) room[k][i] = from[i];
    }
    map_vectors(result + done, whole, F{}, x[0], x[1]);
    if (whole == n) continue;
    T last[2][lanes] = {};
    for (int k = 0; k < 2; ++k) std::copy_n(x[k] + whole, n - whole, last[k]);
    simd::store(last[0], F{}(simd::load<V>(last[0]), simd::load<V>(last[1])));
    std::copy_n(last[0], n - whole, result + done + whole);
  }
}

// x^y. An exponent is one number for all elements, nearly always.
template <class T> void power_row(char* const* data, const Index* strides, Index size) {
  T* const result = reinterpret_cast<T*>(data[2]);
  const Strided<T> x{data[0], strides[0]}, y{data[1], strides[1]};
  const T exponent = size > 0 ? y[0] : T(0);
  if (strides[1] == 0 && has_halves(exponent))
    map_row(data[0], strides[0], result, size, HalvesPower<T>{exponent});
  else
    for (Index i = 0; i < size; ++i) result[i] = power(x[i], y[i]);
}

constexpr int kSlow = 16;  // the cost of a transcendental function, in additions

constexpr Index kShortRow = 64;  // elements

constexpr int at(Dtype dtype) { return static_cast<int>(dtype); }

template <class F> Function unary(const char* name) {
  Function f{name, 1, 0, false, 1, {}};
  f.row[at(Dtype::float32)] = row<F, float, float>;
  f.row[at(Dtype::float64)] = row<F, double, double>;
  return f;
}

template <class F> Function transcendental(const char* name) {
  Function f{name, 1, 0, false, kSlow, {}};
  f.row[at(Dtype::float32)] = vector_row<F, float>;
  f.row[at(Dtype::float64)] = vector_row<F, double>;
  return f;
}

template <class F> Function binary(const char* name) {
  Function f{name, 2, 0, false, 1, {}};
  f.row[at(Dtype::float32)] = row<F, float, float, float>;
  f.row[at(Dtype::float64)] = row<F, double, double, double>;
  return f;
}

// Sets the rows of whole numbers; go(Tag<T>) returns that of T.
template <class Go> void add_whole(Function& f, Go go) {
  f.row[at(Dtype::int8)] = go(Tag<std::int8_t>{});
  f.row[at(Dtype::int16)] = go(Tag<std::int16_t>{});
  f.row[at(Dtype::int32)] = go(Tag<std::int32_t>{});
  f.row[at(Dtype::int64)] = go(Tag<std::int64_t>{});
  f.row[at(Dtype::uint8)] = go(Tag<std::uint8_t>{});
  f.row[at(Dtype::uint16)] = go(Tag<std::uint16_t>{});
  f.row[at(Dtype::uint32)] = go(Tag<std::uint32_t>{});
  f.row[at(Dtype::uint64)] = go(Tag<std::uint64_t>{});
}

template <class F, class T> constexpr RowKernel row_of_one() { return short_row<F, T, T>; }
template <class F, class T> constexpr RowKernel row_of_two() { return short_row<F, T, T, T>; }

// A function that computes F of whole numbers, too.
template <class F> Function whole(Function f) {
  add_whole(f, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_invocable_v<F, T>)
      return row_of_one<F, T>();
    else
      return row_of_two<F, T>();
  });
  return f;
}

// A function that computes F of truth values, too.
template <class F> Function truth(Function f) {
  f.row[at(Dtype::boolean)] = row<F, bool, Truth, Truth>;
  return f;
}

template <class F> Function bitwise(const char* name) { return whole<F>({name, 2, 0, false, 1, {}}); }

template <class F> Function transcendental_of_two(const char* name) {
  Function f{name, 2, 0, false, kSlow, {}};
  f.row[at(Dtype::float32)] = row_of_vectors<F, float>;
  f.row[at(Dtype::float64)] = row_of_vectors<F, double>;
  return f;
}

Function power_function() {
  Function f{"power", 2, 0, false, kSlow, {}};
  f.row[at(Dtype::float32)] = power_row<float>;
  f.row[at(Dtype::float64)] = power_row<double>;
  return f;
}

template <class F> Function slope(const char* name) {
  Function f{name, 2, 0, false, kSlow, {}};
  f.row[at(Dtype::float32)] = scaled_row<F, float>;
  f.row[at(Dtype::float64)] = scaled_row<F, double>;
  return f;
}

template <class F> Function comparison(const char* name) {
  Function f{name, 2, 0, true, 1, {}};
  add_whole(f, [](auto tag) -> RowKernel {
    using T = typename decltype(tag)::type;
    return short_row<F, bool, T, T>;
  });
  f.row[at(Dtype::int64)] = row<F, bool, std::int64_t, std::int64_t>;
  f.row[at(Dtype::boolean)] = row<F, bool, Truth, Truth>;
  f.row[at(Dtype::float32)] = row<F, bool, float, float>;
  f.row[at(Dtype::float64)] = row<F, bool, double, double>;
  return f;
}

template <class F> Function connective(const char* name) {
  Function f{name, 2, 0, true, 1, {}};
  f.row[at(Dtype::boolean)] = row<F, bool, Truth, Truth>;
  return f;
}

Function logical_not() {
  Function f{"logical_not", 1, 0, true, 1, {}};
  f.row[at(Dtype::boolean)] = row<LogicalNot, bool, Truth>;
  return f;
}

Function where() {
  Function f{"where", 3, 1, false, 1, {}};
  add_whole(f, [](auto tag) -> RowKernel {
    using T = std::make_unsigned_t<typename decltype(tag)::type>;
    return short_row<Where, T, Truth, T, T>;
  });
  f.row[at(Dtype::boolean)] = row<Where, std::uint8_t, Truth, std::uint8_t, std::uint8_t>;
  f.row[at(Dtype::int64)] = row<Where, std::int64_t, Truth, std::int64_t, std::int64_t>;
  f.row[at(Dtype::float32)] = row<Where, float, Truth, float, float>;
  f.row[at(Dtype::float64)] = row<Where, double, Truth, double, double>;
  return f;
}

Function clip() {
  Function f{"clip", 3, 0, false, 1, {}};
  f.row[at(Dtype::float32)] = row<Clip, float, float, float, float>;
  f.row[at(Dtype::float64)] = row<Clip, double, double, double, double>;
  return f;
}

// x - x is 0 for every finite x and NaN for the others, and so is a sum of such terms, in any
// order.
template <class T> bool finite_row(const char* data, Index stride, Index size) {
  using V = simd::Vec<T>;
  constexpr Index lanes = simd::kLanes<T>;
  V sum[4] = {};
  Index i = 0;
  if (stride == Index{sizeof(T)})
    for (; i + 4 * lanes <= size; i += 4 * lanes) {
  MINIMETA_UNROLL
      for (int j = 0; j < 4; ++j) {
        const V x = simd::load<V>(data + (i + j * lanes) * stride);
        sum[j] += x - x;
      }
    }
  const V all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  bool finite = !simd::any(all != all);
  for (const Strided<T> x{data, stride}; i < size; ++i) finite &= x[i] - x[i] == T(0);
  return finite;
}

}  // namespace

const std::vector<Function>& elementwise_functions() {
  static const std::vector<Function> table{
      whole<Wrapped<Negative>>(unary<Negative>("negative")),
      transcendental<Exp>("exp"),
      transcendental<Log>("log"),
      transcendental<Log1p>("log1p"),
      transcendental<Expm1>("expm1"),
      unary<Sqrt>("sqrt"),
      whole<Wrapped<Square>>(unary<Square>("square")),
      unary<Reciprocal>("reciprocal"),
      whole<WholeAbsolute>(unary<Absolute>("absolute")),
      whole<Sign>(unary<Sign>("sign")),
      transcendental<Sin>("sin"),
      transcendental<Cos>("cos"),
      transcendental<Tan>("tan"),
      transcendental<Tanh>("tanh"),
      transcendental<Erf>("erf"),
      transcendental<Sigmoid>("sigmoid"),
      transcendental<Softplus>("softplus"),
      transcendental_of_two<LogAddExp>("logaddexp"),
      unary<Floor>("floor"),
      unary<Ceil>("ceil"),
      unary<Trunc>("trunc"),
      unary<Rint>("rint"),
      unary<Relu>("relu"),
      truth<LogicalOr>(whole<Wrapped<Add>>(binary<Add>("add"))),
      whole<Wrapped<Subtract>>(binary<Subtract>("subtract")),
      truth<LogicalAnd>(whole<Wrapped<Multiply>>(binary<Multiply>("multiply"))),
      binary<Divide>("divide"),
      whole<WholePower>(power_function()),
      whole<FloorDivide>(binary<FloorDivide>("floor_divide")),
      whole<Remainder>(binary<Remainder>("remainder")),
      binary<ReluSlope>("relu_slope"),
      slope<SigmoidSlope>("sigmoid_slope"),
      slope<TanhSlope>("tanh_slope"),
      truth<LogicalOr>(whole<Maximum>(binary<Maximum>("maximum"))),
      truth<LogicalAnd>(whole<Minimum>(binary<Minimum>("minimum"))),
      comparison<Equal>("equal"),
      comparison<NotEqual>("not_equal"),
      comparison<Less>("less"),
      comparison<LessEqual>("less_equal"),
      comparison<Greater>("greater"),
      comparison<GreaterEqual>("greater_equal"),
      connective<LogicalAnd>("logical_and"),
      connective<LogicalOr>("logical_or"),
      logical_not(),
      bitwise<BitwiseAnd>("bitwise_and"),
      bitwise<BitwiseOr>("bitwise_or"),
      bitwise<BitwiseXor>("bitwise_xor"),
      where(),
      clip(),
  };
  return table;
}

void check_elementwise(const Function& f, const View* operands, View& result) {
  const View& last = operands[f.operands - 1];
  for (int i = 0; i < f.operands - 1; ++i) {
    if (i < f.masks)
      require<DtypeError>(operands[i].dtype == Dtype::boolean, f.name, "a condition must be bool");
    else
      require_same_dtype(f.name, operands[i], last);
    require_same_shape(f.name, operands[i], last);
  }
  if (!f.row[at(last.dtype)]) throw DtypeError(std::string(f.name) + " has no kernel for " + name(last.dtype));
  describe(result, f.name, f.predicate ? Dtype::boolean : last.dtype, last);
}

// Whether rows are so short, or so apart in memory, that a kernel takes longer to begin one than to compute it.
static bool has_short_rows(const View& x) {
  Loop<1> loop;
  plan<1>(loop, {&x}, 0, x.ndim);
  const Index stride = loop.strides[0][0] / itemsize(x.dtype);
  return (loop.ndim > 1 && loop.shape[0] < kShortRow) || (1 < stride && stride <= short_rows::kFew);
}

// Computes one block after another, of copies of what is not contiguous.
static void run_in_blocks(const Function& f, const View* x, const View& result) {
  constexpr Index block = 1024;
  const Index size = count(result), element = itemsize(result.dtype);
  const RowKernel kernel = f.row[at(x[f.operands - 1].dtype)];
  Loop<1> walks[3];
  for (int i = 0; i < f.operands; ++i) plan<1>(walks[i], {&x[i]}, 0, x[i].ndim);
  parallel_for(size, work({size, f.cost}), [&](Index begin, Index end) {
    std::vector<Copier> copiers;
    alignas(64) char copies[3][block * sizeof(double)];
    char* data[4];
    Index strides[3];
    for (int i = 0; i < f.operands; ++i) {
      const Index repeats = period(x[i]), bytes = itemsize(x[i].dtype);
      strides[i] = repeats == 1 ? 0 : bytes;
      data[i] = repeats == size ? x[i].data + begin * bytes : repeats == 1 ? x[i].data : copies[i];
      copiers.emplace_back(walks[i], x[i].data, bytes);
    }
    for (Index first = begin, n; first < end; first += n) {
      n = std::min(block, end - first);
      spend(work({n, f.cost}));
      for (int i = 0; i < f.operands; ++i)
        if (data[i] == copies[i]) copiers[static_cast<std::size_t>(i)].copy(first, n, copies[i]);
      data[f.operands] = result.data + first * element;
      kernel(data, strides, n);
      for (int i = 0; i < f.operands; ++i)
        if (data[i] != copies[i]) data[i] += n * strides[i];
    }
  });
}

void run_elementwise(const Function& f, const View* x, const View& result) {
  if (std::any_of(x, x + f.operands, has_short_rows) && count(result) > kShortRow) return run_in_blocks(f, x, result);
  const RowKernel kernel = f.row[at(x[f.operands - 1].dtype)];
  const auto row = [kernel](char* const* data, const Index* strides, Index size) { kernel(data, strides, size); };
  if (f.operands == 1)
    for_each_row_in_parallel<2>({&x[0], &result}, row, f.cost);
  else if (f.operands == 2)
    for_each_row_in_parallel<3>({&x[0], &x[1], &result}, row, f.cost);
  else
    for_each_row_in_parallel<4>({&x[0], &x[1], &x[2], &result}, row, f.cost);
}

Index period(const View& x) {
  Index size = 1;
  int d = x.ndim - 1;
  for (; d >= 0 && (x.shape[d] == 1 || x.strides[d] == size * itemsize(x.dtype)); --d) size *= x.shape[d];
  for (; d >= 0; --d)
    if (x.shape[d] != 1 && x.strides[d] != 0) return 0;
  return size;
}

bool all_finite(const View& x) {
  require_float("all_finite", x);
  bool finite = true;
  for_each_row<1>({&x}, [&](char* const* data, const Index* strides, Index size) {
    if (!finite) return;
    with_float(x.dtype,
               [&](auto tag) { finite = finite_row<typename decltype(tag)::type>(data[0], strides[0], size); });
  });
  return finite;
}

}  // namespace minimeta

// Reductions: each is one or two folds (fold.hpp) over the same sequences.
//
//   mean      = sum / K
//   variance  = sum (x - mean)^2 / max(K - correction, 0): two passes, so no cancellation of large means
//   norm      = sqrt(sum (x s)^2) / s, s the power of two next to 1 / max |x|: exact, and nothing over- or underflows
//   logsumexp = m + log sum e^(x - m), m = max x
//   softmax   = e^(x - m) / sum e^(x - m);   its logarithm = (x - m) - log sum e^(x - m);   x - m = 0 of equal infinities
//
// The logarithm's sum has a term 1 for each largest element. It takes log1p(count - 1 + the sum of
// the others), which keeps the others' digits where they are small next to 1.
#include "reduce.hpp"

#include <cmath>
#include <limits>
#include <memory>

#include "fold.hpp"
#include "functions.hpp"
#include "layout.hpp"
#include "transcendental.hpp"

namespace minimeta {
namespace {

struct Largest : functions::Maximum {
  template <class T> static T identity() { return -std::numeric_limits<T>::infinity(); }
};
// Leaves out NaN, so that it is one instruction: for sequences whose sum is NaN then anyway.
struct LargestNumber {
  template <class V> V operator()(V x, V y) const { return y > x ? y : x; }
  template <class T> static T identity() { return -std::numeric_limits<T>::infinity(); }
};
struct Smallest : functions::Minimum {
  template <class T> static T identity() { return std::numeric_limits<T>::infinity(); }
};

struct Magnitude {
  template <class V> V operator()(V x, V) const { return functions::absolute(x); }
};
struct SquaredDifference {
  template <class V> V operator()(V x, V mean) const { return (x - mean) * (x - mean); }
};
struct ScaledSquare {
  template <class V> V operator()(V x, V scale) const { return (x * scale) * (x * scale); }
};
struct IsZero {
  template <class V> V operator()(V x, V) const { return x == V{} ? V{} + 1 : V{}; }
};
struct ExpOfOthers {
  template <class V> V operator()(V x, V) const { return x == V{} ? V{} : functions::Exp{}(x); }
};
struct ShiftedExp {
  template <class V> V operator()(V x, V shift) const { return functions::Exp{}(x - shift); }
};

void split(Reduction& r, const View& x, const Shape& axes) {
  View kept, reduced;
  kept.ndim = reduced.ndim = 0;
  for (int d = 0; d < x.ndim; ++d) {
    const bool goes = reduced.ndim < axes.ndim && axes.size[reduced.ndim] == d;
    View& side = goes ? reduced : kept;
    side.shape[side.ndim] = x.shape[d];
    side.strides[side.ndim++] = x.strides[d];
  }
  plan<1>(r.kept, {&kept}, 0, kept.ndim);
  plan<1>(r.reduced, {&reduced}, 0, reduced.ndim);
  r.data = x.data;
  r.outputs = count(kept);
  r.length = count(reduced);
}

// A power of two near 1 / largest that is itself a normal number: 2^-e for the exponent e that the bits
// above the mantissa's hold, with a bias.
template <class T> T norm_scale(T largest) {
  using Word = simd::Unsigned<sizeof(T)>;
  constexpr int mantissa = std::numeric_limits<T>::digits - 1;
  constexpr Word bias = std::numeric_limits<T>::max_exponent - 1;
  const Word biased = simd::bits<Word>(largest) >> mantissa;
  return simd::bits<T>(static_cast<Word>((2 * bias - std::clamp<Word>(biased, 1, 2 * bias - 1)) << mantissa));
}

template <class T> void norm(const Reduction& r, T* result) {
  fold<T, Magnitude, Largest>(r, nullptr, T(0), result);
  const std::unique_ptr<T[]> scales(new T[r.outputs]), sums(new T[r.outputs]);
  for (Index o = 0; o < r.outputs; ++o) scales[o] = norm_scale(result[o]);
  fold<T, ScaledSquare, Sum>(r, scales.get(), T(0), sums.get());
  for (Index o = 0; o < r.outputs; ++o) {  // zero, infinity and NaN are their own norms
    const T y = std::sqrt(sums[o]) / scales[o];
    result[o] = result[o] > 0 && result[o] <= std::numeric_limits<T>::max() ? y : result[o];
  }
}

template <class T> void logsumexp(const Reduction& r, T* result) {
  const std::unique_ptr<T[]> sums(new T[r.outputs]);
  fold<T, Itself, Largest>(r, nullptr, Largest::identity<T>(), result);
  fold<T, ShiftedExp, Sum>(r, result, T(0), sums.get());
  map_row(sums.get(), sums.get(), r.outputs, functions::Log{});
  for (Index o = 0; o < r.outputs; ++o)  // an infinite maximum is the result: inf - inf would make it NaN
    if (std::isfinite(result[o])) result[o] += sums[o];
}

template <class T> void mean(const Reduction& r, T* result) {
  fold<T, Itself, Sum>(r, nullptr, T(0), result);
  for (Index o = 0; o < r.outputs; ++o) result[o] /= static_cast<T>(r.length);
}

template <class T> void variance(const Reduction& r, double correction, T* result) {
  const std::unique_ptr<T[]> means(new T[r.outputs]);
  mean(r, means.get());
  fold<T, SquaredDifference, Sum>(r, means.get(), T(0), result);
  const T divisor = static_cast<T>(std::fmax(static_cast<double>(r.length) - correction, 0.0));
  for (Index o = 0; o < r.outputs; ++o) result[o] /= divisor;
}

template <class T> void reduce(Reducer reducer, const Reduction& r, double correction, T* result) {
  switch (reducer) {
    case Reducer::sum: return fold<T, Itself, Sum>(r, nullptr, T(0), result);
    case Reducer::mean: return mean(r, result);
    case Reducer::max: return fold<T, Itself, Largest>(r, nullptr, T(0), result);
    case Reducer::min: return fold<T, Itself, Smallest>(r, nullptr, T(0), result);
    case Reducer::norm: return norm(r, result);
    case Reducer::logsumexp: return logsumexp(r, result);
    case Reducer::variance: return variance(r, correction, result);
  }
}

// Reduces whole numbers, whose sums wrap around, so that every order gives the same result.
template <class T> void reduce_whole(Reducer reducer, const Reduction& r, T* result) {
  char* const data[1] = {const_cast<char*>(r.data)};
  for_each_row(r.kept, data, 0, r.outputs, [&](char* const* outer, const Index* steps, Index size) {
    for (Index o = 0; o < size; ++o, ++result) {
      char* const first[1] = {outer[0] + o * steps[0]};
      T y = reducer == Reducer::sum ? T(0) : *reinterpret_cast<const T*>(first[0]);
      spend(std::min(r.length, kPatience));
      in_pieces(0, r.length, 1, [&](Index begin, Index end) {
        for_each_row(r.reduced, first, begin, end, [&](char* const* row, const Index* strides, Index length) {
          const Strided<T> x{row[0], strides[0]};
          for (Index k = 0; k < length; ++k)
            y = reducer == Reducer::sum   ? functions::Wrapped<functions::Add>{}(y, x[k])
                : reducer == Reducer::max ? functions::Maximum{}(y, x[k])
                                          : functions::Minimum{}(y, x[k]);
        });
      });
      *result = y;
    }
  });
}

// One value for each sequence, seen with the shape of x.
View spread(const View& x, const Shape& axes, const void* values) {
  View view;
  Shape kept;
  kept.ndim = x.ndim;
  for (int d = 0, a = 0; d < x.ndim; ++d) {
    const bool goes = a < axes.ndim && axes.size[a] == d;
    kept.size[d] = goes ? 1 : x.shape[d];
    a += goes;
  }
  describe(view, "softmax", x.dtype, kept.ndim, kept.size);
  std::copy_n(x.shape, x.ndim, view.shape);
  view.data = static_cast<char*>(const_cast<void*>(values));
  return view;
}

// Keeps the exponentials in the result, and divides them by their sum.
template <class T> void softmax_in_passes(bool logarithm, const View& x, const Shape& axes, const View& result) {
  Reduction r, shifted;
  split(r, x, axes);
  split(shifted, result, axes);
  if (r.outputs == 0 || r.length == 0) return;
  const std::unique_ptr<T[]> values(new T[r.outputs]);
  const View one = spread(x, axes, values.get());
  // A row of a few elements is shorter than what it takes to begin it, so their value is repeated first.
  const bool is_repeated = axes.ndim == 1 && axes.size[0] == x.ndim - 1 && r.length <= short_rows::kMost;
  const std::unique_ptr<T[]> repeated(is_repeated ? new T[r.outputs * r.length] : nullptr);
  View value = one;
  if (is_repeated) {
    value = result;
    value.data = reinterpret_cast<char*>(repeated.get());
  }
  const auto spread_values = [&] {
    if (is_repeated) copy(one, value);
  };
  fold<T, Itself, LargestNumber>(r, nullptr, T(0), values.get());
  spread_values();
  for_each_row_in_parallel<3>({&x, &value, &result}, [=](char* const* data, const Index* strides, Index size) {
    T* __restrict y = reinterpret_cast<T*>(data[2]);
    read_row<T, T>(data, strides, [=](auto x, auto largest) {
      for (Index i = 0; i < size; ++i) y[i] = x[i] == largest[i] ? T(0) : x[i] - largest[i];
    });
  });
  if (logarithm) {
    const std::unique_ptr<T[]> others(new T[r.outputs]);
    fold<T, IsZero, Sum>(shifted, nullptr, T(0), values.get());
    fold<T, ExpOfOthers, Sum>(shifted, nullptr, T(0), others.get());
    for (Index o = 0; o < r.outputs; ++o) values[o] = (values[o] - 1) + others[o];
    map_row(values.get(), values.get(), r.outputs, functions::Log1p{});
  } else {
    T* const y = reinterpret_cast<T*>(result.data);
    const Index n = count(x);
    parallel_for(n, n, [y](Index begin, Index end) {
      in_pieces(begin, end, 1,
                [y](Index first, Index last) { map_row(y + first, y + first, last - first, functions::Exp{}); });
    });
    fold<T, Itself, Sum>(shifted, nullptr, T(0), values.get());
  }
  spread_values();
  for_each_row_in_parallel<2>({&value, &result}, [=](char* const* data, const Index* strides, Index size) {
    T* __restrict y = reinterpret_cast<T*>(data[1]);
    read_row<T>(data, strides, [=](auto sum) {
      if (logarithm)
        for (Index i = 0; i < size; ++i) y[i] = y[i] - sum[i];
      else
        for (Index i = 0; i < size; ++i) y[i] = y[i] / sum[i];
    });
  });
}

// The passes over a few sequences at a time, which stay in the first cache, if those are contiguous.
template <class T> void softmax(bool logarithm, const View& x, Shape axes, const View& result) {
  constexpr Index few = 2048, exponential = 16;  // elements; the cost of one, in elements moved
  const int kept = axes.ndim > 0 ? static_cast<int>(axes.size[0]) : x.ndim;
  const Index outer = count(kept, x.shape), elements = count(x);
  if (outer < 2 || elements <= few || !std::equal(x.strides, x.strides + x.ndim, result.strides))
    return softmax_in_passes<T>(logarithm, x, axes, result);
  for (int a = 0; a < axes.ndim; ++a) axes.size[a] -= kept - 1;
  const Index length = elements / outer, sequences = std::max<Index>(1, few / length);
  Index shape[kMaxDims] = {0};
  std::copy(x.shape + kept, x.shape + x.ndim, shape + 1);
  parallel_for((outer + sequences - 1) / sequences, elements * exponential, [&](Index first, Index last) {
    Index part_shape[kMaxDims];
    std::copy_n(shape, kMaxDims, part_shape);
    for (Index i = first * sequences; i < std::min(outer, last * sequences); i += sequences) {
      View part[2];
      part_shape[0] = std::min(sequences, outer - i);
      for (View& each : part) describe(each, "softmax", x.dtype, x.ndim - kept + 1, part_shape);
      part[0].data = x.data + i * length * Index{sizeof(T)};
      part[1].data = result.data + i * length * Index{sizeof(T)};
      softmax_in_passes<T>(logarithm, part[0], axes, part[1]);
    }
  });
}

void check_axes(const char* operation, const View& x, const Shape& axes) {
  for (int a = 0; a < axes.ndim; ++a) {
    require_axis(operation, axes.size[a], x.ndim);
    require(a == 0 || axes.size[a - 1] < axes.size[a], operation, "axes must increase");
  }
}

// x without its reduced axes, or with their sizes 1.
void describe_reduced(const char* operation, Dtype dtype, const View& x, const Shape& axes, bool keepdims,
                      View& result) {
  Shape shape;
  shape.ndim = 0;
  for (int d = 0, a = 0; d < x.ndim; ++d) {
    const bool goes = a < axes.ndim && axes.size[a] == d;
    a += goes;
    if (!goes || keepdims) shape.size[shape.ndim++] = goes ? 1 : x.shape[d];
  }
  describe(result, operation, dtype, shape.ndim, shape.size);
}

// The first largest element, of types without NaN.
template <class T> Index first_largest(const Strided<T>& x, Index length) {
  Index best = 0;
  for (Index k = 1; k < length; ++k)
    if (x[best] < x[k]) best = k;
  return best;
}

// The position of the first largest element, whose value is known. If it is NaN, the first NaN
// counts; otherwise the sequence has none.
template <class T> Index find(const Strided<T>& x, Index length, T largest) {
  using V = simd::Vec<T>;
  Index k = 0;
  if (x.stride == Index{sizeof(T)})
    for (; k + simd::kLanes<T> <= length; k += simd::kLanes<T>) {
      const V next = simd::load<V>(x.data + k * x.stride);
      if (simd::any((next == largest) | (next != next))) break;
    }
  while (x[k] != largest && x[k] == x[k]) ++k;
  return k;
}

// The same for n short sequences of floats, each `step` elements from the one before it: one element of
// all of them after another, in vectors. The first NaN is the largest.
template <class T>
void first_largest_of_each(const T* x, Index step, Index next, Index length, Index n, std::int64_t* result) {
  T most[kGathered], other[kGathered];
  for (Index done = 0; done < n; done += kGathered, x += kGathered * step, result += kGathered) {
    const Index some = std::min<Index>(kGathered, n - done);
    using Word = simd::Unsigned<sizeof(T)>;
    Word best[kGathered] = {};
    short_rows::take_every(x, step, most, some);
    for (Index k = 1; k < length; ++k) {
      short_rows::take_every(x + k * next, step, other, some);
      for (Index i = 0; i < some; ++i) {
        const bool wins = ((other[i] > most[i]) | (other[i] != other[i])) & (most[i] == most[i]);
        best[i] = wins ? static_cast<Word>(k) : best[i];
        most[i] = wins ? other[i] : most[i];
      }
    }
    std::copy_n(best, some, result);
  }
}

template <class T> void argmax(const Reduction& r, std::int64_t* result) {
  constexpr bool is_float = std::is_floating_point_v<T>;
  const Index next = r.reduced.strides[0][0], element = sizeof(T);
  std::unique_ptr<T[]> largest;
  if constexpr (is_float) {
    if (r.length > kShort / 2) {
      largest.reset(new T[r.outputs]);
      fold<T, Itself, Largest>(r, nullptr, T(0), largest.get());
    }
  }
  char* const data[1] = {const_cast<char*>(r.data)};
  parallel_for(r.outputs, r.outputs * r.length, [&](Index first, Index last) {
    for_each_row(r.kept, data, first, last, [&](char* const* row, const Index* strides, Index size) {
      in_pieces(0, size, r.length, [&](Index begin, Index end) {
        const char* x = row[0] + begin * strides[0];
        if constexpr (is_float)
          if (!largest)
            return first_largest_of_each(reinterpret_cast<const T*>(x), strides[0] / element, next / element, r.length,
                                         end - begin, result + first + begin);
        for (Index i = first + begin; i < first + end; ++i, x += strides[0])
          if constexpr (is_float)
            result[i] = find(Strided<T>{x, next}, r.length, largest[i]);
          else
            result[i] = first_largest(Strided<T>{x, next}, r.length);
      });
      first += size;
    });
  });
}

}  // namespace

void check_reduce(const char* operation, Reducer reducer, const View& x, const Shape& axes, bool keepdims,
                  View& result) {
  const bool orders = reducer == Reducer::sum || reducer == Reducer::max || reducer == Reducer::min;
  if (!orders || (x.dtype != Dtype::int64 && x.dtype != Dtype::uint64)) require_float(operation, x);
  check_axes(operation, x, axes);
  describe_reduced(operation, x.dtype, x, axes, keepdims, result);
  const bool chooses = reducer == Reducer::max || reducer == Reducer::min;
  require(!chooses || count(x) > 0 || count(result) == 0, operation, "there is no element to choose");
}

void run_reduce(Reducer reducer, const View& x, const Shape& axes, double correction, const View& result) {
  Reduction r;
  split(r, x, axes);
  if (x.dtype == Dtype::int64) return reduce_whole(reducer, r, reinterpret_cast<std::int64_t*>(result.data));
  if (x.dtype == Dtype::uint64) return reduce_whole(reducer, r, reinterpret_cast<std::uint64_t*>(result.data));
  with_float(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    reduce<T>(reducer, r, correction, reinterpret_cast<T*>(result.data));
  });
}

void check_softmax(const char* operation, const View& x, const Shape& axes, View& result) {
  require_float(operation, x);
  check_axes(operation, x, axes);
  describe(result, operation, x.dtype, x);
}

void run_softmax(bool logarithm, const View& x, const Shape& axes, const View& result) {
  with_float(x.dtype, [&](auto tag) { softmax<typename decltype(tag)::type>(logarithm, x, axes, result); });
}

void check_argmax(const View& x, Index axis, bool keepdims, View& result) {
  require_axis("argmax", axis, x.ndim);
  const bool has_kernel =
      is_float(x.dtype) || x.dtype == Dtype::int64 || x.dtype == Dtype::uint64 || x.dtype == Dtype::boolean;
  require<DtypeError>(has_kernel, "argmax", "x must be bool, int64, uint64, float32 or float64");
  Shape axes;
  axes.ndim = 1;
  axes.size[0] = axis;
  describe_reduced("argmax", Dtype::int64, x, axes, keepdims, result);
  require(x.shape[axis] > 0 || count(result) == 0, "argmax", "there is no element to choose");
}

void run_argmax(const View& x, Index axis, const View& result) {
  Shape axes;
  axes.ndim = 1;
  axes.size[0] = axis;
  Reduction r;
  split(r, x, axes);
  std::int64_t* to = reinterpret_cast<std::int64_t*>(result.data);
  switch (x.dtype) {
    case Dtype::boolean: return argmax<functions::Truth>(r, to);
    case Dtype::int64: return argmax<std::int64_t>(r, to);
    case Dtype::uint64: return argmax<std::uint64_t>(r, to);
    case Dtype::float32: return argmax<float>(r, to);
    default: return argmax<double>(r, to);
  }
}

}  // namespace minimeta

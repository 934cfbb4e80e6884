// Conversion between dtypes, as numpy's astype for every value that the target can hold.
//
// A float becomes an integer by truncation towards zero. Where the value does not fit (or is NaN)
// C++ leaves the result undefined; here it is the low bits of the smallest int64, on every machine.
#include "elementwise.hpp"
#include "functions.hpp"
#include "layout.hpp"
#include "loop.hpp"

namespace minimeta {
namespace {

using functions::Truth;

template <class To, class From> To converted(From x) {
  if constexpr (std::is_same_v<From, Truth>) {
    return static_cast<To>(x.byte != 0);
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != 0;
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr From two63 = From(9223372036854775808.0);
    if (std::is_same_v<To, std::uint64_t> && x >= two63 && x < 2 * two63)
      return static_cast<To>(static_cast<std::uint64_t>(x));
    return static_cast<To>(x >= -two63 && x < two63 ? static_cast<std::int64_t>(x) : INT64_MIN);
  } else {
    return static_cast<To>(x);
  }
}

// Long arrays are floats, before or after: only these conversions have a loop for contiguous
// elements, which GCC vectorises. The other 81 share the loop for any stride, so that they take
// less time to build.
template <class From, class To> void convert_row(char* const* data, const Index* strides, Index size) {
  To* __restrict to = reinterpret_cast<To*>(data[1]);
  if constexpr (std::is_floating_point_v<From> || std::is_floating_point_v<To>)
    if (strides[0] == Index{sizeof(From)}) {
      const From* const from = reinterpret_cast<const From*>(data[0]);
      for (Index i = 0; i < size; ++i) to[i] = converted<To>(from[i]);
      return;
    }
  const Strided<From> from{data[0], strides[0]};
  for (Index i = 0; i < size; ++i) to[i] = converted<To>(from[i]);
}

template <class Boolean, class Go> void with_type(Dtype dtype, Go go) {
  switch (dtype) {
    case Dtype::boolean: return go(Tag<Boolean>{});
    case Dtype::int8: return go(Tag<std::int8_t>{});
    case Dtype::int16: return go(Tag<std::int16_t>{});
    case Dtype::int32: return go(Tag<std::int32_t>{});
    case Dtype::int64: return go(Tag<std::int64_t>{});
    case Dtype::uint8: return go(Tag<std::uint8_t>{});
    case Dtype::uint16: return go(Tag<std::uint16_t>{});
    case Dtype::uint32: return go(Tag<std::uint32_t>{});
    case Dtype::uint64: return go(Tag<std::uint64_t>{});
    case Dtype::float32: return go(Tag<float>{});
    case Dtype::float64: return go(Tag<double>{});
  }
}

}  // namespace

Dtype dtype_named(const char* operation, const std::string& wanted) {
  for (int d = 0; d < kDtypes; ++d)
    if (wanted == name(static_cast<Dtype>(d))) return static_cast<Dtype>(d);
  throw DtypeError(std::string(operation) + ": there is no dtype '" + wanted + "' here");
}

void convert(const View& x, const View& result) {
  if (x.dtype == result.dtype) return copy(x, result);
  RowKernel row = nullptr;
  with_type<Truth>(x.dtype, [&](auto from) {
    with_type<bool>(result.dtype,
                    [&](auto to) { row = convert_row<typename decltype(from)::type, typename decltype(to)::type>; });
  });
  for_each_row<2>({&x, &result}, row);
}

}  // namespace minimeta

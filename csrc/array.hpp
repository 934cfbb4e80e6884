// Arrays as the kernels see them.
//
// A View is a borrowed n-dimensional array: memory, a dtype, a shape and strides in bytes (of any
// sign, or zero if an axis repeats one element). Every kernel has two halves: a check, which
// validates the operands and describes the result (dtype and shape, no memory), and a run, which
// fills memory that the caller provides. So kernels neither allocate results nor know Python, and a
// caller that replays checked work pays for the run alone.
//
// The shape rules in Python explain what does not fit. A check here keeps memory safe even when a
// kernel is called without them, and says why it refuses in one sentence. Its exceptions are
// DtypeError for a dtype, std::invalid_argument for a shape, an axis or a parameter, and
// std::out_of_range for an index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace minimeta {

using Index = std::ptrdiff_t;
static_assert(sizeof(Index) == 8, "64-bit platforms only");

constexpr int kMaxDims = 64;  // numpy's own limit

enum class Dtype : int { boolean, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64 };
constexpr int kDtypes = 11;

const char* name(Dtype dtype);
Index itemsize(Dtype dtype);

struct DtypeError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

struct Shape {
  int ndim;
  Index size[kMaxDims];
};

// Left uninitialised on purpose: it is a kilobyte, and only the first ndim entries are used.
struct View {
  char* data;
  Dtype dtype;
  int ndim;
  Index shape[kMaxDims];
  Index strides[kMaxDims];  // in bytes; 0 where the size is 0 or 1, whatever numpy says
};

// Describes a fresh C-contiguous result; throws if its size in bytes does not fit an Index.
void describe(View& result, const char* operation, Dtype dtype, int ndim, const Index* shape);
inline void describe(View& result, const char* operation, Dtype dtype, const View& like) {
  describe(result, operation, dtype, like.ndim, like.shape);
}

Index count(int ndim, const Index* shape);
inline Index count(const View& view) { return count(view.ndim, view.shape); }

// The amount of work: the product of the factors, or the largest Index if that does not fit.
Index work(std::initializer_list<Index> factors);

bool same_shape(const View& x, const View& y);

inline bool is_float(Dtype dtype) { return dtype == Dtype::float32 || dtype == Dtype::float64; }

template <class Error>
[[noreturn]] __attribute__((noinline, cold)) void refuse(const char* operation, const char* sentence) {
  throw Error(std::string(operation) + ": " + sentence);
}

template <class Error = std::invalid_argument>
void require(bool condition, const char* operation, const char* sentence) {
  if (!condition) refuse<Error>(operation, sentence);
}

inline void require_same_shape(const char* operation, const View& x, const View& y) {
  require(same_shape(x, y), operation, "operands must have equal shapes");
}
inline void require_same_dtype(const char* operation, const View& x, const View& y) {
  require<DtypeError>(x.dtype == y.dtype, operation, "operands must have the same dtype");
}
inline void require_float(const char* operation, const View& x) {
  require<DtypeError>(is_float(x.dtype), operation, "operands must be float32 or float64");
}
inline void require_axis(const char* operation, Index axis, int ndim) {
  require(0 <= axis && axis < ndim, operation, "an axis is out of range");
}

template <class T> struct Tag {
  using type = T;
};

// Calls go(Tag<T>) with the floating type of a dtype that a check has already admitted.
template <class Go> void with_float(Dtype dtype, Go go) {
  if (dtype == Dtype::float32)
    go(Tag<float>{});
  else
    go(Tag<double>{});
}

// Calls go(Tag<T>) with the unsigned type of so many bytes. To move data, the size of an item is
// all that matters.
template <class Go> void with_size(Index bytes, Go go) {
  switch (bytes) {
    case 1: return go(Tag<std::uint8_t>{});
    case 2: return go(Tag<std::uint16_t>{});
    case 4: return go(Tag<std::uint32_t>{});
    default: return go(Tag<std::uint64_t>{});
  }
}

}  // namespace minimeta

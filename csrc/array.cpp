// Descriptions of arrays and the checks that every kernel shares: see array.hpp.
#include "array.hpp"

namespace minimeta {
namespace {

constexpr const char* kNames[kDtypes] = {"bool",  "int8",   "int16",  "int32",   "int64",  "uint8",
                                         "uint16", "uint32", "uint64", "float32", "float64"};
constexpr Index kSizes[kDtypes] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8};

}  // namespace

const char* name(Dtype dtype) { return kNames[static_cast<int>(dtype)]; }

Index itemsize(Dtype dtype) { return kSizes[static_cast<int>(dtype)]; }

Index count(int ndim, const Index* shape) {
  Index total = 1;
  for (int d = 0; d < ndim; ++d) {
    if (shape[d] == 0) return 0;  // before a product of the other sizes, which need not fit
    total *= shape[d];
  }
  return total;
}

Index work(std::initializer_list<Index> factors) {
  double steps = 1;
  for (const Index factor : factors) steps *= static_cast<double>(factor);
  return steps < 9e18 ? static_cast<Index>(steps) : PTRDIFF_MAX;
}

void describe(View& result, const char* operation, Dtype dtype, int ndim, const Index* shape) {
  if (ndim > kMaxDims)
    throw std::invalid_argument(std::string(operation) + ": the result would have " + std::to_string(ndim) +
                                " dimensions, the most is " + std::to_string(kMaxDims));
  result.data = nullptr;
  result.dtype = dtype;
  result.ndim = ndim;
  // The product of the non-zero sizes must fit even where some size is zero, or the strides would overflow.
  Index stride = itemsize(dtype);
  bool fits = true;
  for (int d = ndim - 1; d >= 0; --d) {
    if (shape[d] < 0)
      throw std::invalid_argument(std::string(operation) + ": negative size in shape " + to_string(ndim, shape));
    result.shape[d] = shape[d];
    result.strides[d] = shape[d] > 1 ? stride : 0;
    if (shape[d] > 1) {
      fits = fits && stride <= PTRDIFF_MAX / shape[d];
      stride = fits ? stride * shape[d] : stride;
    }
  }
  if (!fits) throw std::invalid_argument(std::string(operation) + ": the shape " + to_string(ndim, shape) + " is too large");
}

bool same_shape(const View& x, const View& y) {
  if (x.ndim != y.ndim) return false;
  for (int d = 0; d < x.ndim; ++d)
    if (x.shape[d] != y.shape[d]) return false;
  return true;
}

std::string to_string(int ndim, const Index* shape) {
  std::string text = "(";
  for (int d = 0; d < ndim; ++d) text += (d ? ", " : "") + std::to_string(shape[d]);
  return text + (ndim == 1 ? ",)" : ")");
}

void require_same_shape(const char* operation, const View& x, const View& y) {
  if (!same_shape(x, y))
    throw std::invalid_argument(std::string(operation) + ": operands must have equal shapes, not " + to_string(x) +
                                " and " + to_string(y));
}

void require_same_dtype(const char* operation, const View& x, const View& y) {
  if (x.dtype != y.dtype)
    throw DtypeError(std::string(operation) + ": operands must have the same dtype, not " + name(x.dtype) + " and " +
                     name(y.dtype));
}

void require_dtype(const char* operation, const char* argument, const View& x, Dtype dtype) {
  if (x.dtype != dtype)
    throw DtypeError(std::string(operation) + ": " + argument + " must be " + name(dtype) + ", not " + name(x.dtype));
}

void require_float(const char* operation, const char* argument, const View& x) {
  if (!is_float(x.dtype))
    throw DtypeError(std::string(operation) + ": " + argument + " must be float32 or float64, not " + name(x.dtype));
}

void require_axis(const char* operation, Index axis, int ndim) {
  if (axis < 0 || axis >= ndim)
    throw std::invalid_argument(std::string(operation) + ": axis " + std::to_string(axis) +
                                " is out of range for an array with " + std::to_string(ndim) + " dimensions");
}

}  // namespace minimeta

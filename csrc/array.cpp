// Descriptions of arrays: see array.hpp.
#include "array.hpp"

namespace minimeta {
namespace {

constexpr const char* kNames[kDtypes] = {"bool",   "int8",   "int16",  "int32",   "int64",  "uint8",
                                         "uint16", "uint32", "uint64", "float32", "float64"};
constexpr Index kSizes[kDtypes] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8};

std::string to_string(int ndim, const Index* shape) {
  std::string text = "(";
  for (int d = 0; d < ndim; ++d) text += (d ? ", " : "") + std::to_string(shape[d]);
  return text + (ndim == 1 ? ",)" : ")");
}

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
  // The product of the non-zero sizes must fit even where some size is zero, or the strides would
  // overflow.
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
  if (!fits)
    throw std::invalid_argument(std::string(operation) + ": the shape " + to_string(ndim, shape) + " is too large");
}

bool same_shape(const View& x, const View& y) {
  if (x.ndim != y.ndim) return false;
  for (int d = 0; d < x.ndim; ++d)
    if (x.shape[d] != y.shape[d]) return false;
  return true;
}

}  // namespace minimeta

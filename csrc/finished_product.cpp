// Small products, finished in registers: see finished_product.hpp.
#include "finished_product.hpp"

#include <algorithm>
#include <type_traits>

#include "matmul.hpp"

namespace minimeta {

FinishedProduct::FinishedProduct(bool transpose_x, bool transpose_y, Finish finish)
    : transpose_x_(transpose_x), transpose_y_(transpose_y), finish_(finish) {}
FinishedProduct::~FinishedProduct() = default;

bool FinishedProduct::check(View* operands, Index n, std::vector<View>& results) {
  require(n == (finish_ == Finish::step ? 4 : 3), "finished_product", "another number of operands");
  View &x = operands[0], &y = operands[1], &z = operands[2], c;
  if (transpose_x_) swap_last_axes(x);
  if (transpose_y_) swap_last_axes(y);
  check_matmul(x, y, c);
  require_same_dtype("finished_product", z, c);
  require_same_shape("finished_product", z, c);
  const Index element = itemsize(c.dtype), terms = x.ndim == 2 ? x.shape[1] : 0;
  require(c.ndim == 2 && c.shape[1] > 1 && z.strides[1] == element, "finished_product", "z needs contiguous rows");
  if (finish_ == Finish::step) {
    const View& r = operands[3];
    require_same_dtype("finished_product", r, c);
    require(std::all_of(r.strides, r.strides + r.ndim, [](Index step) { return step == 0; }), "finished_product",
            "r must be one number");
  }
  dtype_ = c.dtype;
  row_ = z.strides[0] / element;
  in_place_ = row_ == c.shape[1] && terms <= kMatrixChain;
  // A stride along an axis of size 1 is never taken; 1 says that it is as good as contiguous.
  const auto step = [=](const View& v, int axis) { return v.shape[axis] == 1 ? 1 : v.strides[axis] / element; };
  const auto prepare = [&](auto& product) {
    using Tiled = typename std::decay_t<decltype(product)>::element_type;
    require(Tiled::fits(c.shape[0], terms, c.shape[1], 1), "finished_product", "the product is not small");
    const Index a[] = {step(x, 0), step(x, 1)}, b[] = {step(y, 0), step(y, 1)};
    product = std::make_unique<Tiled>(c.shape[0], terms, c.shape[1], a, b, c.shape[1]);
  };
  if (dtype_ == Dtype::float32)
    prepare(single_);
  else
    prepare(double_);
  results.push_back(c);
  return false;
}

// A tile of one chain reads its part of z before it stores the sums there, and no other tile does.
bool FinishedProduct::may_overwrite(Index operand, Index) const { return operand == 2 && in_place_; }

void FinishedProduct::run(char* const* data, Watch*) const {
  const auto run = [&](const auto& product, auto tag) {
    using T = decltype(tag);
    const auto* const x = reinterpret_cast<const T* const*>(data);
    T* const c = reinterpret_cast<T*>(data[finish_ == Finish::step ? 4 : 3]);
    const Finishing<T> finishing{finish_, x[2], row_, finish_ == Finish::step ? *x[3] : T(0)};
    product.run(x[0], x[1], c, &finishing);
  };
  if (single_)
    run(*single_, float{});
  else
    run(*double_, double{});
}

}  // namespace minimeta

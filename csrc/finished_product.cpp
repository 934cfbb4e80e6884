// Small products, finished in registers: see finished_product.hpp.
#include "finished_product.hpp"

#include <algorithm>
#include <type_traits>

#include "matmul.hpp"
#include "parallel.hpp"

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
  rows_ = c.shape[0];
  columns_ = c.shape[1];
  work_ = work({rows_, columns_, terms}) / kAtOnce;
  row_ = z.strides[0] / element;
  in_place_ = row_ == columns_ && terms <= kMatrixChain;
  // A stride along an axis of size 1 is never taken; 1 says that it is as good as contiguous.
  const auto step = [=](const View& v, int axis) { return v.shape[axis] == 1 ? 1 : v.strides[axis] / element; };
  x_row_ = step(x, 0);
  const auto prepare = [&](auto& products) {
    using Tiled = typename std::decay_t<decltype(products)>::value_type;
    const Index a[] = {x_row_, step(x, 1)}, b[] = {step(y, 0), step(y, 1)};
    for (const Index rows : {std::min(rows_, kBlockRows), rows_ > kBlockRows ? rows_ % kBlockRows : 0}) {
      if (rows == 0) continue;
      require(Tiled::fits(rows, terms, columns_, 1), "finished_product", "the product is not small");
      products.emplace_back(rows, terms, columns_, a, b, columns_);
    }
  };
  if (c.dtype == Dtype::float32)
    prepare(single_);
  else
    prepare(double_);
  results.push_back(c);
  return false;
}

// A tile of one chain reads its part of z before it stores the sums there, and no other tile does.
bool FinishedProduct::may_overwrite(Index operand, Index) const { return operand == 2 && in_place_; }

void FinishedProduct::run(char* const* data, Watch*) const {
  const auto run = [&](const auto& products, auto tag) {
    using T = decltype(tag);
    const auto* const x = reinterpret_cast<const T* const*>(data);
    T* const c = reinterpret_cast<T*>(data[finish_ == Finish::step ? 4 : 3]);
    const Finishing<T> whole{finish_, x[2], row_, finish_ == Finish::step ? *x[3] : T(0)};
    if (rows_ <= kBlockRows) return products[0].run(x[0], x[1], c, &whole);
    for_each_in_parallel((rows_ + kBlockRows - 1) / kBlockRows, work_, [&](Index block) {
      const Index first = block * kBlockRows;
      Finishing<T> part = whole;
      part.z += first * row_;
      const auto& product = products[first + kBlockRows <= rows_ ? 0 : 1];
      product.run(x[0] + first * x_row_, x[1], c + first * columns_, &part);
    });
  };
  if (!single_.empty())
    run(single_, float{});
  else
    run(double_, double{});
}

}  // namespace minimeta

// Small products, finished in registers: see finished_product.hpp.
#include "finished_product.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "functions.hpp"
#include "lanes.hpp"
#include "matmul.hpp"
#include "parallel.hpp"

namespace minimeta {
namespace {

constexpr Index kLeastColumns = 16;  // a vector full
constexpr Index kStays = 64 * 1024;  // bytes of y: it outlives blocks of rows in a cache
constexpr Index kManyBlocks = 8;     // enough of them to be shared out evenly

// Sums over rows, of one vector of columns after another, and narrower ones for those left.
template <class T, int Lanes = simd::kLanes<T>>
void sum_rows(const T* c, Index rows, Index columns, T* sums, Index j = 0) {
  using V = simd::Vec<T, Lanes>;
  for (; j + Lanes <= columns; j += Lanes) {
    V lanes[kLanes];
  MINIMETA_UNROLL
    for (V& lane : lanes) lane = simd::broadcast<V>(T(-0.0));  // the sum of a single -0 is -0
    const auto add = [&](Index i, int l) { lanes[l] = lanes[l] + simd::load<V>(c + i * columns + j); };
    Index i = 0;
    for (; i + kLanes <= rows; i += kLanes) {
      MINIMETA_UNROLL
      for (int l = 0; l < kLanes; ++l) add(i + l, l);
    }
    MINIMETA_UNROLL
    for (int l = 0; l < kLanes; ++l)
      if (i + l < rows) add(i + l, l);
    simd::store(sums + j, join_vectors<functions::Add>(lanes));
  }
  if constexpr (Lanes > 1) sum_rows<T, detail::narrower<T>(Lanes)>(c, rows, columns, sums, j);
}

}  // namespace

FinishedProduct::FinishedProduct(bool transpose_x, bool transpose_y, std::vector<Finish> finishes, bool summed,
                                 bool keepdims)
    : transpose_x_(transpose_x),
      transpose_y_(transpose_y),
      finishes_(std::move(finishes)),
      moves_(std::count(finishes_.begin(), finishes_.end(), Finish::step) > 0),
      summed_(summed),
      keepdims_(keepdims) {
  const Index n = static_cast<Index>(finishes_.size());
  require(1 <= n && n <= (moves_ ? 1 : kMostFinishes), "finished_product", "another number of finishes");
}
FinishedProduct::~FinishedProduct() = default;

bool FinishedProduct::check(View* operands, Index n, std::vector<View>& results) {
  const Index others = static_cast<Index>(finishes_.size());
  require(n == 2 + others + moves_, "finished_product", "another number of operands");
  View &x = operands[0], &y = operands[1], c;
  if (transpose_x_) swap_last_axes(x);
  if (transpose_y_) swap_last_axes(y);
  check_matmul(x, y, c);
  const Index element = itemsize(c.dtype), terms = x.ndim == 2 ? x.shape[1] : 0;
  for (Index k = 0; k < others; ++k) {
    const View& z = operands[2 + k];
    require_same_dtype("finished_product", z, c);
    require_same_shape("finished_product", z, c);
    require(c.ndim == 2 && c.shape[1] > 1 && z.strides[1] == element, "finished_product", "z needs contiguous rows");
    steps_[k] = z.strides[0] / element;
  }
  if (moves_) {
    const View& r = operands[3];
    require_same_dtype("finished_product", r, c);
    require(std::all_of(r.strides, r.strides + r.ndim, [](Index step) { return step == 0; }), "finished_product",
            "r must be one number");
  }
  is_single_ = c.dtype == Dtype::float32;
  rows_ = c.shape[0];
  columns_ = c.shape[1];
  require(!summed_ || rows_ <= kBlockRows, "finished_product", "a sum is of one block of rows");
  work_ = work({rows_, columns_, terms}) / kAtOnce;
  in_one_chain_ = terms <= kMatrixChain;
  const bool is_even = work_ < 2 * kWorthWaking || rows_ >= kManyBlocks * kBlockRows;
  const bool stays = in_one_chain_ && terms * columns_ * element <= kStays;
  is_small_ = stays && (rows_ <= kBlockRows || (is_even && y.strides[1] == element));
  if (!is_small_) {
    require(rows_ > 1 && columns_ >= kLeastColumns && terms <= kMatrixChain * kGroup && !summed_, "finished_product",
            "the product is not small, nor one group of chains of full vectors");
    results.push_back(c);
    for (const View* view : {&x, &y, &c}) forms_.add(*view);
    return false;
  }
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
  if (is_single_)
    prepare(single_);
  else
    prepare(double_);
  results.push_back(c);
  const Index sides[] = {1, columns_};
  if (summed_) describe(results.emplace_back(), "finished_product", c.dtype, keepdims_ ? 2 : 1, sides + !keepdims_);
  return false;
}

// A tile of one chain reads its part of each z before it stores the sums there, and no other tile does.
bool FinishedProduct::may_overwrite(Index operand, Index result) const {
  const Index k = operand - 2;
  return result == 0 && in_one_chain_ && 0 <= k && k < static_cast<Index>(finishes_.size()) && steps_[k] == columns_;
}

template <class T>
void FinishedProduct::run(const std::vector<TiledProduct<T>>& products, char* const* data) const {
  const auto* const x = reinterpret_cast<const T* const*>(data);
  const Index n = static_cast<Index>(finishes_.size());
  char* const* const results = data + 2 + n + moves_;
  T* const c = reinterpret_cast<T*>(results[0]);
  const auto finishing = [&](Index first, Finishing<T>* all) {
    for (Index k = 0; k < n; ++k)
      all[k] = {finishes_[static_cast<std::size_t>(k)], x[2 + k] + first * steps_[k], steps_[k], moves_ ? *x[3] : T(0)};
  };
  if (!is_small_) {
    View views[3];
    for (std::size_t i = 0; i < 3; ++i) forms_.fill(views[i], i, i < 2 ? data[i] : results[0]);
    Finishing<T> all[kMostFinishes];
    finishing(0, all);
    return run_finished_matmul(views[0], views[1], all, n, views[2]);
  }
  if (rows_ <= kBlockRows) {
    Finishing<T> all[kMostFinishes];
    finishing(0, all);
    products[0].run(x[0], x[1], c, all, n);
    if (summed_) sum_rows(c, rows_, columns_, reinterpret_cast<T*>(results[1]));
    return;
  }
  for_each_in_parallel((rows_ + kBlockRows - 1) / kBlockRows, work_, [&](Index block) {
    const Index first = block * kBlockRows;
    Finishing<T> all[kMostFinishes];
    finishing(first, all);
    const auto& product = products[first + kBlockRows <= rows_ ? 0 : 1];
    product.run(x[0] + first * x_row_, x[1], c + first * columns_, all, n);
  });
}

void FinishedProduct::run(char* const* data, Watch*) const {
  if (is_single_)
    run(single_, data);
  else
    run(double_, data);
}

}  // namespace minimeta

// Kernels of small arrays in a program, which knows their shapes and strides in advance.
//
// By itself a product or a function of some hundred elements takes no longer than to find out how its
// operands lie. So that is found out once, when the program is made.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "computation.hpp"
#include "elementwise.hpp"
#include "matmul.hpp"
#include "parallel.hpp"

namespace minimeta {

// A product, of whose elements is known which tile computes them.
template <class F> class PlannedMatmul final : public Kernel {
 public:
  explicit PlannedMatmul(F f) : planned_(std::move(f)) {}
  bool check(View* x, Index n, std::vector<View>& results) override {
    planned_.check(x, n, results);
    prepared_ = prepare_matmul(x[0], x[1], results[0]);
    return false;
  }
  void run(char* const* data, Watch* watch) const override {
    if (prepared_) return prepared_->run(data[0], data[1], data[2]);
    planned_.run(data, watch);
  }

 private:
  Planned<F> planned_;
  std::unique_ptr<PreparedMatmul> prepared_;
};

// An elementwise function, of one row if all operands are contiguous or one number, and short.
template <class F> class PlannedElementwise final : public Kernel {
 public:
  PlannedElementwise(F f, const Function& function) : planned_(std::move(f)), function_(function) {}
  bool check(View* x, Index n, std::vector<View>& results) override {
    planned_.check(x, n, results);
    size_ = count(results[0]);
    bool is_row = size_ > 0 && work({size_, function_.cost}) < 2 * kWorthWaking;
    for (Index i = 0; i < n; ++i) {
      const Index repeats = period(x[i]);
      is_row = is_row && (repeats == 1 || repeats == size_);
      strides_[i] = repeats == 1 ? 0 : itemsize(x[i].dtype);
    }
    if (is_row) row_ = function_.row[static_cast<int>(x[n - 1].dtype)];
    return false;
  }
  void run(char* const* data, Watch* watch) const override {
    if (row_) return row_(data, strides_, size_);
    planned_.run(data, watch);
  }

 private:
  Planned<F> planned_;
  const Function& function_;
  RowKernel row_ = nullptr;
  Index strides_[3] = {}, size_ = 0;
};

}  // namespace minimeta

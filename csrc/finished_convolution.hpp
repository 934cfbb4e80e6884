// A convolution, finished in registers: what alone reads it is computed before it is stored.
//
//   c = conv(x, w) + z        c = w - r conv_weight(x, g)        c = conv_input(g, w) where z > 0, and 0 elsewhere
//
// The first adds a derivative to another one; the second moves weights along a gradient; the third
// takes a cotangent through the relu that gave z. A tile has the sums in registers, and computes what
// follows at the end of their last chain (tile.hpp); it rounds as the elementwise operations do, so no
// bit changes.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "convolution.hpp"
#include "elementwise.hpp"
#include "program.hpp"

namespace minimeta {

// Of the three forms of a convolution, one whose parameters are known.
struct ConvolutionForm {
  std::function<void(const View* x, View& result)> check;
  std::function<void(const View* x, const View& result, const Finishes& finishes)> run;
};

// The size is that of the images, or of the windows, where the operands do not say it.
inline ConvolutionForm convolution_form(const std::string& name, const Windows& w, const Shape& size) {
  if (name == "conv2d")
    return {[=](const View* x, View& y) { check_conv2d(x[0], x[1], w, y); },
            [=](const View* x, const View& y, const Finishes& f) { run_conv2d(x[0], x[1], w, y, f); }};
  if (name == "conv2d_input")
    return {[=](const View* x, View& y) { check_conv2d_input(x[0], x[1], w, size, y); },
            [=](const View* x, const View& y, const Finishes& f) { run_conv2d_input(x[0], x[1], w, y, f); }};
  require(name == "conv2d_weight", "finished_convolution", "there is no such form");
  return {[=](const View* x, View& y) { check_conv2d_weight(x[0], x[1], w, size, y); },
          [=](const View* x, const View& y, const Finishes& f) { run_conv2d_weight(x[0], x[1], w, y, f); }};
}

class FinishedConvolution final : public Kernel {
 public:
  // Operands are the two of the convolution, then a z for each finish, contiguous and of the result's
  // form, and with Finish::step the number r, repeated to any shape.
  FinishedConvolution(ConvolutionForm form, std::vector<Finish> finishes)
      : form_(std::move(form)), kinds_(std::move(finishes)) {}

  bool check(View* x, Index n, std::vector<View>& results) override {
    const Index others = static_cast<Index>(kinds_.size());
    moves_ = others > 0 && kinds_[0] == Finish::step;
    require(1 <= others && others <= (moves_ ? 1 : kMostFinishes) && n == 2 + others + moves_, "finished_convolution",
            "another number of finishes");
    View& y = results.emplace_back();
    form_.check(x, y);
    for (Index k = 2; k < n; ++k) require_same_dtype("finished_convolution", x[k], y);
    for (Index k = 2; k < 2 + others; ++k) {
      require_same_shape("finished_convolution", x[k], y);
      require(period(x[k]) == count(x[k]), "finished_convolution", "z must be contiguous");
    }
    require(!moves_ || period(x[3]) == 1, "finished_convolution", "r must be one number");
    for (const View& view : {x[0], x[1], y}) forms_.add(view);
    return false;
  }

  void run(char* const* data, Watch*) const override {
    const std::size_t others = kinds_.size();
    Finishes finishes;
    finishes.count = static_cast<Index>(others);
    for (std::size_t k = 0; k < others; ++k) finishes.kinds[k] = kinds_[k], finishes.z[k] = data[2 + k];
    if (moves_) finishes.rate = data[3];
    View x[2], y;
    for (std::size_t i = 0; i < 2; ++i) forms_.fill(x[i], i, data[i]);
    forms_.fill(y, 2, data[2 + others + moves_]);
    form_.run(x, y, finishes);
  }

 private:
  ConvolutionForm form_;
  std::vector<Finish> kinds_;
  bool moves_ = false;
  Forms forms_;
};

}  // namespace minimeta

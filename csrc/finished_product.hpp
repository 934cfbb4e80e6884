// A product, finished in registers: what alone reads it is computed before it is stored.
//
//   c = x y + z        c = relu(x y + z)        c = z - r x y        c = x y where z > 0, and 0 elsewhere
//
// The first two are a layer of a network, whose bias z is a row that repeats; the third moves
// weights along a gradient; the last takes a cotangent through a relu, which gave z. They may follow
// one another, each with a z of its own, and a sum over rows after them: of a cotangent, that is the
// gradient of a bias. Of ten examples and layers of 64 numbers, the product alone takes 0.35
// microseconds, and what follows it, in a kernel of its own, 0.05 to 0.2.
//
// A small product is that of every small one (TiledProduct, product.hpp), or many of those, a block of
// rows each. A larger one runs as every matrix product does (matmul.cpp): what follows it would read
// and write c once more, from a cache further away, and where one thread computed what another reads.
// What follows it rounds as the elementwise operations do, and the sum has the order of
// every sum (lanes.hpp), so no bit changes.
#pragma once

#include <vector>

#include "product.hpp"
#include "program.hpp"

namespace minimeta {

class FinishedProduct final : public Kernel {
 public:
  // Operands are the factors x and y, each transposed or not, then a z for each finish, whose rows are
  // contiguous, and with Finish::step the number r, repeated to any shape. A sum is a result more.
  FinishedProduct(bool transpose_x, bool transpose_y, std::vector<Finish> finishes, bool summed, bool keepdims);
  ~FinishedProduct() override;

  bool check(View* operands, Index n, std::vector<View>& results) override;
  void run(char* const* data, Watch* watch) const override;
  bool may_overwrite(Index operand, Index result) const override;

 private:
  template <class T> void run(const std::vector<TiledProduct<T>>& products, char* const* data) const;

  bool transpose_x_, transpose_y_;
  std::vector<Finish> finishes_;
  bool moves_, summed_, keepdims_;  // moves_: a step is taken
  Index rows_ = 0, columns_ = 0, work_ = 0;
  Index x_row_ = 0, steps_[kMostFinishes] = {};  // elements from one row of x, and of each z, to the next
  bool in_one_chain_ = false, is_small_ = false, is_single_ = false;
  Forms forms_;  // of x, y and c, unless the product is small
  std::vector<TiledProduct<float>> single_;  // of a block of rows, and of the rows left
  std::vector<TiledProduct<double>> double_;
};

}  // namespace minimeta

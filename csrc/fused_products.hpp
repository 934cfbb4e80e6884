// Products of a small matrix by a wide one, and elementwise operations on them, a block of columns
// at a time.
//
//   for each block J of columns:
//     c_p[:, J] = x_p y_p[:, J]                                     for each product p
//     for each row i:  v_k[i, J] = f_k(c[i, J], operands[i, J], v_1 ... v_{k-1})  for each operation k
//
// With few terms a product takes less time than writing it to memory and reading it again. Here the
// operations read it where it was just written, in the second-level cache, and only results that
// are needed outside are written to memory: two products are added, a bias follows, and one array
// is written in place of three.
//
// Products are computed by the tiles, in the chains, of every product (product.hpp), and operations
// by the rows of every group (fused.hpp), so no bit changes.
#pragma once

#include <vector>

#include "pairs.hpp"
#include "plan.hpp"
#include "program.hpp"

namespace minimeta {

// Its factors are values by number; a transposed one is read with other strides.
struct FusedProduct {
  int x, y;
  bool transpose_x, transpose_y;
};

// Values are numbered: the operands, the products, then the result of each operation.
class FusedProducts final : public Kernel {
 public:
  FusedProducts(std::vector<FusedProduct> products, std::vector<FusedOperation> operations, std::vector<int> results);

  bool check(View* operands, Index n, std::vector<View>& results) override;
  void run(char* const* data, Watch* watch) const override;

 private:
  // A product, and where its rows begin, in elements: those of x, then those in its buffer.
  struct Part {
    View x, y;
    int operands[2];
    std::vector<Index> rows;
  };
  // Where a value's elements of a row and a block lie: in an operand or a result, or in a buffer.
  struct Location {
    int address;  // of the operand or result; negative: a buffer
    Index row, column;  // bytes from one row, and from one column of the whole, to the next
    Index stride;  // bytes from one element of a block to the next
    Lifetime buffer;
  };
  // An operation, or a pair of them, on values by number; the last one is the result. A row of each
  // begins so many bytes behind the one before.
  struct Command {
    RowKernel kernel;
    int operands, values[5];
    Index strides[5], rows[5];
  };
  class Worker;

  void add_products(std::vector<View>& values);
  void add_operations(std::vector<View>& values);
  void locate(const std::vector<View>& values, Index n);
  void make_commands(const std::vector<View>& values, Index first);
  void plan_buffers(Index n);
  Location& location(int value) { return locations_[static_cast<std::size_t>(value)]; }

  std::vector<FusedProduct> products_;
  std::vector<FusedOperation> operations_;
  std::vector<int> results_;
  std::vector<Part> parts_;
  std::vector<Location> locations_;  // of each value
  std::vector<Command> commands_;
  Index rows_ = 0, columns_ = 0, cost_ = 0;  // cost: of a column, in elements moved
  Index memory_ = 0;  // bytes of a worker's buffers
};

}  // namespace minimeta

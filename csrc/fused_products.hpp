// Products of a small matrix by a wide one, and elementwise operations on them, a block of columns
// at a time.
//
//   for each block J of columns:
//     c_p[:, J] = x_p y_p[:, J]                                     for each product p
//     for each row i:  v_k[i, J] = f_k(c[i, J], operands[i, J], v_1 ... v_{k-1})  for each operation k
//
//     c_p[:, J] = x_p v[:, J]                                       for each product p of a v that was computed
//     c_p += v[:, J] y_p[:, J]^T                                    for each contraction p
//
// With few terms a product takes less time than writing it to memory and reading it again. Here the
// operations read it where it was just written, in the second-level cache, and only results that
// are needed outside are written to memory: two products are added, a bias follows, and one array
// is written in place of three. So do products of what the operations compute, and sums over its
// columns (column_sums.hpp). Several values that those read as one matrix, the first rows of one
// after the last of another, are joined: written to such a matrix.
//
// Products are computed by the tiles, in the chains, of every product (product.hpp), and operations
// by the rows of every group (fused.hpp), so no bit changes.
#pragma once

#include <vector>

#include "column_sums.hpp"
#include "compound.hpp"
#include "plan.hpp"
#include "program.hpp"

namespace minimeta {

// Its factors are values by number; a transposed one is read with other strides.
struct FusedProduct {
  int x, y;
  bool transpose_x, transpose_y;
};

// The sum over the columns of a value.
struct FusedColumnSum {
  int value;
  bool keepdims;
};

// Values are numbered: the operands, the products, the result of each operation, the joined values,
// and the products of what was computed.
struct FusedColumns {
  std::vector<FusedProduct> products;
  std::vector<FusedOperation> operations;
  std::vector<std::vector<int>> joined;
  std::vector<FusedProduct> later;         // y is computed
  std::vector<FusedProduct> contractions;  // x is computed, y is an operand
  std::vector<FusedColumnSum> sums;
  std::vector<int> results;  // values; those of contractions and sums follow
};

class FusedProducts final : public Kernel {
 public:
  explicit FusedProducts(FusedColumns columns);

  bool check(View* operands, Index n, std::vector<View>& results) override;
  void run(char* const* data, Watch* watch) const override;

 private:
  // A product, and where its rows begin, in elements: those of x, then its own.
  struct Part {
    View x, y;
    int values[3];  // x, y and the product
    std::vector<Index> rows;
  };
  // Where a value's elements of a row and a block lie: in an operand or a result, or in a buffer.
  struct Location {
    int address;  // of the operand or result; negative: a buffer
    Index row, column;  // bytes from one row, and from one column of the whole, to the next
    Index stride;  // bytes from one element of a block to the next
    Lifetime buffer;
    int whole;  // the joined value that it is a part of, or negative
    Index place;  // the rows before it there
  };
  // An operation, or several, on values by number; the last one is the result. A row of each
  // begins so many bytes behind the one before.
  struct Command {
    RowKernel kernel;
    int operands, values[kMostOperands + 1];
    Index strides[kMostOperands + 1], rows[kMostOperands + 1];
  };
  // Rows in memory, which are fetched before a block reads or writes them: a block's part of a row is
  // too short, and the next row too far away, for the processor to see where it goes on.
  struct Fetched {
    int address;
    Index rows, row, column;  // bytes from one row, and from one column, to the next
    Index blocks;  // how many ahead a matrix is read; negative: row by row
  };
  class Worker;

  Part part(FusedProduct product, std::vector<View>& values) const;
  void add_products(std::vector<View>& values);
  void add_operations(std::vector<View>& values);
  void add_joined(std::vector<View>& values);
  void locate(const std::vector<View>& values);
  void make_commands(const std::vector<View>& values);
  void make_sums(const std::vector<View>& values, std::vector<View>& results);
  ColumnSums& sums_of(int value, const std::vector<View>& values);
  void list_fetched(const std::vector<View>& values);
  void plan_buffers();
  // What the pieces of a sum leave, behind the results.
  char* pieces(char* const* data, std::size_t i) const {
    return data[static_cast<std::size_t>(operands_) + of_.results.size() + of_.contractions.size() + of_.sums.size() +
                i];
  }
  bool is_operand(int value) const { return 0 <= value && value < operands_; }
  Location& location(int value) { return locations_[static_cast<std::size_t>(value)]; }
  const Location& location(int value) const { return locations_[static_cast<std::size_t>(value)]; }
  FusedColumns of_;
  std::vector<Part> parts_;  // the products, then those of what is computed
  std::vector<Location> locations_;  // of each value
  std::vector<Command> commands_;
  std::vector<Fetched> fetched_;
  std::vector<ColumnSums> sums_;
  Index operands_ = 0, rows_ = 0, columns_ = 0, cost_ = 0;  // cost: of a column, in elements moved
  Index memory_ = 0;  // bytes of a worker's buffers
};

}  // namespace minimeta

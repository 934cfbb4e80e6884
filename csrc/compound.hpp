// Several elementwise operations in one row: f(g(x, ...), h(y, ...), ...), with what is between them
// in registers.
//
// In a block that lies in cache, an addition costs little more than loading its operands and
// storing its result. If operations only feed the next one, a row that computes all of them saves
// their stores and loads, and the calls: Adam moves its parameters in three rows, not in thirteen.
#pragma once

#include <vector>

#include "elementwise.hpp"

namespace minimeta {

// An operation of a group, on values by number.
struct FusedOperation {
  const Function* function;
  std::vector<int> operands;
};

constexpr int kMostOperands = 8;

// An operation, or several, on values by number.
struct RowCommand {
  RowKernel kernel;
  int count, operands[kMostOperands], result;
};

// How the elements of a value lie in a row: one after another, all as one, or in another way.
enum class Layout { dense, repeated, strided };

// One command for each operation, or for several of which each but the last only feeds another. The
// results of the operations are numbered from the number of `layouts` on, which are those of the
// operands; `needed` are the numbers of all values that something else needs as well, once for each
// need.
std::vector<RowCommand> commands_of(const std::vector<FusedOperation>& operations, const std::vector<View>& values,
                                    const std::vector<Layout>& layouts, const std::vector<int>& needed);

}  // namespace minimeta

// Elementwise operations: result[i] = f(x[i], ...) for operands of one shape.
//
// The table lists them all. A function holds one row kernel for each dtype it accepts. The dtype of
// the last operand selects it; the others have the same dtype, except for the leading `masks`,
// which are boolean.
#pragma once

#include <vector>

#include "array.hpp"

namespace minimeta {

// Reads data[0 .. operands-1] with their strides, and writes data[operands], which is contiguous
// and overlaps none of them.
using RowKernel = void (*)(char* const* data, const Index* strides, Index size);

struct Function {
  const char* name;
  int operands;
  int masks;
  bool predicate;  // the result is boolean for operands of any dtype
  int cost;        // of an element, in elements moved
  RowKernel row[kDtypes];
};

const std::vector<Function>& elementwise_functions();

void check_elementwise(const Function& function, const View* operands, View& result);
void run_elementwise(const Function& function, const View* operands, const View& result);

// The length of the contiguous part of x that repeats along leading axes; 0 for any other layout.
Index period(const View& x);

bool all_finite(const View& x);

}  // namespace minimeta

// Pairs of elementwise operations in one row: outer(inner(x, ...), ...), with what is between them in a register.
//
// In a block that lies in cache, an addition costs little more than loading its operands and storing its result. Where
// one operation only feeds the next, a row of both saves one store and one load.
#pragma once

#include "elementwise.hpp"

namespace minimeta {

// The row of outer(..., inner(...), ...), where the inner result is operand `position` of the outer function. Its operands
// are those of the outer one, with those of the inner one at that position. Null for most pairs.
RowKernel row_of_pair(const Function& outer, const Function& inner, int position, Dtype dtype);

}  // namespace minimeta

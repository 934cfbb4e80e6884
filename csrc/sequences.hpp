// Along one axis: running sums, and the order of the elements.
#pragma once

#include "array.hpp"

namespace minimeta {

// result[i] = x[0] + ... + x[i], or x[i] + ... + x[n - 1] in reverse.
void check_cumsum(const View& x, Index axis, View& result);
void run_cumsum(const View& x, Index axis, bool reverse, const View& result);

// The positions (int64) of the elements in increasing order, NaN last; equal elements keep theirs.
void check_order(const View& x, Index axis, View& result);
void run_order(const View& x, Index axis, const View& result);

}  // namespace minimeta

// Along one axis: running sums, the order of the elements, and places in an order.
#pragma once

#include "array.hpp"

namespace minimeta {

// result[i] = x[0] + ... + x[i], or x[i] + ... + x[n - 1] in reverse.
void check_cumsum(const View& x, Index axis, View& result);
void run_cumsum(const View& x, Index axis, bool reverse, const View& result);

// The positions (int64) of the elements in increasing order, NaN last; equal elements keep theirs.
void check_order(const View& x, Index axis, View& result);
void run_order(const View& x, Index axis, const View& result);

// For each element v how many of the sorted numbers are below it; of those equal to it, none or (right) all.
void check_searchsorted(const View& sorted, const View& v, View& result);
void run_searchsorted(const View& sorted, const View& v, bool right, const View& result);

}  // namespace minimeta

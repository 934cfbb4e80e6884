// Integer-array indexing of leading axes and its transpose.
//
//   gather:       result[b, ...] = x[i_0[b], ..., i_{k-1}[b], ...]
//   scatter_add:  result[i_0[b], ..., i_{k-1}[b], ...] += updates[b, ...]   from zeros, b in C order
//
// where b runs over the common shape of the k index arrays (int64, negative from the end). Repeated
// indices accumulate in the order of b, so a sum is always the same sum.
#pragma once

#include "array.hpp"

namespace minimeta {

void check_gather(const View& x, const View* indices, Index k, View& result);
void run_gather(const View& x, const View* indices, Index k, const View& result);

void check_scatter_add(const View& updates, const View* indices, Index k, const Shape& shape, View& result);
void run_scatter_add(const View& updates, const View* indices, Index k, const View& result);

}  // namespace minimeta

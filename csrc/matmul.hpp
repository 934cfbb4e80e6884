// Batched matrix product: result[..., i, j] = sum_p x[..., i, p] y[..., p, j].
#pragma once

#include "array.hpp"

namespace minimeta {

// A transposed factor is the same memory read with other strides; too few axes are left for the check to refuse.
void swap_last_axes(View& matrix);

void check_matmul(const View& x, const View& y, View& result);
void run_matmul(const View& x, const View& y, const View& result);

}  // namespace minimeta

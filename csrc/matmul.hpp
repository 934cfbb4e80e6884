// Batched matrix product: result[..., i, j] = sum_p x[..., i, p] y[..., p, j].
#pragma once

#include "array.hpp"

namespace minimeta {

void check_matmul(const View& x, const View& y, View& result);
void run_matmul(const View& x, const View& y, const View& result);

}  // namespace minimeta

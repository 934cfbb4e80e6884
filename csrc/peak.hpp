// The most multiply-adds that one core can do, for benchmarks to compare kernels with.
#pragma once

#include "array.hpp"

namespace minimeta {

// Rounds of as many independent multiply-adds as keep the units busy, in registers alone; returns
// how many there were.
Index run_multiply_adds(Dtype dtype, Index rounds);

}  // namespace minimeta

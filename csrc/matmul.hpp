// Batched matrix product: result[..., i, j] = sum_p x[..., i, p] y[..., p, j].
#pragma once

#include <memory>

#include "array.hpp"
#include "tile.hpp"

namespace minimeta {

// A transposed factor is the same memory read with other strides; too few axes are left for the
// check to refuse.
void swap_last_axes(View& matrix);

void check_matmul(const View& x, const View& y, View& result);
void run_matmul(const View& x, const View& y, const View& result);

// A product of two matrices, finished (tile.hpp) before it is stored: of at most kGroup chains of
// terms for each element, and of columns side by side, that fill a vector.
template <class T> void run_finished_matmul(const View& x, const View& y, const Finishing<T>* finishing, Index finishes,
                                            const View& result);

// A product of matrices whose shapes and strides are known, wherever they will lie.
class PreparedMatmul {
 public:
  virtual ~PreparedMatmul() = default;
  virtual void run(const char* x, const char* y, char* result) const = 0;
};

// Nothing for a product that takes so long that there is nothing to gain.
std::unique_ptr<PreparedMatmul> prepare_matmul(const View& x, const View& y, const View& result);

}  // namespace minimeta

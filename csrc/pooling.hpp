// Windows on images (N, H, W, C): their maxima and their sums, channel by channel.
//
//   max_cell:        which cell of each window is the first maximum (or NaN)
//   pool_take:       the element at the chosen cell of each window; 0 if that lies on the padding
//   pool_put:        its transpose: each cell gets the sum over the windows that hold it and chose it
//   sum_pool:        the sum of each window's cells on the image
//   sum_pool_input:  its transpose: each cell gets the sum over the windows that hold it
//
// The window whose upper left cell lies at (u s - top, v s - left) on the image gives the result at
// (u, v). Padding is smaller than the window, so every window has a cell on the image; cells
// outside of the image do not count.
//
// The cells of a window are numbered row by row, those on the padding included: in uint8 if all
// numbers fit, else in uint32.
#pragma once

#include "windows.hpp"

namespace minimeta {

struct Pooling : Windows {
  Shape window;  // rows, columns
};

inline Dtype cell_dtype(Index cells) { return cells <= 256 ? Dtype::uint8 : Dtype::uint32; }

void check_max_cell(const View& x, const Pooling& pooling, View& result);
void run_max_cell(const View& x, const Pooling& pooling, const View& result);
// And what pool_take takes from these cells, while they are at hand.
void run_max_cell_and_take(const View& x, const Pooling& pooling, const View& result, const View& taken);

void check_pool_take(const View& x, const View& cell, const Pooling& pooling, View& result);
void run_pool_take(const View& x, const View& cell, const Pooling& pooling, const View& result);

// `size` is that of the images: rows, columns.
void check_pool_put(const View& g, const View& cell, const Pooling& pooling, const Shape& size, View& result);
void run_pool_put(const View& g, const View& cell, const Pooling& pooling, const View& result);

void check_sum_pool(const View& x, const Pooling& pooling, View& result);
void run_sum_pool(const View& x, const Pooling& pooling, const View& result);

void check_sum_pool_input(const View& g, const Pooling& pooling, const Shape& size, View& result);
void run_sum_pool_input(const View& g, const Pooling& pooling, const View& result);

}  // namespace minimeta

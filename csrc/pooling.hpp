// Windows on images (N, H, W, C): their maxima and their sums, channel by channel.
//
//   max_positions:   where in the images, counted in C order, the first maximum (or NaN) of each window is
//   sum_pool:        the sum of each window's cells on the image
//   sum_pool_input:  its transpose: each cell gets the sum over the windows that hold it
//
// The window with its upper left cell on the image's (u s - above, v s - left) gives the result at (u, v). Padding is
// smaller than the window, so that every window has a cell on the image; cells beside the image do not count.
#pragma once

#include "array.hpp"

namespace minimeta {

struct Pooling {
  Shape window, strides;  // of two entries each
  Shape padding;          // above, below, left, right
};

void check_max_positions(const View& x, const Pooling& pooling, View& result);
void run_max_positions(const View& x, const Pooling& pooling, const View& result);

void check_sum_pool(const View& x, const Pooling& pooling, View& result);
void run_sum_pool(const View& x, const Pooling& pooling, const View& result);

// `size` is that of the images: rows, columns.
void check_sum_pool_input(const View& g, const Pooling& pooling, const Shape& size, View& result);
void run_sum_pool_input(const View& g, const Pooling& pooling, const View& result);

}  // namespace minimeta

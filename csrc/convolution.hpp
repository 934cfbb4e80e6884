// Convolution of images (N, H, W, I) by a kernel (kh, kw, I, O), and its two siblings: the three
// partial contractions of
//
//   sum over n, y, x, k, l, i, o of  x[n, sy y + k - top, sx x + l - left, i] * w[k, l, i, o] * g[n, y, x, o]
//
// Padding is zeros around the image.
#pragma once

#include "finishes.hpp"
#include "windows.hpp"

namespace minimeta {

// y = d/dg: (N, H', W', O), of as many positions as the kernel has on the padded image.
void check_conv2d(const View& x, const View& w, const Windows& windows, View& result);
void run_conv2d(const View& x, const View& w, const Windows& windows, const View& result,
                const Finishes& finishes = {});

// x = d/dx, for images of size (H, W).
void check_conv2d_input(const View& g, const View& w, const Windows& windows, const Shape& size, View& result);
void run_conv2d_input(const View& g, const View& w, const Windows& windows, const View& result,
                      const Finishes& finishes = {});

// w = d/dw, for kernels of size (kh, kw).
void check_conv2d_weight(const View& x, const View& g, const Windows& windows, const Shape& size, View& result);
void run_conv2d_weight(const View& x, const View& g, const Windows& windows, const View& result,
                       const Finishes& finishes = {});

}  // namespace minimeta

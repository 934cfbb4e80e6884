// The three forms of a convolution with 3 x 3 taps in fewer multiplications than its definition has.
#pragma once

#include "windows.hpp"

namespace minimeta::winograd {

// Whether it is done sooner so. The number of images has no say: each gives the same bits in any company.
bool fits(const Geometry& f);

void conv2d(const Geometry& f, const View& x, const View& w, const View& result);
void conv2d_input(const Geometry& f, const View& g, const View& w, const View& result);
void conv2d_weight(const Geometry& f, const View& x, const View& g, const View& result);

}  // namespace minimeta::winograd

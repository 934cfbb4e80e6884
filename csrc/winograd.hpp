// The three forms of a convolution with 3 x 3 taps in fewer multiplications than its definition has.
#pragma once

#include <vector>

#include "windows.hpp"

namespace minimeta::winograd {

// Whether it is done sooner so. The number of images has no say: each gives the same bits in any company.
bool fits(const Geometry& f);

// The images that are to be computed by the definition instead, since too many digits were lost, or for a number that is not
// finite. Whether one of them is has to do with that image alone.
std::vector<Index> conv2d(const Geometry& f, const View& x, const View& w, const View& result);
std::vector<Index> conv2d_input(const Geometry& f, const View& g, const View& w, const View& result);
// Whether it was computed so; otherwise all of it is to be by the definition, for the same reasons.
bool conv2d_weight(const Geometry& f, const View& x, const View& g, const View& result);

}  // namespace minimeta::winograd

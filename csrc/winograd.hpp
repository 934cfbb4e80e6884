// The three forms of a convolution with 3 x 3 taps, in fewer multiplications than the definition
// takes.
#pragma once

#include <vector>

#include "windows.hpp"

namespace minimeta::winograd {

// Whether this way is faster. The number of images plays no part, so that an image gives the same
// bits in any batch.
bool fits(const Geometry& f);

// Return the images that must be computed by the definition instead: too many outputs would lose
// digits, or a result is not finite. Each image is judged by itself. Of the second, w or turned(w) is contiguous.
std::vector<Index> conv2d(const Geometry& f, const View& x, const View& w, const View& result);
std::vector<Index> conv2d_input(const Geometry& f, const View& g, const View& w, const View& result);
// Returns false if all of it must be computed by the definition, for the same reasons.
bool conv2d_weight(const Geometry& f, const View& x, const View& g, const View& result);

}  // namespace minimeta::winograd

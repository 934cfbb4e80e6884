// Discrete Fourier transforms, unscaled. A complex number is a pair of real ones: the last axis.
#pragma once

#include "array.hpp"

namespace minimeta {

// y[k] = sum_j x[j] w^(j k), w = exp(-2 pi i / n), along each of the axes; exp(2 pi i / n) for the
// inverse.
void check_fourier(const View& x, const Shape& axes, View& result);
void run_fourier(const View& x, const Shape& axes, bool inverse, const View& result);

// The first n / 2 + 1 numbers of the transform of a real signal, along the last axis.
void check_of_real(const View& x, View& result);
void run_of_real(const View& x, const View& result);

// The real signal of n elements whose transform begins so, times n.
void check_to_real(const View& x, Index n, View& result);
void run_to_real(const View& x, const View& result);

}  // namespace minimeta

// Small linear systems, inverses and determinants, for stacks of matrices.
#pragma once

#include <stdexcept>

#include "array.hpp"

namespace minimeta {

constexpr Index kMostSide = 16;  // of a matrix: larger ones are LAPACK's

// A matrix has no inverse.
struct Singular : std::domain_error {
  using std::domain_error::domain_error;
};

// X with A X = B.
void check_solve(const View& a, const View& b, View& x);
void run_solve(const View& a, const View& b, const View& x);

void check_inv(const View& a, View& inverse);
void run_inv(const View& a, const View& inverse);

void check_det(const View& a, View& determinant);
void run_det(const View& a, const View& determinant);

// The sign of the determinant and the logarithm of its magnitude, along a last axis of 2.
void check_slogdet(const View& a, View& both);
void run_slogdet(const View& a, const View& both);

}  // namespace minimeta

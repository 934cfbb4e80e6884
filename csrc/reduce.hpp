// Reductions over axes, the two softmaxes and argmax.
#pragma once

#include "array.hpp"

namespace minimeta {

enum class Reducer { sum, mean, max, min, norm, logsumexp, variance };

// `axes` increase. Over no axes at all, every element is a sequence of its own.
void check_reduce(const char* operation, Reducer reducer, const View& x, const Shape& axes, bool keepdims,
                  View& result);
void run_reduce(Reducer reducer, const View& x, const Shape& axes, double correction, const View& result);

void check_softmax(const char* operation, const View& x, const Shape& axes, View& result);
void run_softmax(bool logarithm, const View& x, const Shape& axes, const View& result);

void check_argmax(const View& x, Index axis, bool keepdims, View& result);
void run_argmax(const View& x, Index axis, const View& result);

}  // namespace minimeta

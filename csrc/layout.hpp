// Where the elements of an array lie: views (new shape and strides over the same memory), and
// copies that gather a view into contiguous memory, assemble several, or convert the elements.
//
// A view never reaches beyond its operand's memory: each function proves that every element of the
// result is an element of x before it computes a stride.
#pragma once

#include "array.hpp"

namespace minimeta {

// result[i] = x[i], elements of one dtype moved as they are; shapes are equal, strides any.
void copy(const View& x, const View& result);

void broadcast_view(const View& x, const Shape& shape, View& result);
void transpose_view(const View& x, const Shape& axes, View& result);

// result[i] = x[starts + i * steps] for i < sizes, on every axis.
void slice_view(const View& x, const Shape& starts, const Shape& sizes, const Shape& steps, View& result);

// False if the strides of x do not allow the shape; those of a contiguous copy always do.
bool reshape_view(const View& x, const Shape& shape, View& result);

// The transpose of a slice: result[starts + i * steps] = x[i], zero elsewhere.
void check_pad(const View& x, const Shape& shape, const Shape& starts, const Shape& steps, View& result);
void run_pad(const View& x, const Shape& starts, const Shape& steps, const View& result);

void check_concatenate(const View* arrays, Index n, Index axis, View& result);
void run_concatenate(const View* arrays, Index n, Index axis, const View& result);

Dtype dtype_named(const char* operation, const std::string& name);
void convert(const View& x, const View& result);

}  // namespace minimeta

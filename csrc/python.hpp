// Between Python and the kernels: numpy arrays and tuples become Views and Shapes, Views become
// numpy arrays.
//
// This code is most of the cost of an eager operation on a few numbers, so it reads the fields of
// arrays in place, and takes small results straight from numpy's allocator.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "array.hpp"
#include "interruption.hpp"
#include "numpy_memory.hpp"

namespace minimeta {

namespace py = pybind11;

using Api = py::detail::npy_api;

static_assert(sizeof(Py_intptr_t) == sizeof(Index), "shapes and strides pass between numpy and Views as they are");

inline const Api& api() {
  static const Api& api = Api::get();
  return api;
}

// numpy numbers C types, two of which may be one dtype (long, long long). Returns -1 for a type
// that has no kernels.
inline int dtype_of(int type_number) {
  const auto integer = [](std::size_t bytes, Dtype first) {
    return static_cast<int>(first) + (bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3);
  };
  switch (type_number) {
    case Api::NPY_BOOL_: return static_cast<int>(Dtype::boolean);
    case Api::NPY_BYTE_: return integer(1, Dtype::int8);
    case Api::NPY_UBYTE_: return integer(1, Dtype::uint8);
    case Api::NPY_SHORT_: return integer(sizeof(short), Dtype::int8);
    case Api::NPY_USHORT_: return integer(sizeof(short), Dtype::uint8);
    case Api::NPY_INT_: return integer(sizeof(int), Dtype::int8);
    case Api::NPY_UINT_: return integer(sizeof(int), Dtype::uint8);
    case Api::NPY_LONG_: return integer(sizeof(long), Dtype::int8);
    case Api::NPY_ULONG_: return integer(sizeof(long), Dtype::uint8);
    case Api::NPY_LONGLONG_: return integer(sizeof(long long), Dtype::int8);
    case Api::NPY_ULONGLONG_: return integer(sizeof(long long), Dtype::uint8);
    case Api::NPY_FLOAT_: return static_cast<int>(Dtype::float32);
    case Api::NPY_DOUBLE_: return static_cast<int>(Dtype::float64);
    default: return -1;
  }
}

constexpr int kTypeNumbers[kDtypes] = {Api::NPY_BOOL_,   Api::NPY_INT8_,  Api::NPY_INT16_,  Api::NPY_INT32_,
                                       Api::NPY_INT64_,  Api::NPY_UINT8_, Api::NPY_UINT16_, Api::NPY_UINT32_,
                                       Api::NPY_UINT64_, Api::NPY_FLOAT_, Api::NPY_DOUBLE_};

[[noreturn]] inline void reject(const char* operation, const char* argument, const std::string& problem) {
  throw DtypeError(std::string(operation) + ": " + argument + " " + problem);
}

inline void read(View& view, const char* operation, const char* argument, py::handle object) {
  if (!api().PyArray_Check_(object.ptr()))
    reject(operation, argument, std::string("must be a numpy array, not ") + Py_TYPE(object.ptr())->tp_name);
  const auto* array = py::detail::array_proxy(object.ptr());
  const auto* descr = py::detail::array_descriptor_proxy(array->descr);
  const int dtype = dtype_of(descr->type_num);
  if (dtype < 0)
    reject(operation, argument, "has a dtype no kernel knows: " + std::string(py::str(py::handle(array->descr))));
  if (descr->byteorder == '>' || descr->byteorder == '<')
    reject(operation, argument, "must have the native byte order");
  if (!(array->flags & Api::NPY_ARRAY_ALIGNED_)) reject(operation, argument, "must be aligned");
  view.data = array->data;
  view.dtype = static_cast<Dtype>(dtype);
  view.ndim = array->nd;
  for (int d = 0; d < array->nd; ++d) {
    view.shape[d] = array->dimensions[d];
    view.strides[d] = array->dimensions[d] > 1 ? array->strides[d] : 0;
  }
}

// A tuple of integers: a shape, axes, starts, ...
inline void read(Shape& shape, const char* operation, const char* argument, py::handle object) {
  if (!PyTuple_Check(object.ptr()))
    reject(operation, argument, std::string("must be a tuple of integers, not ") + Py_TYPE(object.ptr())->tp_name);
  const Py_ssize_t size = PyTuple_GET_SIZE(object.ptr());
  if (size > kMaxDims)
    throw std::invalid_argument(std::string(operation) + ": " + argument + " has " + std::to_string(size) +
                                " entries, the most is " + std::to_string(kMaxDims));
  shape.ndim = static_cast<int>(size);
  for (Py_ssize_t i = 0; i < size; ++i) {
    shape.size[i] = PyNumber_AsSsize_t(PyTuple_GET_ITEM(object.ptr(), i), PyExc_ValueError);
    if (shape.size[i] == -1 && PyErr_Occurred()) throw py::error_already_set();
  }
}

inline py::object new_array(const View& view, const Py_intptr_t* strides, char* data) {
  PyObject* array = api().PyArray_NewFromDescr_(
      api().PyArray_Type_, api().PyArray_DescrFromType_(kTypeNumbers[static_cast<int>(view.dtype)]), view.ndim,
      reinterpret_cast<const Py_intptr_t*>(view.shape), strides, data, 0, nullptr);
  if (!array) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(array);
}

// Small results, which are asked most often, are told by their number of elements.
inline bool is_worth_a_handler(const View& x) {
  Index elements = 1;
  for (int d = 0; d < x.ndim; ++d) elements *= x.shape[d];
  return elements >= kWorthAHandler / 8 && elements * itemsize(x.dtype) >= kWorthAHandler;
}

inline __attribute__((noinline)) py::object new_array_in_block(const View& view) {
  const InBlocks in_blocks;
  return new_array(view, nullptr, nullptr);
}

inline py::object allocate(View& result) {
  py::object array = is_worth_a_handler(result) ? new_array_in_block(result) : new_array(result, nullptr, nullptr);
  result.data = py::detail::array_proxy(array.ptr())->data;
  return array;
}

// Runs without the interpreter's lock, to the end or until the handler of a signal raises an
// exception.
template <class Run> void without_lock(Run run) {
  try {
    const py::gil_scoped_release release;
    Interruption interruption([] {
      const py::gil_scoped_acquire acquire;
      return PyErr_CheckSignals() != 0;
    });
    const Listening listening(&interruption);
    run();
    if (interruption.was_asked()) throw Interrupted();
  } catch (const Interrupted&) {
    throw py::error_already_set();
  }
}

// A read-only array over the memory of `owner`; it keeps the owner alive.
inline py::object view_of(const View& view, py::handle owner) {
  py::object array = new_array(view, reinterpret_cast<const Py_intptr_t*>(view.strides), view.data);
  if (api().PyArray_SetBaseObject_(array.ptr(), owner.inc_ref().ptr()) < 0) throw py::error_already_set();
  return array;
}

}  // namespace minimeta

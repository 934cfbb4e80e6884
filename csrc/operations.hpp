// The operations that have a kernel: one row each, for the eager call and for the program.
//
//   name, number of operands, make:  parameters -> { check(operands) -> result,  run(operands, result),  work }
//
// `make` reads the parameters once and returns a computation (computation.hpp). An eager call makes
// it on the stack, checks, allocates and runs; a program keeps it as a Kernel (program.hpp). To add
// an operation, add one row to the table in operations.cpp.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "elementwise.hpp"
#include "program.hpp"
#include "python.hpp"
#include "tile.hpp"

namespace minimeta {

class Parameters;

struct Operation {
  const char* name;
  Index operands;  // or kAny
  // Returns the result for n arguments, which are numpy arrays.
  py::object (*call)(Parameters& p, PyObject* const* arguments, Index n);
  std::unique_ptr<Kernel> (*bind)(Parameters& p);
  const Function* function = nullptr;  // if the operation is elementwise
};

constexpr Index kAny = -1;  // one or more

// All rows, and the one of a name; throws if there is none.
const std::vector<Operation>& operations();
const Operation& operation_named(const std::string& name);

// Throws if the operation takes another number of operands.
void require_operands(const Operation& operation, Index n);

// The static parameters of one call, by name: its keywords, or the dict of a program's step. They
// are mostly given in the order in which they are read, so the search for a name begins after the
// last one found.
class Parameters {
 public:
  Parameters(const Operation& operation, PyObject* const* names, PyObject* const* values, Index n)
      : operation_(operation), names_(names), values_(values), n_(n) {}

  const Operation& operation() const { return operation_; }
  const char* name() const { return operation_.name; }

  Shape shape(const char* name) {
    Shape shape{};
    read(shape, operation_.name, name, required(name));
    return shape;
  }
  Index index(const char* name) {
    const Index value = PyNumber_AsSsize_t(required(name), PyExc_ValueError);
    if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
    return value;
  }
  double number(const char* name) {
    const double value = PyFloat_AsDouble(required(name));
    if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
    return value;
  }
  std::string text(const char* name) {
    const char* const value = PyUnicode_AsUTF8(required(name));
    if (!value) throw py::error_already_set();
    return value;
  }
  // False if it is not given.
  bool flag(const char* name) {
    PyObject* const value = find(name);
    const int truth = value ? PyObject_IsTrue(value) : 0;
    if (truth < 0) throw py::error_already_set();
    return truth == 1;
  }

  // Call it after all reads: it throws if a parameter was given that the operation does not have.
  void finish() const;

 private:
  PyObject* find(const char* name) {
    for (Index i = 0; i < n_; ++i) {
      const Index at = next_ + i < n_ ? next_ + i : next_ + i - n_;
      if (PyUnicode_CompareWithASCIIString(names_[at], name) != 0) continue;
      next_ = at + 1 < n_ ? at + 1 : 0;
      ++found_;
      return values_[at];
    }
    return nullptr;
  }
  PyObject* required(const char* name) {
    PyObject* const value = find(name);
    if (!value) reject(operation_.name, name, "is missing");
    return value;
  }

  const Operation& operation_;
  PyObject* const* names_;
  PyObject* const* values_;
  Index n_, next_ = 0, found_ = 0;
};

// The kernel of an operation for a program.
std::unique_ptr<Kernel> bind_kernel(const Operation& operation, Index operands, const py::dict& parameters);

// For programs only: a convolution of that name, and what finishes it.
std::unique_ptr<Kernel> bind_finished_convolution(const std::string& name, const py::dict& parameters,
                                                  std::vector<Finish> finishes);

// For programs only, because it has two results: the number of each window's largest cell, and that
// cell.
std::unique_ptr<Kernel> bind_max_cell_and_take(const py::dict& parameters);

}  // namespace minimeta

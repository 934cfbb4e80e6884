// minimeta._native_LEVEL: operations, programs, threads.
//
// An Operation is a Python object that holds its row (operations.hpp). It is called with numpy
// arrays, and parameters by name. A call on a few numbers takes a few hundred nanoseconds, and
// pybind11's handling of arguments would double that. So the type is written in Python's own C
// interface, and reads its arguments where they lie (PEP 590).
#include "operations.hpp"

#include <structmember.h>

#include <cstddef>
#include <new>

#include "distance.hpp"
#include "elimination.hpp"
#include "layout.hpp"
#include "parallel.hpp"
#include "peak.hpp"

namespace minimeta {

void define_builder(py::module_& m);   // builder.cpp
void define_programs(py::module_& m);  // replay.cpp

namespace {

struct PyOperation {
  PyObject_HEAD vectorcallfunc vectorcall;
  const Operation* row;
};

const Operation& row_of(PyObject* self) { return *reinterpret_cast<PyOperation*>(self)->row; }

void set_error(const Singular& e) {
  const py::object kind = py::module_::import("minimeta.errors").attr("LinearAlgebraError");
  PyErr_SetString(kind.ptr(), e.what());
}

// Raises the C++ exception that is being handled as a Python exception.
void set_python_error() {
  try {
    throw;
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (const DtypeError& e) {
    PyErr_SetString(PyExc_TypeError, e.what());
  } catch (const std::invalid_argument& e) {
    PyErr_SetString(PyExc_ValueError, e.what());
  } catch (const std::out_of_range& e) {
    PyErr_SetString(PyExc_IndexError, e.what());
  } catch (const Singular& e) {
    set_error(e);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
}

PyObject* call(PyObject* self, PyObject* const* arguments, std::size_t flags, PyObject* names) noexcept {
  try {
    const Operation& row = row_of(self);
    const Index n = PyVectorcall_NARGS(flags);
    require_operands(row, n);
    Parameters p(row, names ? PySequence_Fast_ITEMS(names) : nullptr, arguments + n,
                 names ? PyTuple_GET_SIZE(names) : 0);
    return row.call(p, arguments, n).release().ptr();
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

PyObject* name_of(PyObject* self, void*) { return PyUnicode_FromString(row_of(self).name); }

PyObject* repr(PyObject* self) { return PyUnicode_FromFormat("<kernel %s>", row_of(self).name); }

void define_operations(py::module_& m) {
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(PyOperation, vectorcall), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr},
  };
  static PyGetSetDef attributes[] = {
      {"__name__", name_of, nullptr, "The operation's name.", nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("An operation of numpy arrays, with parameters by name.")},
      {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
      {Py_tp_repr, reinterpret_cast<void*>(repr)},
      {Py_tp_members, members},
      {Py_tp_getset, attributes},
      {0, nullptr},
  };
  static const std::string name = py::cast<std::string>(m.attr("__name__")) + ".Operation";
  constexpr unsigned flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  static PyType_Spec spec = {name.c_str(), sizeof(PyOperation), 0, flags, slots};
  const py::object type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  m.attr("Operation") = type;
  for (const Operation& row : operations()) {
    auto* const operation = PyObject_New(PyOperation, reinterpret_cast<PyTypeObject*>(type.ptr()));
    if (!operation) throw py::error_already_set();
    operation->vectorcall = call;
    operation->row = &row;
    m.attr(row.name) = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(operation));
  }
}

void define_machine(py::module_& m) {
  watch_for_forks();
  m.def("set_num_threads", set_max_threads, py::arg("n"), "Use at most n threads for one large operation.");
  m.def("get_num_threads", max_threads, "Return how many threads a large operation may use now.");
  m.def("round_trip", round_trip, "Measure in how many nanoseconds a cache line goes to another thread and back.");
  m.def("kept_bytes", [] { return kept_blocks().kept(); }, "Return how much memory of former results is kept.");
  m.def(
      "multiply_adds",
      [](const std::string& dtype, Index rounds) {
        const Dtype wanted = dtype_named("multiply_adds", dtype);
        if (!is_float(wanted)) throw DtypeError("multiply_adds: dtype must be float32 or float64, not " + dtype);
        return run_multiply_adds(wanted, rounds);
      },
      py::arg("dtype"), py::arg("rounds"), "Rounds of multiply-adds in registers alone, for benchmarks: how many.");
}

void define(py::module_& m) {
  m.doc() = "The kernels of minimeta: numpy arrays in, fresh contiguous arrays (or read-only views) out.";
  py::register_local_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const DtypeError& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    } catch (const Singular& e) {
      set_error(e);
    }
  });
  py::options options;
  options.disable_function_signatures();  // the stub has the types
  define_operations(m);
  define_machine(m);
  define_programs(m);
  define_builder(m);
}

}  // namespace
}  // namespace minimeta

// Levels differ in what is linked with this file (CMakeLists.txt), and Python finds each by its
// module's name.
#if defined(__x86_64__)
PYBIND11_MODULE(_native_v3, m) { minimeta::define(m); }
PYBIND11_MODULE(_native_v4, m) { minimeta::define(m); }
#elif defined(__aarch64__)
PYBIND11_MODULE(_native_arm64, m) { minimeta::define(m); }
#endif

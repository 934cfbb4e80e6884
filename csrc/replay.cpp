// Programs and Calls in Python: see replay.hpp.
#include "replay.hpp"

#include "tree.hpp"

namespace minimeta {
namespace {

// A whole compiled call: takes the arguments apart, runs the program, and puts its outputs
// together.
class PyCall {
 public:
  // A leaf is an array with the operand's shape and dtype, or a Python number of the class in
  // `classes`.
  PyCall(py::object program, const py::object& arguments, const py::object& keywords, const py::tuple& classes,
         const py::object& output)
      : owner_(std::move(program)),
        program_(owner_.cast<const PyProgram&>()),
        arguments_(arguments),
        keywords_(keywords),
        output_(output) {
    for (const py::handle type : classes) classes_.push_back(type.is_none() ? nullptr : type.ptr());
    if (classes_.size() != program_.operands().size()) throw std::invalid_argument("call: another number of leaves");
  }

  bool is_native() const { return arguments_.is_native() && keywords_.is_native() && output_.is_native(); }

  // Returns NotImplemented for arguments of another form, and for arrays that are not contiguous.
  py::object run(const py::tuple& arguments, const py::dict& keywords) const {
    std::vector<py::object> leaves;
    if (!arguments_.take_apart(arguments.ptr(), leaves) || !keywords_.take_apart(keywords.ptr(), leaves))
      return not_implemented();
    std::vector<Number> numbers(leaves.size());
    std::vector<char*> data(leaves.size());
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      PyObject* const leaf = leaves[i].ptr();
      data[i] = classes_[i] ? read_number(leaf, classes_[i], numbers[i]) : read_array(leaf, program_.operands()[i]);
      if (!data[i]) return not_implemented();
    }
    const std::vector<py::object> outputs = program_.run(data);
    const py::object* next = outputs.data();
    return output_.put_together(next);
  }

 private:
  union Number {
    bool truth;
    std::int64_t integer;
    double real;
  };

  static py::object not_implemented() { return py::reinterpret_borrow<py::object>(Py_NotImplemented); }

  static char* read_number(PyObject* leaf, PyObject* type, Number& number) {
    if (reinterpret_cast<PyObject*>(Py_TYPE(leaf)) != type) return nullptr;
    if (PyFloat_CheckExact(leaf)) {
      number.real = PyFloat_AS_DOUBLE(leaf);
    } else if (PyBool_Check(leaf)) {
      number.truth = leaf == Py_True;
    } else {
      int overflow = 0;
      number.integer = PyLong_AsLongLongAndOverflow(leaf, &overflow);
      if (overflow) return nullptr;
    }
    return reinterpret_cast<char*>(&number);
  }

  static char* read_array(PyObject* leaf, const View& wanted) {
    if (Py_TYPE(leaf) != reinterpret_cast<PyTypeObject*>(api().PyArray_Type_)) return nullptr;
    const auto* array = py::detail::array_proxy(leaf);
    const auto* descr = py::detail::array_descriptor_proxy(array->descr);
    constexpr int plain = Api::NPY_ARRAY_C_CONTIGUOUS_ | Api::NPY_ARRAY_ALIGNED_;
    const bool fits = (array->flags & plain) == plain && descr->byteorder != '>' && descr->byteorder != '<' &&
                      dtype_of(descr->type_num) == static_cast<int>(wanted.dtype) && array->nd == wanted.ndim &&
                      std::equal(array->dimensions, array->dimensions + array->nd, wanted.shape);
    return fits ? array->data : nullptr;
  }

  py::object owner_;
  const PyProgram& program_;
  PyTree arguments_, keywords_, output_;
  std::vector<PyObject*> classes_;  // builtin types, which are never freed
};

}  // namespace

void define_programs(py::module_& m) {
  using py::arg;
  // Each level of instructions defines the same names, so its classes must be local to the module.
  py::class_<PyProgram>(m, "Program", py::module_local(), "A list of kernels, replayed.")
      .def_property_readonly("instructions", &PyProgram::instructions)
      .def_property_readonly("arena_bytes", &PyProgram::arena_bytes)
      .def("run", py::overload_cast<const py::list&>(&PyProgram::run, py::const_), arg("operands"),
           "Return fresh outputs for contiguous operands.")
      .def(
          "watch", &PyProgram::watch, arg("operands"), arg("check_finite"),
          "Return outputs, nanoseconds of each step and of the steps of its body, and the path to what is not finite.");
  py::class_<PyCall>(m, "Call", py::module_local(), "A program with the structures of its arguments and its output.")
      .def(py::init<py::object, const py::object&, const py::object&, const py::tuple&, const py::object&>(),
           arg("program"), arg("arguments"), arg("keywords"), arg("classes"), arg("output"))
      .def_property_readonly("is_native", &PyCall::is_native, "Whether C++ can take all trees apart, without Python.")
      .def("__call__", &PyCall::run, arg("arguments"), arg("keywords"),
           "Return the output, or NotImplemented for arguments and keywords of another form.");
}

}  // namespace minimeta

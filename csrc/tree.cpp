// Walking through trees of Python objects: see tree.hpp.
#include "tree.hpp"

#include <algorithm>

namespace minimeta {
namespace {

bool equal(PyObject* a, PyObject* b) {
  if (a == b) return true;
  if (Py_TYPE(a) != Py_TYPE(b)) return false;
  const int truth = PyObject_RichCompareBool(a, b, Py_EQ);
  if (truth < 0) throw py::error_already_set();
  return truth == 1;
}

// Whether instances hold attributes and nothing else: `object` is the only builtin class among the
// bases.
bool is_of_attributes(PyTypeObject* type) {
  while (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) type = type->tp_base;
  return type == &PyBaseObject_Type;
}

// A new instance, made by the builtin base alone: no __new__ or __init__ of the class itself runs.
py::object instance(PyTypeObject& base, const py::object& type, const py::tuple& arguments) {
  const py::object made = py::reinterpret_steal<py::object>(
      base.tp_new(reinterpret_cast<PyTypeObject*>(type.ptr()), arguments.ptr(), nullptr));
  if (!made) throw py::error_already_set();
  return made;
}

}  // namespace

PyTree::PyTree(const py::handle& structure) {
  const py::object kind = structure.attr("kind");
  keys_ = structure.attr("keys");
  type_ = kind;
  const auto is = [&](PyTypeObject& type) { return kind.ptr() == reinterpret_cast<PyObject*>(&type); };
  const auto is_subclass = [&](PyTypeObject& type) {
    return PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(kind.ptr()), &type) != 0;
  };
  if (py::len(structure.attr("static")) > 0)
    kind_ = Kind::foreign;
  else if (kind.is_none())
    kind_ = Kind::empty;
  else if (!PyType_Check(kind.ptr()))
    kind_ = kind.equal(py::str("static")) ? Kind::fixed : Kind::leaf;
  else if (is(PyTuple_Type))
    kind_ = Kind::tuple;
  else if (is(PyList_Type))
    kind_ = Kind::list;
  else if (is(PyDict_Type))
    kind_ = Kind::dict;
  else if (is_subclass(PyTuple_Type) && py::hasattr(kind, "_fields"))
    kind_ = Kind::named_tuple;
  else
    kind_ = is_of_attributes(reinterpret_cast<PyTypeObject*>(kind.ptr())) ? Kind::dataclass : Kind::foreign;
  for (const py::handle child : structure.attr("children")) children_.emplace_back(child);
}

bool PyTree::is_native() const {
  return kind_ != Kind::foreign &&
         std::all_of(children_.begin(), children_.end(), [](const PyTree& child) { return child.is_native(); });
}

bool PyTree::take_apart(PyObject* tree, std::vector<py::object>& leaves) const {
  if (kind_ == Kind::leaf) {  // the caller judges what it may be
    leaves.push_back(py::reinterpret_borrow<py::object>(tree));
    return true;
  }
  if (kind_ == Kind::empty) return tree == Py_None;
  if (kind_ == Kind::fixed) return tree == PyTuple_GET_ITEM(keys_.ptr(), 0);
  if (reinterpret_cast<PyObject*>(Py_TYPE(tree)) != type_.ptr()) return false;
  const Py_ssize_t size = static_cast<Py_ssize_t>(children_.size());
  switch (kind_) {
    case Kind::tuple:
    case Kind::named_tuple:
      if (PyTuple_GET_SIZE(tree) != size) return false;
      for (Py_ssize_t i = 0; i < size; ++i)
        if (!children_[static_cast<std::size_t>(i)].take_apart(PyTuple_GET_ITEM(tree, i), leaves)) return false;
      return true;
    case Kind::list:
      if (PyList_GET_SIZE(tree) != size) return false;
      for (Py_ssize_t i = 0; i < size; ++i)
        if (!children_[static_cast<std::size_t>(i)].take_apart(PyList_GET_ITEM(tree, i), leaves)) return false;
      return true;
    case Kind::dict: {
      if (PyDict_GET_SIZE(tree) != size) return false;
      PyObject *key, *value;
      Py_ssize_t position = 0;
      for (Py_ssize_t i = 0; PyDict_Next(tree, &position, &key, &value); ++i)
        if (!equal(key, PyTuple_GET_ITEM(keys_.ptr(), i)) ||
            !children_[static_cast<std::size_t>(i)].take_apart(value, leaves))
          return false;
      return true;
    }
    case Kind::dataclass:
      for (Py_ssize_t i = 0; i < size; ++i) {
        const py::object child =
            py::reinterpret_steal<py::object>(PyObject_GetAttr(tree, PyTuple_GET_ITEM(keys_.ptr(), i)));
        if (!child) throw py::error_already_set();
        if (!children_[static_cast<std::size_t>(i)].take_apart(child.ptr(), leaves)) return false;
      }
      return true;
    default: return false;
  }
}

py::object PyTree::put_together(const py::object*& leaves) const {
  if (kind_ == Kind::leaf) return *leaves++;
  if (kind_ == Kind::empty) return py::none();
  const auto key = [&](std::size_t i) { return PyTuple_GET_ITEM(keys_.ptr(), static_cast<Py_ssize_t>(i)); };
  if (kind_ == Kind::dict) {
    py::dict entries;
    for (std::size_t i = 0; i < children_.size(); ++i) entries[py::handle(key(i))] = children_[i].put_together(leaves);
    return std::move(entries);
  }
  if (kind_ == Kind::dataclass) {
    py::object made = instance(PyBaseObject_Type, type_, py::tuple());
    for (std::size_t i = 0; i < children_.size(); ++i)  // the class's own __setattr__ may refuse
      if (PyObject_GenericSetAttr(made.ptr(), key(i), children_[i].put_together(leaves).ptr()) != 0)
        throw py::error_already_set();
    return made;
  }
  if (kind_ == Kind::list) {
    py::list items(children_.size());
    for (std::size_t i = 0; i < children_.size(); ++i)
      PyList_SET_ITEM(items.ptr(), static_cast<Py_ssize_t>(i), children_[i].put_together(leaves).release().ptr());
    return std::move(items);
  }
  py::tuple items(children_.size());
  for (std::size_t i = 0; i < children_.size(); ++i)
    PyTuple_SET_ITEM(items.ptr(), static_cast<Py_ssize_t>(i), children_[i].put_together(leaves).release().ptr());
  return kind_ == Kind::tuple ? py::object(std::move(items)) : instance(PyTuple_Type, type_, py::make_tuple(items));
}

}  // namespace minimeta

// A Builder in Python: see replay.hpp.
//
// Values are numbered as they are added, operands and results of steps alike. What a step's kernel is
// made of, besides its operands, is its kind: steps of one kind may share a kernel.
#include <pybind11/stl.h>

#include <tuple>
#include <utility>

#include "callback.hpp"
#include "elimination.hpp"
#include "finished_product.hpp"
#include "fused.hpp"
#include "fused_products.hpp"
#include "layout.hpp"
#include "map.hpp"
#include "operations.hpp"
#include "replay.hpp"

namespace minimeta {
namespace {

class PyBuilder {
 public:
  PyBuilder(bool reuse_memory, bool poison) : options_{reuse_memory, poison} {}

  bool reuse_memory() const { return options_.reuse_memory; }
  bool poison() const { return options_.poison; }
  Index steps() const { return builder_.steps(); }

  Index last_side(Index value) const { return builder_.last_side(value); }

  Index add_operand(const std::string& dtype, py::handle sides) {
    Shape shape;
    read(shape, "program", "shape", sides);
    return builder_.add_operand(dtype_named("program", dtype), shape);
  }

  Index add_constant(const py::object& array) {
    View view;
    read(view, "program", "a constant", array);
    constants_.push_back(array);
    return builder_.add_constant(view);
  }

  py::tuple add_step(const std::string& name, const py::tuple& operands, const py::dict& parameters) {
    const std::vector<Index> values = numbers(operands);
    const auto make = [&] { return bind_kernel(operation_named(name), static_cast<Index>(values.size()), parameters); };
    return tuple(builder_.add_step(make, values, kind(py::make_tuple(name, py::tuple(parameters.attr("items")())))));
  }

  py::tuple add_max_cell_and_take(Index image, const py::dict& parameters) {
    return tuple(builder_.add_step([&] { return bind_max_cell_and_take(parameters); }, {image}));
  }

  Index concatenate_in_place(const py::tuple& parts, Index axis) {
    return builder_.concatenate_in_place(numbers(parts), axis);
  }

  Index with_contiguous_parts(Index value, bool whole) { return builder_.with_contiguous_parts(value, whole); }

  py::tuple own(const py::tuple& outputs) { return tuple(builder_.own(numbers(outputs))); }

  // Forms are (dtype, shape).
  py::tuple add_call(const py::object& function, const py::tuple& operands, const py::tuple& forms) {
    std::vector<View> results;
    for (const py::handle form : forms) {
      const auto [dtype, sides] = py::cast<std::pair<std::string, py::object>>(form);
      Shape shape;
      read(shape, "call", "shape", sides);
      describe(results.emplace_back(), "call", dtype_named("call", dtype), shape.ndim, shape.size);
    }
    const std::size_t size = results.size();
    const auto make = [&] { return std::make_unique<Callback>(function, std::move(results)); };
    return first_of(builder_.add_step(make, numbers(operands)), size);
  }

  // Puts are (g, cell, rows and columns of a window); operations are (name, numbers of values); sums
  // are (value, number of leading axes, is a mean, keepdims); far are the results that become parts of
  // arrays that no cache holds.
  py::tuple add_fused(const py::tuple& operands, const py::tuple& operations, const py::tuple& values,
                      const py::tuple& sums, const py::tuple& far, const py::tuple& puts) {
    const auto functions = functions_of(operations);
    const auto folds = rows<FusedSum, int, int, bool, bool>(sums);
    const auto windows = rows<FusedPut, int, int, Index, Index>(puts);
    const auto make = [&] { return std::make_unique<Fused>(windows, functions, ints(values), folds, ints(far)); };
    const Index same = kind(py::make_tuple(operations, values, sums, far, puts));
    return first_of(builder_.add_step(make, numbers(operands), same), values.size() + sums.size());
  }

  // Each z needs contiguous rows; after that of a step comes its rate.
  py::tuple add_finished_product(const py::tuple& factors, bool transpose_x, bool transpose_y, const py::tuple& others,
                                 const py::tuple& finishes, bool summed, bool keepdims) {
    std::vector<Finish> all = finishes_named(finishes);
    std::vector<Index> operands = numbers(factors), rest = numbers(others);
    for (std::size_t k = 0; k < rest.size(); ++k)
      operands.push_back(k < all.size() ? builder_.with_contiguous_parts(rest[k], false) : rest[k]);
    const Index same = kind(py::make_tuple("finished_product", transpose_x, transpose_y, finishes, summed, keepdims));
    const auto make = [&] {
      return std::make_unique<FinishedProduct>(transpose_x, transpose_y, std::move(all), summed, keepdims);
    };
    return tuple(builder_.add_step(make, operands, same));
  }

  // Each z needs to be contiguous; after that of a step comes its rate.
  py::tuple add_finished_convolution(const std::string& name, const py::tuple& factors, const py::dict& parameters,
                                     const py::tuple& others, const py::tuple& finishes) {
    std::vector<Finish> all = finishes_named(finishes);
    std::vector<Index> operands = numbers(factors), rest = numbers(others);
    for (std::size_t k = 0; k < rest.size(); ++k)
      operands.push_back(k < all.size() ? builder_.with_contiguous_parts(rest[k], true) : rest[k]);
    const Index same = kind(py::make_tuple(name, py::tuple(parameters.attr("items")()), finishes));
    const auto make = [&] { return bind_finished_convolution(name, parameters, std::move(all)); };
    return tuple(builder_.add_step(make, operands, same));
  }

  // Products, later ones and contractions are (value x, value y, is x transposed, is y); joined are
  // values; sums are (value, keepdims).
  py::tuple add_fused_products(const py::tuple& operands, const py::tuple& products, const py::tuple& operations,
                               const py::tuple& joined, const py::tuple& later, const py::tuple& contractions,
                               const py::tuple& sums, const py::tuple& values) {
    const auto factors = [](const py::tuple& table) { return rows<FusedProduct, int, int, bool, bool>(table); };
    FusedColumns columns{factors(products), functions_of(operations), {},
                         factors(later),    factors(contractions),    rows<FusedColumnSum, int, bool>(sums),
                         ints(values)};
    for (const py::handle parts : joined) columns.joined.push_back(ints(parts));
    const auto make = [&] { return std::make_unique<FusedProducts>(std::move(columns)); };
    const Index same = kind(py::make_tuple(products, operations, joined, later, contractions, sums, values));
    return first_of(builder_.add_step(make, numbers(operands), same),
                    values.size() + contractions.size() + sums.size());
  }

  // Takes the steps out of the body, and returns the number under which `add_map` knows it, and its memory.
  std::pair<std::size_t, Index> add_body(PyBuilder& body, const py::tuple& outputs, const py::tuple& summed) {
    constants_.insert(constants_.end(), body.constants_.begin(), body.constants_.end());
    bodies_.push_back(
        std::make_shared<const Program>(std::exchange(body.builder_, {}), numbers(outputs), truths(summed), options_));
    return {bodies_.size() - 1, bodies_.back()->arena_bytes()};
  }

  py::tuple add_map(std::size_t body, const py::tuple& operands, const py::tuple& mapped, const py::tuple& summed,
                    Index count, Index groups, bool in_turns) {
    const auto make = [&] {
      return std::make_unique<Map>(bodies_.at(body), truths(mapped), truths(summed), count, groups, in_turns);
    };
    return first_of(builder_.add_step(make, numbers(operands)), summed.size());
  }

  // Takes the steps out of the builder.
  std::unique_ptr<PyProgram> build(const py::tuple& outputs) {
    return std::make_unique<PyProgram>(std::exchange(builder_, {}), std::exchange(constants_, {}), numbers(outputs),
                                       options_);
  }

 private:
  // The number of a kind of step: of what its kernel is made of, besides the operands.
  Index kind(const py::tuple& of) { return py::cast<Index>(kinds_.attr("setdefault")(of, kinds_.size())); }
  static std::vector<int> ints(const py::handle values) { return py::cast<std::vector<int>>(values); }
  static std::vector<FusedOperation> functions_of(const py::tuple& operations) {
    std::vector<FusedOperation> functions;
    for (const py::handle row : operations) {
      const auto [name, inputs] = py::cast<std::pair<std::string, std::vector<int>>>(row);
      const Function* const function = operation_named(name).function;
      if (!function) throw std::invalid_argument("fused: " + name + " is not elementwise");
      functions.push_back({function, inputs});
    }
    return functions;
  }
  static std::vector<Finish> finishes_named(const py::tuple& names) {
    std::vector<Finish> finishes;
    for (const py::handle each : names) {
      const auto name = py::cast<std::string>(each);
      finishes.push_back(name == "add"    ? Finish::add
                         : name == "relu" ? Finish::add_relu
                         : name == "mask" ? Finish::mask
                                          : Finish::step);
    }
    return finishes;
  }
  template <class Row, class... Parts> static std::vector<Row> rows(const py::tuple& table) {
    std::vector<Row> rows;
    for (const py::handle row : table)
      rows.push_back(std::apply([](auto... part) { return Row{part...}; }, py::cast<std::tuple<Parts...>>(row)));
    return rows;
  }
  static std::vector<Index> numbers(const py::tuple& values) { return py::cast<std::vector<Index>>(values); }
  static py::tuple tuple(const std::vector<Index>& values) { return first_of(values, values.size()); }
  static py::tuple first_of(const std::vector<Index>& values, std::size_t size) {
    py::tuple first(size);
    for (std::size_t i = 0; i < size; ++i) first[i] = values[i];
    return first;
  }
  static std::vector<bool> truths(const py::tuple& values) { return py::cast<std::vector<bool>>(values); }

  Options options_;
  Builder builder_;
  std::vector<py::object> constants_;
  py::dict kinds_;
  std::vector<std::shared_ptr<const Program>> bodies_;
};

}  // namespace

void define_builder(py::module_& m) {
  using py::arg;
  py::class_<PyBuilder>(m, "Builder", py::module_local(),
                        "Collects the values and steps of a program; values are numbered as they are added.")
      .def(py::init<bool, bool>(), arg("reuse_memory"), arg("poison"))
      .def_property_readonly("reuse_memory", &PyBuilder::reuse_memory)
      .def_property_readonly("poison", &PyBuilder::poison)
      .def_property_readonly("steps", &PyBuilder::steps)
      .def("last_side", &PyBuilder::last_side, arg("value"), "Return how long the last axis of a value is.")
      .def("add_operand", &PyBuilder::add_operand, arg("dtype"), arg("shape"))
      .def("add_constant", &PyBuilder::add_constant, arg("array"), "Add an array that nobody writes to.")
      .def("add_step", &PyBuilder::add_step, arg("name"), arg("operands"), arg("parameters"),
           "Add the kernel of a primitive; return its results.")
      .def("add_max_cell_and_take", &PyBuilder::add_max_cell_and_take, arg("image"), arg("parameters"),
           "Add the number of each window's largest cell, and that cell.")
      .def("concatenate_in_place", &PyBuilder::concatenate_in_place, arg("parts"), arg("axis"),
           "Concatenate results of steps, each written there by its own step.")
      .def("with_contiguous_parts", &PyBuilder::with_contiguous_parts, arg("value"), arg("whole"),
           "Return the value, or a copy that is contiguous as a whole or along the axes after the first.")
      .def("own", &PyBuilder::own, arg("outputs"), "Return the outputs, copied where they share memory.")
      .def("add_call", &PyBuilder::add_call, arg("function"), arg("operands"), arg("forms"),
           "Add a function of a list of arrays that returns a tuple of arrays of these dtypes and shapes.")
      .def("add_fused", &PyBuilder::add_fused, arg("operands"), arg("operations"), arg("values"), arg("sums"),
           arg("far") = py::tuple(), arg("puts") = py::tuple(),
           "Add elementwise operations in one pass; return the named results, and sums over leading axes.")
      .def("add_finished_product", &PyBuilder::add_finished_product, arg("factors"), arg("transpose_x"),
           arg("transpose_y"), arg("others"), arg("finishes"), arg("summed"), arg("keepdims"),
           "Add a small product and what follows it, one after another: add, relu, step, mask; then a sum over rows.")
      .def("add_finished_convolution", &PyBuilder::add_finished_convolution, arg("name"), arg("factors"),
           arg("parameters"), arg("others"), arg("finishes"),
           "Add a form of a convolution and what follows it, one after another: add, step, mask.")
      .def("add_fused_products", &PyBuilder::add_fused_products, arg("operands"), arg("products"), arg("operations"),
           arg("joined"), arg("later"), arg("contractions"), arg("sums"), arg("values"),
           "Add products, operations on them, and products and sums over columns of what those compute.")
      .def("add_body", &PyBuilder::add_body, arg("body"), arg("outputs"), arg("summed"),
           "Add a program for maps to run; return its number, and the bytes of its arena.")
      .def("add_map", &PyBuilder::add_map, arg("body"), arg("operands"), arg("mapped"), arg("summed"), arg("count"),
           arg("groups"), arg("in_turns"),
           "Add a body, by its number, that runs for every index of the mapped operands.")
      .def("build", &PyBuilder::build, arg("outputs"));
  m.attr("FAR_BYTES") = fusion::kFarBytes;
  m.attr("MOST_SIDE") = kMostSide;
  m.attr("FUSED_BLOCK") = fusion::kBlockElements;
  m.attr("FUSED_WIDTH") = fusion::kMostSums;
  m.attr("FUSED_VALUES") = fusion::kMostValues;
}

}  // namespace minimeta

// Programs in Python: a Builder collects the steps, a Program replays their kernels, and a Call
// does it for whole trees.
//
//   Builder   operands, constants and steps, one by one    -> the numbers of values    (builder.cpp)
//   Program   a list of arrays                             -> a list of fresh arrays
//   Call      arguments and keywords of a known form       -> the output, without Python in between
//
// A Program holds the interpreter's lock while it reads operands and allocates outputs, and
// releases it while it runs.
#pragma once

#include <pybind11/stl.h>

#include <algorithm>
#include <utility>

#include "program.hpp"
#include "python.hpp"

namespace minimeta {

// A program, and the arrays that own the memory of its constants.
class PyProgram {
 public:
  PyProgram(Builder builder, std::vector<py::object> constants, const std::vector<Index>& outputs,
            const Options& options)
      : constants_(std::move(constants)),
        program_(std::move(builder), outputs, std::vector<bool>(outputs.size()), options) {
    for (const View& y : program_.outputs()) output_bytes_ += count(y) * itemsize(y.dtype);
  }

  Index instructions() const { return program_.instructions(); }
  Index arena_bytes() const { return program_.arena_bytes(); }
  const std::vector<View>& operands() const { return program_.operands(); }

  // Returns fresh outputs; `data` holds the addresses of the operands.
  std::vector<py::object> run(const std::vector<char*>& data, Watch* watch = nullptr) const {
    const Program::Run run(program_);
    for (std::size_t i = 0; i < data.size(); ++i) run.set_operand(i, data[i]);
    std::vector<py::object> results = allocated(run);
    without_lock([&] { run.replay(watch); });
    return results;
  }

  py::list run(const py::list& arrays) const { return run(arrays, nullptr); }

  // Returns the outputs, the time of each step, and with `check_finite` the path to the first
  // result that is not finite.
  py::tuple watch(const py::list& arrays, bool check_finite) const {
    Watch watch(program_, check_finite);
    try {
      const py::list outputs = run(arrays, &watch);
      return py::make_tuple(outputs, times(watch), py::list());
    } catch (const NonFinite& found) {
      py::list path;
      for (const Index i : found.path) path.append(i);
      return py::make_tuple(py::list(), times(watch), path);
    }
  }

 private:
  std::vector<py::object> allocated(const Program::Run& run) const {
    const InBlocks in_blocks(output_bytes_ >= kWorthAHandler);
    std::vector<py::object> results;
    for (std::size_t j = 0; j < program_.outputs().size(); ++j) {
      View result = program_.outputs()[j];
      results.push_back(allocate(result));
      run.set_output(j, result.data);
    }
    return results;
  }

  static py::list times(const Watch& watch) {
    py::list rows;
    for (std::size_t i = 0; i < watch.bodies.size(); ++i)
      rows.append(py::make_tuple(watch.nanoseconds[i].load(),
                                 watch.bodies[i] ? py::object(times(*watch.bodies[i])) : py::object(py::none())));
    return rows;
  }

  py::list run(const py::list& arrays, Watch* watch) const {
    const std::vector<View>& wanted = program_.operands();
    if (arrays.size() != wanted.size())
      throw std::invalid_argument("program: " + std::to_string(wanted.size()) + " operands, not " +
                                  std::to_string(arrays.size()));
    std::vector<char*> data;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      View x;
      read(x, "program", "an operand", arrays[i]);
      require_same_dtype("program", x, wanted[i]);
      require_same_shape("program", x, wanted[i]);
      require(count(x) == 0 || std::equal(x.strides, x.strides + x.ndim, wanted[i].strides), "program",
              "operands must be contiguous");
      data.push_back(x.data);
    }
    py::list results;
    for (const py::object& y : run(data, watch)) results.append(y);
    return results;
  }

  std::vector<py::object> constants_;
  Program program_;
  Index output_bytes_ = 0;
};

}  // namespace minimeta

// A step of a program that Python computes.
#pragma once

#include <utility>
#include <vector>

#include "layout.hpp"
#include "program.hpp"
#include "python.hpp"

namespace minimeta {

// A function of a list of arrays, which returns arrays of the described forms. The list's arrays are
// its own. Memory of which it keeps none is filled again in the next run, as new memory costs more
// than what is copied to it.
class Callback final : public Kernel {
 public:
  Callback(py::object function, std::vector<View> results)
      : function_(std::move(function)), results_(std::move(results)) {}

  bool check(View* operands, Index n, std::vector<View>& results) override {
    operands_.assign(operands, operands + n);
    for (View& x : operands_) {
      forms_.add(x);
      describe(x, "call", x.dtype, x);
    }
    results.insert(results.end(), results_.begin(), results_.end());
    return false;
  }

  void run(char* const* data, Watch*) const override {
    const py::gil_scoped_acquire acquire;
    std::vector<py::object> memory = std::exchange(idle_, {});  // Another run at the same time has its own.
    memory.resize(operands_.size());
    {
      py::list arguments;
      for (std::size_t i = 0; i < operands_.size(); ++i) {
        View from, to = operands_[i];
        if (!memory[i]) memory[i] = allocate(to);
        to.data = static_cast<char*>(py::detail::array_proxy(memory[i].ptr())->data);
        forms_.fill(from, i, data[i]);
        copy(from, to);
        arguments.append(memory[i].attr("view")());
      }
      store(function_(arguments), data + operands_.size());
    }
    for (py::object& array : memory)
      if (array.ref_count() > 1) array = {};
    idle_ = std::move(memory);
  }

 private:
  void store(const py::tuple& answer, char* const* data) const {
    for (std::size_t j = 0; j < results_.size(); ++j) {
      View from, to = results_[j];
      read(from, "call", "a result", answer[j]);
      require_same_dtype("call", from, to);
      require_same_shape("call", from, to);
      to.data = data[j];
      copy(from, to);
    }
  }

  py::object function_;
  std::vector<View> operands_, results_;
  Forms forms_;
  mutable std::vector<py::object> idle_;  // memory for the operands
};

}  // namespace minimeta

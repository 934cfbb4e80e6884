// From an instruction to a kernel that a program can run.
//
//   name, parameters  ->  check(operands) -> result,    run(operands, result)
//
// Where a function of module.cpp reads its parameters, checks and runs at every call, here parameters are read once, and
// check and run are kept: what a Kernel (program.hpp) is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "elementwise.hpp"
#include "program.hpp"
#include "python.hpp"

namespace minimeta {

// The kernel of a primitive for so many operands. Refused are a name that there is none of, another number of operands
// than it takes, and parameters that are missing.
std::unique_ptr<Kernel> bind_kernel(const std::string& name, std::size_t operands, const py::dict& parameters);

// The value that is a primitive's result already, or is put together without a step of its own; -1 if there is none.
Index find_result(Builder& builder, const std::string& name, const std::vector<Index>& operands, const py::dict& parameters);

const Function& elementwise_function(const std::string& name);

}  // namespace minimeta

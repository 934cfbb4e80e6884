// Where values lie that share one block of memory.
//
// Two values may overlap if no step needs both. The planner places the largest values first, each
// into the smallest gap that it fits, between the values placed before it that live at the same
// time (Pisarchyk and Lee, arXiv:2001.03288, "greedy by size"). It serves the temporaries of a
// program (program.cpp) and the buffers of a group of elementwise operations (fused.cpp).
#pragma once

#include <vector>

#include "array.hpp"

namespace minimeta {

constexpr Index kAlignment = 64;  // bytes in a cache line, and in the widest vector

inline Index aligned(Index bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

struct Lifetime {
  Index bytes;        // a multiple of kAlignment
  Index first, last;  // when it is first written, and last read
  Index offset;       // set by the plan
};

// Sets the offsets and returns the size of the memory. Without `reuse` no two values overlap. A
// step's result never overlaps its operands, because a kernel may not write where it reads.
Index plan(const std::vector<Lifetime*>& values, bool reuse);

}  // namespace minimeta

// Where values lie that share one block of memory.
//
// Two values may overlap if they are never needed at the same time. The largest are placed first, each into the smallest
// gap that it fits between those already placed that are alive at the same time (Pisarchyk and Lee, arXiv:2001.03288,
// "greedy by size"). Programs place their temporaries so (program.cpp), and a group of elementwise operations its
// buffers (fused.cpp).
#pragma once

#include <vector>

#include "array.hpp"

namespace minimeta {

constexpr Index kAlignment = 64;  // bytes of a cache line, and of the widest vector

inline Index aligned(Index bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

struct Lifetime {
  Index bytes;        // a multiple of kAlignment
  Index first, last;  // when it is written, when it is last read
  Index offset;       // the plan's answer
};

// Sets the offsets and returns the size of the memory. Without `reuse` no two values overlap. A step's result is alive
// together with the step's operands, since kernels may not write where they read.
Index plan(const std::vector<Lifetime*>& values, bool reuse);

}  // namespace minimeta

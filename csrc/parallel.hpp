// One loop over independent pieces of work, on several threads: the only file that names OpenMP.
//
//   parallel_for(n, work, body)   body(first, last) for ranges that cover [0, n) once
//
// `work` is what the whole loop costs, in multiply-adds or elements; little work stays on the calling thread, since
// waking another takes a microsecond or two. A body writes outputs of its own range and must give the same bits for any
// split, so the number of threads is never seen in a result. What a body throws is thrown on to the caller.
#pragma once

#include "array.hpp"

namespace minimeta {

template <class Body> void parallel_for(Index n, Index work, const Body& body) {
  (void)work;
  if (n > 0) body(Index{0}, n);
}

}  // namespace minimeta

// One loop over independent pieces of work, on several threads (team.hpp).
//
//   parallel_for(n, work, body)           body(first, last) for ranges that cover [0, n) once
//   for_each_in_parallel(n, work, body)   body(i) for each i of [0, n)
//
// `work` is the cost of the whole loop, in elements moved. Little work stays on the calling thread,
// because waking another one takes some microseconds. Bodies write disjoint outputs and must give
// the same bits for any split, so that no result shows the number of threads. An exception of a
// body reaches the caller: of several, that of the lowest range or index, which a single thread
// would have met. All threads of a loop share the caller's interruption (interruption.hpp); once it
// asks them to stop, no further item begins.
//
// OpenMP, if there is one, only says how many threads there may be: OMP_NUM_THREADS and
// threadpoolctl set that.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <exception>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "array.hpp"
#include "interruption.hpp"
#include "team.hpp"

namespace minimeta {

// The least work for a thread: some microseconds, so that waking it pays.
constexpr Index kWorthWaking = 65536;

constexpr Index kAtOnce = 8;  // multiply-adds that take as long as moving one element

struct Threads {
  std::atomic<int> most{INT_MAX};   // for the whole process; OpenMP keeps one limit for each thread
  std::atomic<bool> forked{false};  // a forked child has none of its parent's threads, and computes alone
};
inline Threads threads;

// How many threads a loop that begins here may use; inside another parallel loop, one.
inline int max_threads() {
#if defined(_OPENMP)
  // Ask at every loop, because others set OpenMP's limit, too; the smaller limit wins.
  if (!threads.forked && !team::is_inside()) return std::min<int>(threads.most, omp_get_max_threads());
#endif
  return 1;
}

inline void set_max_threads(int n) {
  threads.most = n;
#if defined(_OPENMP)
  if (n > omp_get_max_threads()) omp_set_num_threads(n);  // this thread asks for more than OMP_NUM_THREADS
#endif
}

// Called once, when the extension is loaded.
inline void watch_for_forks() {
  pthread_atfork(nullptr, nullptr, [] {
    threads.forked = true;
    team::forget_helpers();
  });
}

// How many threads pay for so much work in n parts.
inline int deserved_threads(Index n, Index work) {
  const Index useful = work < 2 * kWorthWaking ? 1 : std::min(n, work / kWorthWaking);
  return useful <= 1 ? 1 : static_cast<int>(std::min<Index>(useful, max_threads()));
}

// Calls body(i) for each i of [0, n), on so many threads.
template <class Body> void for_each_on(int threads, Index n, const Body& body) {
  if (threads == 1 || n > team::kMostItems) {
    for (Index i = 0; i < n; ++i) body(i);
    return;
  }
  struct Shared {
    const Body& body;
    Interruption* interruption;
    std::vector<std::exception_ptr> thrown;
  } shared{body, patience.of, std::vector<std::exception_ptr>(static_cast<std::size_t>(n))};
  team::run(
      n, threads - 1,
      [](const void* context, Index i) {
        Shared& shared = *const_cast<Shared*>(static_cast<const Shared*>(context));
        const Listening listening(shared.interruption);
        try {
          look_up(patience);
          shared.body(i);
        } catch (...) {
          shared.thrown[static_cast<std::size_t>(i)] = std::current_exception();
        }
      },
      [](const void* context) {
        Interruption* const interruption = static_cast<const Shared*>(context)->interruption;
        if (interruption) interruption->asked();
      },
      &shared);
  for (const std::exception_ptr& exception : shared.thrown)
    if (exception) std::rethrow_exception(exception);
}

template <class Body> void for_each_in_parallel(Index n, Index work, const Body& body) {
  for_each_on(n <= 0 ? 1 : deserved_threads(n, work), n, body);
}

template <class Body> void parallel_for(Index n, Index work, const Body& body) {
  if (n <= 0) return;
  const int threads = deserved_threads(n, work);
  if (threads == 1) return body(Index{0}, n);
  const Index ranges = threads;
  const auto start = [=](Index t) { return n / ranges * t + std::min(t, n % ranges); };
  for_each_on(threads, ranges, [&](Index range) { body(start(range), start(range + 1)); });
}

}  // namespace minimeta

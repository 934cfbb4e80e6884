// One loop over independent pieces of work, on several threads: the only file that names OpenMP.
//
//   parallel_for(n, work, body)           body(first, last) for ranges that cover [0, n) once
//   for_each_in_parallel(n, work, body)   body(i) for each i of [0, n); a thread that is free takes the next one
//
// `work` is what the whole loop costs, in elements moved; little work stays on the calling thread, since waking another
// takes a microsecond or two. A body writes outputs of its own range and must give the same bits for any split, so the
// number of threads is never seen in a result. What a body throws is thrown on to the caller: of several exceptions, that
// of the lowest range or index, which is the one that a single thread would have met.
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

namespace minimeta {

// What a thread must at least have to do: some microseconds, so that waking it (one or two) is repaid.
constexpr Index kWorthWaking = 65536;

constexpr Index kAtOnce = 8;  // multiply-adds that take as long as moving one element

struct Threads {
  std::atomic<int> most{INT_MAX};    // for the whole process, where OpenMP's own limit is one for each thread
  std::atomic<bool> forked{false};  // a child has none of its parent's threads, and would wait for them
};
inline Threads threads;

// How many threads a loop that begins here may use: inside another parallel loop, the calling one alone.
inline int max_threads() {
#if defined(_OPENMP)
  // Asked for at every loop, since others (threadpoolctl) set OpenMP's limit too; the smaller limit wins.
  if (!threads.forked && !omp_in_parallel()) return std::min<int>(threads.most, omp_get_max_threads());
#endif
  return 1;
}

inline void set_max_threads(int n) {
  threads.most = n;
#if defined(_OPENMP)
  if (n > omp_get_max_threads()) omp_set_num_threads(n);  // this thread asks for more than OMP_NUM_THREADS
#endif
}

// Once, when the extension is loaded.
inline void watch_for_forks() {
  pthread_atfork(nullptr, nullptr, [] { threads.forked = true; });
}

// How many threads so much work deserves, if it has n parts.
inline int deserved_threads(Index n, Index work) {
  const Index useful = work < 2 * kWorthWaking ? 1 : std::min(n, work / kWorthWaking);
  return useful <= 1 ? 1 : static_cast<int>(std::min<Index>(useful, max_threads()));
}

inline void rethrow_first(const std::vector<std::exception_ptr>& thrown) {
  for (const std::exception_ptr& exception : thrown)
    if (exception) std::rethrow_exception(exception);
}

#if defined(_OPENMP)
// run(thread, threads) on each of a team, perhaps of fewer threads than wanted.
template <class Run> void on_team(int wanted, const Run& run) {
  std::vector<std::exception_ptr> thrown(static_cast<std::size_t>(wanted));
#pragma omp parallel num_threads(wanted)
  {
    const Index thread = omp_get_thread_num();
    try {
      run(thread, Index{omp_get_num_threads()});
    } catch (...) {
      thrown[static_cast<std::size_t>(thread)] = std::current_exception();
    }
  }
  rethrow_first(thrown);
}
#endif

template <class Body> void parallel_for(Index n, Index work, const Body& body) {
  if (n <= 0) return;
  const int wanted = deserved_threads(n, work);
  if (wanted == 1) return body(Index{0}, n);
#if defined(_OPENMP)
  on_team(wanted, [&](Index thread, Index team) {
    const auto start = [=](Index t) { return n / team * t + std::min(t, n % team); };
    body(start(thread), start(thread + 1));
  });
#endif
}

template <class Body> void for_each_in_parallel(Index n, Index work, const Body& body) {
  const int wanted = n <= 0 ? 1 : deserved_threads(n, work);
  if (wanted == 1) {
    for (Index i = 0; i < n; ++i) body(i);
    return;
  }
#if defined(_OPENMP)
  std::atomic<Index> next{0};
  std::vector<std::exception_ptr> thrown(static_cast<std::size_t>(n));
  on_team(wanted, [&](Index, Index) {
    for (Index i; (i = next++) < n;) try {
        body(i);
      } catch (...) {
        thrown[static_cast<std::size_t>(i)] = std::current_exception();
      }
  });
  rethrow_first(thrown);
#endif
}

}  // namespace minimeta

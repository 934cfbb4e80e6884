// The team of threads: see team.hpp.
#include "team.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace minimeta::team {
namespace {

constexpr std::chrono::microseconds kLookout{200};  // how long a helper looks out for work before it sleeps

// The items taken, the items in all and the helpers admitted, in one word: a helper that takes an
// item by one atomic addition learns at once which loop the item belongs to.
constexpr int kItemBits = 21, kHelperShift = 2 * kItemBits;
constexpr std::uint64_t kItemMask = (std::uint64_t{1} << kItemBits) - 1;
static_assert(kMostItems + kMostHelpers < Index{1} << kItemBits, "late helpers increment the counter, too");

struct Counter {
  explicit Counter(std::uint64_t word)
      : next(static_cast<Index>(word & kItemMask)),
        items(static_cast<Index>(word >> kItemBits & kItemMask)),
        helpers(static_cast<int>(word >> kHelperShift)) {}
  static std::uint64_t word(Index items, int helpers) {
    return static_cast<std::uint64_t>(helpers) << kHelperShift | static_cast<std::uint64_t>(items) << kItemBits;
  }
  bool is_for(int helper) const { return helper < helpers && next < items; }

  Index next, items;
  int helpers;
};

struct State {
  std::mutex caller;  // held while a loop runs
  std::atomic<std::uint64_t> counter{0};
  std::atomic<Index> done{0};
  Body body = nullptr;
  const void* context = nullptr;

  std::mutex sleep;
  std::condition_variable work;
  std::atomic<int> sleeping{0};
  int helpers = 0;
};

// Never destroyed, because helpers run until the process ends.
State* state = new State;

thread_local bool inside = false;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void work(State& s) {
  for (;;) {
    const Counter counter(s.counter.fetch_add(1, std::memory_order_acq_rel));
    if (counter.next >= counter.items) return;
    s.body(s.context, counter.next);
    s.done.fetch_add(1, std::memory_order_release);
  }
}

void help(State& s, int helper) {
  inside = true;
  const auto is_wanted = [&] { return Counter(s.counter.load()).is_for(helper); };
  for (;;) {
    const auto began = std::chrono::steady_clock::now();
    while (!is_wanted()) {
      for (int i = 0; i < 64 && !is_wanted(); ++i) pause();
      if (std::chrono::steady_clock::now() - began < kLookout) continue;
      std::unique_lock<std::mutex> lock(s.sleep);
      ++s.sleeping;
      s.work.wait(lock, is_wanted);
      --s.sleeping;
    }
    work(s);
  }
}

}  // namespace

bool is_inside() { return inside; }

void run(Index n, int helpers, Body body, Wait wait, const void* context) {
  State& s = *state;
  std::unique_lock<std::mutex> caller(s.caller, std::defer_lock);
  if (helpers < 1 || n < 2 || inside || !caller.try_lock()) {
    for (Index i = 0; i < n; ++i) body(context, i);
    return;
  }
  helpers = std::min(helpers, kMostHelpers);
  for (; s.helpers < helpers; ++s.helpers) std::thread(help, std::ref(s), s.helpers).detach();
  s.body = body;
  s.context = context;
  s.done.store(0, std::memory_order_relaxed);
  s.counter.store(Counter::word(n, helpers));
  if (s.sleeping.load() > 0) {  // a helper adds itself before it checks the counter a last time
    {
      const std::lock_guard<std::mutex> lock(s.sleep);
    }
    s.work.notify_all();
  }
  inside = true;
  work(s);
  for (int spins = 0; s.done.load(std::memory_order_acquire) < n; ++spins) {
    pause();
    if (spins <= 1000) continue;
    std::this_thread::yield();
    wait(context);
  }
  inside = false;
}

void forget_helpers() { state = new State; }

}  // namespace minimeta::team

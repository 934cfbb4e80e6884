// The team of threads: see team.hpp.
#include "team.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

namespace minimeta::team {
namespace {

constexpr std::chrono::microseconds kLookout{200};  // how long a helper looks out for work before it sleeps

// Of the items of one thread of a loop: how many are taken, how many there are, and the loop's threads, in one word.
// Who takes an item by one atomic addition learns at once which loop the item belongs to.
constexpr int kItemBits = 21, kThreadsShift = 2 * kItemBits;
constexpr std::uint64_t kItemMask = (std::uint64_t{1} << kItemBits) - 1;
static_assert(kMostItems + kMostHelpers < Index{1} << kItemBits, "late threads increment the number, too");

struct Share {
  explicit Share(std::uint64_t word)
      : taken(static_cast<Index>(word & kItemMask)),
        items(static_cast<Index>(word >> kItemBits & kItemMask)),
        threads(static_cast<int>(word >> kThreadsShift)) {}
  static std::uint64_t word(Index items, int threads) {
    return static_cast<std::uint64_t>(threads) << kThreadsShift | static_cast<std::uint64_t>(items) << kItemBits;
  }
  bool has_more() const { return taken < items; }

  Index taken, items;
  int threads;
};

// What a thread reads of a loop: one cache line, so that it comes in one piece from the caller's core.
struct alignas(64) Part {
  std::atomic<std::uint64_t> share{0};
  Body body = nullptr;
  const void* context = nullptr;
};

struct State {
  std::mutex caller;  // held while a loop runs
  std::unique_ptr<Part[]> parts{new Part[kMostHelpers + 1]};
  alignas(64) std::atomic<Index> done{0};

  alignas(64) std::mutex sleep;
  std::condition_variable work;
  std::atomic<int> sleeping{0};
  int helpers = 0;
};

// Never destroyed, because helpers run until the process ends.
State* state = new State;

thread_local bool inside = false;
thread_local int place_of_thread = 0;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A thread's own items, then what is left of the others'.
void work(State& s, int place) {
  const int threads = Share(s.parts[place].share.load()).threads;
  for (int i = 0; i < threads; ++i) {
    const int of = (place + i) % threads;
    Part& part = s.parts[of];
    Index done = 0;
    while (Share(part.share.load(std::memory_order_relaxed)).has_more()) {
      const Share share(part.share.fetch_add(1, std::memory_order_acq_rel));
      if (!share.has_more()) break;
      part.body(part.context, of + share.taken * share.threads);
      ++done;
    }
    if (done > 0) s.done.fetch_add(done, std::memory_order_release);
  }
}

void help(State& s, int place) {
  inside = true;
  place_of_thread = place;
  const auto is_wanted = [&] { return Share(s.parts[place].share.load()).has_more(); };
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
    work(s, place);
  }
}

}  // namespace

bool is_inside() { return inside; }

int place() { return place_of_thread; }

void run(Index n, int helpers, Body body, Wait wait, const void* context) {
  State& s = *state;
  std::unique_lock<std::mutex> caller(s.caller, std::defer_lock);
  if (helpers < 1 || n < 2 || inside || !caller.try_lock()) {
    for (Index i = 0; i < n; ++i) body(context, i);
    return;
  }
  const int threads = static_cast<int>(std::min<Index>(std::min(helpers, kMostHelpers) + 1, n));
  for (; s.helpers < threads - 1; ++s.helpers) std::thread(help, std::ref(s), s.helpers + 1).detach();
  s.done.store(0, std::memory_order_relaxed);
  for (int place = threads - 1; place >= 0; --place) {
    Part& part = s.parts[place];
    part.body = body;
    part.context = context;
    part.share.store(Share::word((n - place + threads - 1) / threads, threads));
  }
  if (s.sleeping.load() > 0) {  // a helper adds itself before it looks at its part a last time
    {
      const std::lock_guard<std::mutex> lock(s.sleep);
    }
    s.work.notify_all();
  }
  inside = true;
  work(s, 0);
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

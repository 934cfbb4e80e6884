// Work that ends early when the user asks for it.
//
// A program may run for minutes without Python, which alone knows of a Ctrl-C: it notes the signal, and waits to be asked. So
// every thread counts what it has spent, in elements moved, and looks up now and then. The thread that was called asks
// Python, some twenty times a second; if there is an exception, all threads of the program throw Interrupted where they
// look up next. What is not that much work costs a subtraction.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

#include "array.hpp"

namespace minimeta {

struct Interrupted final : std::exception {};

// One for each call from Python, on all of its threads.
class Interruption {
 public:
  // Whether to stop. Called on the thread that made this object, and on no other.
  using Ask = bool (*)();
  explicit Interruption(Ask ask) : ask_(ask) {}

  // Whether the work is to end.
  bool asked() {
    if (stop_.load(std::memory_order_relaxed)) return true;
    if (std::this_thread::get_id() != caller_) return false;
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return false;
    const bool first = next_ == std::chrono::steady_clock::time_point{};
    if (!first && ask_()) stop_ = true;
    next_ = now + std::chrono::milliseconds(50);
    return stop_;
  }

 private:
  const Ask ask_;
  const std::thread::id caller_ = std::this_thread::get_id();
  std::chrono::steady_clock::time_point next_{};  // when to ask again
  std::atomic<bool> stop_{false};
};

// Of a thread: whom it listens to, and what it may spend before it looks up.
struct Patience {
  Interruption* of;
  Index left;
};
inline thread_local Patience patience{nullptr, 0};

constexpr Index kPatience = 131072;  // elements; where each takes part in some hundred multiply-adds, a millisecond

inline void look_up(Patience& p) {
  p.left = kPatience;
  if (p.of && p.of->asked()) throw Interrupted();
}

inline void spend(Patience& p, Index work) {
  if ((p.left -= work) < 0) look_up(p);
}
inline void spend(Index work) { spend(patience, work); }

// body(begin, end) for one piece of [first, last) after the other, each of about as much work as is done without looking
// up, at some cost of each item. Like a range of a parallel loop, a piece may end anywhere: the bits are the same.
template <class Body> void in_pieces(Index first, Index last, Index cost, const Body& body) {
  const Index piece = std::max<Index>(kPatience / std::max<Index>(cost, 1), 1);
  if (last - first <= piece) return body(first, last);
  for (Patience& p = patience; first < last; first += piece) {
    spend(p, kPatience);
    body(first, std::min(last, first + piece));
  }
}

// While it lives, this thread listens.
class Listening {
 public:
  explicit Listening(Interruption* of) : before_(patience) { patience = {of, kPatience}; }
  ~Listening() { patience = before_; }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  const Patience before_;
};

}  // namespace minimeta

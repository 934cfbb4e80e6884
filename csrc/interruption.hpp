// Work that ends early when the user asks for it.
//
// A program may run for minutes without Python, which handles a Ctrl-C only when it is asked. So
// every thread counts the elements it has moved, and looks up now and then. The thread that called
// asks Python some twenty times a second; if there is an exception, all threads of the program
// throw Interrupted when they next look up. Less work than that costs a subtraction.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

#include "array.hpp"

namespace minimeta {

struct Interrupted final : std::exception {};

// One object for each call from Python, shared by all of its threads.
class Interruption {
 public:
  // Whether to stop. Only the thread that made this object calls it.
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

  // Whether it was, though perhaps only when no thread had anything left to look up from.
  bool was_asked() const { return stop_; }

 private:
  const Ask ask_;
  const std::thread::id caller_ = std::this_thread::get_id();
  std::chrono::steady_clock::time_point next_{};  // when to ask again
  std::atomic<bool> stop_{false};
};

// The interruption that a thread listens to, and the work left before it looks up.
struct Patience {
  Interruption* of;
  Index left;
};
inline thread_local Patience patience{nullptr, 0};

constexpr Index kPatience = 131072;  // elements; a millisecond if each takes part in some hundred multiply-adds

inline void look_up(Patience& p) {
  p.left = kPatience;
  if (p.of && p.of->asked()) throw Interrupted();
}

inline void spend(Patience& p, Index work) {
  if ((p.left -= work) < 0) look_up(p);
}
inline void spend(Index work) { spend(patience, work); }

// Calls body(begin, end) for one piece of [first, last) after another, and looks up in between;
// `cost` is that of one item. A piece may end anywhere, like a range of a parallel loop: the bits
// are the same.
template <class Body> void in_pieces(Index first, Index last, Index cost, const Body& body) {
  const Index piece = std::max<Index>(kPatience / std::max<Index>(cost, 1), 1);
  if (last - first <= piece) return body(first, last);
  for (Patience& p = patience; first < last; first += piece) {
    spend(p, kPatience);
    body(first, std::min(last, first + piece));
  }
}

// While this object lives, its thread listens to the interruption.
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

// Measuring the distance of two cores: see distance.hpp.
#include "distance.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <thread>

#include "parallel.hpp"

namespace minimeta {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kBursts = 6, kTrips = 8;  // the least of several bursts: one that is interrupted does not count
constexpr std::chrono::microseconds kPatience{20000};  // for a helper that begins, or wakes, or has no core

// A loop of two items, which two threads take: one asks, and the other answers. One thread that takes
// both asks in vain, and then has nothing to answer.
struct Talk {
  static constexpr int kOver = -1;
  alignas(64) std::atomic<int> said{0};  // questions are odd
  alignas(64) double least = std::numeric_limits<double>::infinity();

  void ask() {
    const Clock::time_point end = Clock::now() + kPatience;
    for (int burst = 0, question = 1; burst < kBursts; ++burst) {
      const Clock::time_point began = Clock::now();
      for (int trip = 0; trip < kTrips; ++trip, question += 2) {
        said = question;
        for (int looks = 1; said == question; ++looks) {
          if (looks % 1024 != 0) continue;
          if (Clock::now() > end) return said.store(kOver);
          std::this_thread::yield();  // a new thread may be on this core until the system moves it
        }
      }
      least = std::min(least, std::chrono::duration<double, std::nano>(Clock::now() - began).count() / kTrips);
    }
    said = kOver;
  }

  void answer() {
    for (int heard; (heard = said) != kOver;)
      if (heard % 2 == 1) said.compare_exchange_strong(heard, heard + 1);
  }
};

}  // namespace

double round_trip() {
  Talk talk;
  const auto speak = [](const void* context, Index item) {
    Talk& talk = *const_cast<Talk*>(static_cast<const Talk*>(context));
    item == 0 ? talk.ask() : talk.answer();
  };
  if (max_threads() > 1) team::run(2, 1, speak, [](const void*) {}, &talk);
  return talk.least;
}

}  // namespace minimeta

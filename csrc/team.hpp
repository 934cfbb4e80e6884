// Threads that help with one loop at a time, and that the caller never waits for.
//
// Of the items of a loop, thread t of T has t, t + T, t + 2 T, ... It takes its own, and then what is
// left of the others'. So in one loop after another of as many items, a thread works on the same
// parts of the arrays, which stay in the caches of its core. (If cores share no cache, one reads what
// the other wrote at a third of the speed.) When no item is left, the caller waits for the items in
// progress, but not for helpers that came too late. So a helper that the system does not
// schedule, because another process has its core, costs nothing but its help. (With a barrier, which
// every thread of a team must reach, such a loop takes a hundred times as long as its work.)
//
// A helper that runs out of work looks out for the next loop for a while before it sleeps.
#pragma once

#include "array.hpp"

namespace minimeta::team {

constexpr int kMostHelpers = 255;
constexpr Index kMostItems = Index{1} << 20;

// Whether this thread is working on an item. A loop that begins inside runs on this thread alone.
bool is_inside();

// This thread's among those of a loop: 0 is the caller's, and that of all threads that do not help.
int place();

using Body = void (*)(const void* context, Index item);
using Wait = void (*)(const void* context);

// Calls body(context, i), which must not throw, for each i of [0, n), n <= kMostItems, on this
// thread and at most so many helpers; on this thread alone if the team is busy with another
// caller's loop. Calls wait(context) again and again while helpers finish their last items.
void run(Index n, int helpers, Body body, Wait wait, const void* context);

// For the child of a fork, which has no helpers.
void forget_helpers();

}  // namespace minimeta::team

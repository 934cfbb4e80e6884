// Threads that help with one loop at a time, and that nobody waits for.
//
// The items of a loop lie on a counter. The calling thread takes one after another; so does each helper, once it is
// awake. When no item is left the caller waits for those that are being worked on, and not for helpers that came too
// late. So a helper that the system does not let run, because another process has its processor, costs nothing but its
// help. (A barrier, where every thread of a team must arrive, then takes a hundred times as long as the work.)
//
// A helper that finds no more work looks for the next loop for a while before it sleeps.
#pragma once

#include "array.hpp"

namespace minimeta::team {

constexpr int kMostHelpers = 255;
constexpr Index kMostItems = Index{1} << 20;

// Whether this thread is working on an item: what begins inside runs on it alone.
bool is_inside();

using Body = void (*)(const void* context, Index item);
using Wait = void (*)(const void* context);

// body(context, i) for each i of [0, n), n at most kMostItems, on this thread and on so many helpers at most. It must not
// throw. Where the team is busy with another caller's loop, on this thread alone. wait(context) again and again while others
// finish their last items.
void run(Index n, int helpers, Body body, Wait wait, const void* context);

// In a child of a fork, which has no helpers.
void forget_helpers();

}  // namespace minimeta::team

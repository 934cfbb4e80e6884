// Threads that help with one loop at a time, and that the caller never waits for.
//
// A counter deals out the items of a loop. The calling thread takes one item after another, and so
// does each helper once it is awake. When no item is left, the caller waits for the items in
// progress, but not for helpers that came too late. So a helper that the system does not schedule,
// because another process has its core, costs nothing but its help. (With a barrier, which every
// thread of a team must reach, such a loop takes a hundred times as long as its work.)
//
// A helper that runs out of work looks out for the next loop for a while before it sleeps.
#pragma once

#include "array.hpp"

namespace minimeta::team {

constexpr int kMostHelpers = 255;
constexpr Index kMostItems = Index{1} << 20;

// Whether this thread is working on an item. A loop that begins inside runs on this thread alone.
bool is_inside();

using Body = void (*)(const void* context, Index item);
using Wait = void (*)(const void* context);

// Calls body(context, i), which must not throw, for each i of [0, n), n <= kMostItems, on this
// thread and at most so many helpers; on this thread alone if the team is busy with another
// caller's loop. Calls wait(context) again and again while helpers finish their last items.
void run(Index n, int helpers, Body body, Wait wait, const void* context);

// For the child of a fork, which has no helpers.
void forget_helpers();

}  // namespace minimeta::team

// How far the cores of two threads are from each other.
//
// A cache line goes from one core to another and back in r = 70 to 100 ns if they share a cache, and in
// 300 and more if they lie on two chiplets or sockets. A virtual machine may have either, and change
// within seconds. That bears on threads in two ways.
//
// To begin a loop and to end it takes some 2 r, which is 0.2 or 0.6 us. The least work for a thread
// (kWorthWaking, in parallel.hpp) takes 4 us or more, so another pays at either distance.
//
// Elements that one core has written and another reads come at some 110 or 43 GB/s, where its own
// cache gives 140. A loop that only moves elements gains nothing by two threads if they come from the
// far core, however large it is. So threads keep to their parts of the arrays (team.hpp, program.hpp).
#pragma once

namespace minimeta {

// Nanoseconds in which a cache line goes to another thread and back now; infinite if there is no
// other, or none that had a core to answer. Takes 5 to 20 us, and 20 ms if there is no answer.
double round_trip();

}  // namespace minimeta

// What is computed of each element of a convolution, before it is stored or after that.
//
// A tile has an element's sum in a register, and goes on with it (tile.hpp), if the sum is one group
// of chains. If it is several, or goes another way (winograd.cpp), what follows is computed of the
// result, in memory.
#pragma once

#include <algorithm>

#include "product.hpp"

namespace minimeta {

// What is computed of each element of a result before it is stored, and of another array of the same
// form each time; a step has a rate.
struct Finishes {
  Index count = 0;
  Finish kinds[kMostFinishes] = {};
  const char* z[kMostFinishes] = {};
  const char* rate = nullptr;
};

// Those of one result, of elements that are so many chains each. A tile needs whole vectors.
template <class T> class Finished {
 public:
  Finished(const Finishes& finishes, const View& result, Index chains, bool large)
      : result_(result),
        count_(finishes.count),
        in_tiles_(chains <= kGroup && !large && result.shape[3] >= simd::kLanes<T>) {
    const T* const like = reinterpret_cast<const T*>(result.data);
    for (Index k = 0; k < count_; ++k)
      all_[k] = {finishes.kinds[k], reinterpret_cast<const T*>(finishes.z[k]), 0,
                 finishes.rate ? *reinterpret_cast<const T*>(finishes.rate) : T(0), like};
  }

  const Finishing<T>* all() const { return all_; }
  Index in_tiles() const { return in_tiles_ ? count_ : 0; }
  bool masks() const {
    return std::any_of(all_, all_ + count_, [](const Finishing<T>& each) { return each.finish == Finish::mask; });
  }
  void in_memory() const {
    const Index first = 0;
    Product<T> q{};
    q.c = reinterpret_cast<T*>(result_.data);
    q.c_rows = &first;
    q.finishing = all_;
    q.finishes = count_;
    finish_rows(q, 0, 1, count(result_));
  }

 private:
  const View& result_;
  Finishing<T> all_[kMostFinishes] = {};
  Index count_;
  bool in_tiles_;
};

}  // namespace minimeta

// What is computed of sums before they are stored (tile.hpp), for a part of them.
#pragma once

#include <algorithm>

#include "tile.hpp"

namespace minimeta {

template <class T> struct PartFinishes {
  PartFinishes() = default;
  // Of the part that begins in this row and column.
  PartFinishes(const Finishing<T>* all, Index n, Index row, Index column) : n(n) {
    std::copy_n(all, n, each);
    for (Index k = 0; k < n; ++k)
      if (!each[k].like) each[k].z += row * each[k].row + column;
  }

  Finishing<T> each[kMostFinishes];
  Index n = 0;
};

}  // namespace minimeta

// Placing values in memory: see plan.hpp.
#include "plan.hpp"

#include <algorithm>

namespace minimeta {

Index plan(const std::vector<Lifetime*>& values, bool reuse) {
  std::vector<Lifetime*> order = values;
  std::stable_sort(order.begin(), order.end(),
                   [](const Lifetime* a, const Lifetime* b) { return a->bytes > b->bytes; });

  Index size = 0;
  std::vector<const Lifetime*> placed;  // by offset
  for (Lifetime* const value : order) {
    Index end = 0, smallest = PTRDIFF_MAX;
    value->offset = -1;
    for (const Lifetime* const other : placed) {
      if (reuse && (other->last < value->first || value->last < other->first)) continue;
      const Index gap = other->offset - end;
      if (gap >= value->bytes && gap < smallest) {
        smallest = gap;
        value->offset = end;
      }
      end = std::max(end, other->offset + other->bytes);
    }
    if (value->offset < 0) value->offset = end;
    size = std::max(size, value->offset + value->bytes);
    const auto by_offset = [](const Lifetime* a, const Lifetime* b) { return a->offset < b->offset; };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), value, by_offset), value);
  }
  return size;
}

}  // namespace minimeta

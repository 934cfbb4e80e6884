// Placing values in memory: see plan.hpp.
#include "plan.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace minimeta {
namespace {

// The memory between what is in use, by offset and by size.
class Gaps {
 public:
  // Takes the smallest gap that is large enough, or else more memory at the end.
  Index take(Index bytes) {
    const auto best = by_size_.lower_bound({bytes, 0});
    if (best != by_size_.end()) {
      const auto [found, offset] = *best;
      remove(offset, found);
      if (found > bytes) add(offset + bytes, found - bytes);
      return offset;
    }
    Index offset = size_;
    if (!by_offset_.empty() && by_offset_.rbegin()->first + by_offset_.rbegin()->second == size_) {
      offset = by_offset_.rbegin()->first;
      remove(offset, size_ - offset);
    }
    size_ = offset + bytes;
    return offset;
  }

  // Gives memory back; neighbouring gaps become one.
  void give(Index offset, Index bytes) {
    auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.end() && next->first == offset + bytes) {
      bytes += next->second;
      remove(next->first, next->second);
    }
    next = by_offset_.lower_bound(offset);
    if (next != by_offset_.begin() && std::prev(next)->first + std::prev(next)->second == offset) {
      const auto [before, more] = *std::prev(next);
      remove(before, more);
      offset = before;
      bytes += more;
    }
    add(offset, bytes);
  }

  Index size() const { return size_; }

 private:
  void add(Index offset, Index bytes) {
    by_offset_.emplace(offset, bytes);
    by_size_.emplace(bytes, offset);
  }
  void remove(Index offset, Index bytes) {
    by_offset_.erase(offset);
    by_size_.erase({bytes, offset});
  }

  std::map<Index, Index> by_offset_;
  std::set<std::pair<Index, Index>> by_size_;
  Index size_ = 0;
};

// Above so many values, comparing each with all of those that were placed before it takes too long.
// They are placed by time then, which takes up to 6 % more memory.
constexpr std::size_t kMany = 4096;

// Places each value when it is first written, in the memory that is free then.
Index by_time(const std::vector<Lifetime*>& values) {
  std::vector<Lifetime*> order = values;
  std::stable_sort(order.begin(), order.end(),
                   [](const Lifetime* a, const Lifetime* b) { return a->first < b->first; });
  std::multimap<Index, const Lifetime*> live;  // by the last use
  Gaps gaps;
  for (Lifetime* const value : order) {
    for (; !live.empty() && live.begin()->first < value->first; live.erase(live.begin())) {
      gaps.give(live.begin()->second->offset, live.begin()->second->bytes);
    }
    value->offset = gaps.take(value->bytes);
    live.emplace(value->last, value);
  }
  return gaps.size();
}

}  // namespace

Index plan(const std::vector<Lifetime*>& values, bool reuse) {
  if (reuse && values.size() > kMany) return by_time(values);
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

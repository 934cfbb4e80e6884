// Blocks of memory for large values: they begin at a cache line, and the largest lie on large pages.
//
// New memory may cost more than its use, because the system clears each page of it. A step of
// training returns as much as it was given, and what it was given is free soon after. So the blocks
// of results are kept when they are free, and used again:
//
//   take(n)   a kept block of n bytes; or a new one, before which the oldest of those kept are freed,
//             until all together are no more than were once in use at the same time
//   give(x)   keeps the block x, and frees the oldest until those kept are no more than those in use
//             (64 MB may always be kept)
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>
#include <vector>

#include "array.hpp"

namespace minimeta {

struct FreeBlock {
  Index bytes = 0;
  void operator()(char* memory) const;
};

using Block = std::unique_ptr<char, FreeBlock>;

// Throws std::bad_alloc.
Block new_block(Index bytes);

// Whoever calls holds the interpreter's lock, so one thread at a time does.
class KeptBlocks {
 public:
  char* take(Index bytes);  // throws std::bad_alloc
  void give(char* memory);
  Index bytes_of(char* memory) const { return used_.at(memory).get_deleter().bytes; }

  Index kept() const { return kept_bytes_; }

 private:
  void free_oldest(Index bytes);  // so many, or all

  std::vector<Block> kept_;  // the oldest first
  std::unordered_map<char*, Block> used_;
  Index kept_bytes_ = 0, used_bytes_ = 0, most_used_ = 0;
};

}  // namespace minimeta

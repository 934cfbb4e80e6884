// Blocks of memory: see blocks.hpp.
#include "blocks.hpp"

#ifdef __linux__
#include <sys/mman.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define MINIMETA_FORBID(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define MINIMETA_ALLOW(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define MINIMETA_FORBID(memory, bytes) static_cast<void>(0)
#define MINIMETA_ALLOW(memory, bytes) static_cast<void>(0)
#endif

#include <algorithm>
#include <new>
#include <utility>

#include "plan.hpp"

namespace minimeta {
namespace {

constexpr Index kLargePage = Index{1} << 21;
constexpr Index kWorthKeeping = Index{1} << 16;   // of less, malloc gives few pages back
constexpr Index kAlwaysKept = Index{1} << 26;
constexpr std::size_t kMostKept = 1024;  // so many are looked through in less time than a page is cleared

std::align_val_t alignment(Index bytes) {
  return std::align_val_t(static_cast<std::size_t>(bytes >= 2 * kLargePage ? kLargePage : kAlignment));
}

}  // namespace

void FreeBlock::operator()(char* memory) const { ::operator delete(memory, alignment(bytes)); }

// With small pages, the processor spends longer on looking up the pages of a large block than on
// reading them.
Block new_block(Index bytes) {
  char* const memory =
      static_cast<char*>(::operator new(static_cast<std::size_t>(bytes), alignment(bytes), std::nothrow));
  if (!memory) throw std::bad_alloc();
#ifdef __linux__
  if (bytes >= 2 * kLargePage)
    madvise(memory, static_cast<std::size_t>(bytes), MADV_HUGEPAGE);  // the kernel may refuse
#endif
  return {memory, FreeBlock{bytes}};
}

char* KeptBlocks::take(Index bytes) {
  const auto fits = [=](const Block& block) { return block.get_deleter().bytes == bytes; };
  const auto found = bytes < kWorthKeeping ? kept_.rend() : std::find_if(kept_.rbegin(), kept_.rend(), fits);
  const Index used = used_bytes_ + bytes;
  Block block;
  if (found != kept_.rend()) {
    block = std::move(*found);
    kept_.erase(std::prev(found.base()));
    kept_bytes_ -= bytes;
    MINIMETA_ALLOW(block.get(), static_cast<std::size_t>(bytes));
  } else {
    free_oldest(kept_bytes_ + used - std::max(most_used_, used));
    block = new_block(bytes);
  }
  char* const memory = block.get();
  used_.emplace(memory, std::move(block));
  used_bytes_ = used;
  most_used_ = std::max(most_used_, used);
  return memory;
}

void KeptBlocks::give(char* memory) {
  const auto found = used_.find(memory);
  Block block = std::move(found->second);
  used_.erase(found);
  const Index bytes = block.get_deleter().bytes;
  used_bytes_ -= bytes;
  if (bytes >= kWorthKeeping) {
    MINIMETA_FORBID(memory, static_cast<std::size_t>(bytes));
    kept_.push_back(std::move(block));
    kept_bytes_ += bytes;
  }
  free_oldest(kept_bytes_ - std::max(used_bytes_, kAlwaysKept));
  if (kept_.size() > kMostKept) free_oldest(1);
}

void KeptBlocks::free_oldest(Index bytes) {
  auto last = kept_.begin();
  for (; bytes > 0 && last != kept_.end(); ++last) {
    const Index size = last->get_deleter().bytes;
    MINIMETA_ALLOW(last->get(), static_cast<std::size_t>(size));
    bytes -= size;
    kept_bytes_ -= size;
  }
  kept_.erase(kept_.begin(), last);
}

}  // namespace minimeta

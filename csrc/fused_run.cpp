// A run of elementwise operations together: see fused.hpp.
#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>

#include "fused.hpp"
#include "fused_rows.hpp"
#include "fused_sums.hpp"
#include "loop.hpp"
#include "parallel.hpp"
#include "product.hpp"

namespace minimeta {
namespace {

// Asks for memory that the next block reads. Where memory is read steadily, the processor does so by
// itself; a block of many operations takes longer than it looks ahead.
void ask_for(const char* from, Index bytes) {
  for (Index i = 0; i < bytes; i += kAlignment) __builtin_prefetch(from + i, 0, 2);
}

}  // namespace

// One thread's part of a run.
class Fused::Worker {
 public:
  Worker(const Fused& fused, char* const* data) : fused_(fused), data_(data) {
    base_ = data + fused.buffers() + 1;
    if (!fused.is_alone()) {
      static thread_local Scratch<char> scratch;
      char* memory = scratch.take(fused.memory_ + kAlignment);
      memory += (kAlignment - reinterpret_cast<std::uintptr_t>(memory) % kAlignment) % kAlignment;
      own_.reserve(fused.bases_.size());
      for (const Address& each : fused.bases_)
        own_.push_back((each.number == fused.buffers() ? memory : data[each.number]) + each.offset);
      base_ = own_.data();
    }
    fused.fill_tiled(data, base_);
    for (const int value : fused.copied_)
      copiers_.emplace_back(*fused.location(value).walk, data[value], fused.location(value).stride);
    // What lies where an operand does is in the cache, which has just read it.
    for (const Far& far : fused.far_) is_near_.push_back(std::count(data, data + fused.operands_, data[far.address]));
  }

  void run(Index chunk) {
    const Index begin = chunk * fused_.chunk_, end = std::min(fused_.count_, begin + fused_.chunk_);
    if (patience_) spend(*patience_, (end - begin) * fused_.cost_);
    const bool is_block = end - begin <= fused_.block_;
    for (Index first = begin; first < end; first += fused_.block_) {
      const Index size = std::min(fused_.block_, end - first);
      run_block(first, size);
      if (!is_block) add_terms(begin, first, first + size, end);
    }
    for (std::size_t j = 0; j < fused_.sums_.size(); ++j) {
      const int value = fused_.sums_[j].value;
      with_float(fused_.location(value).dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T* const sums =
            fused_.chunks_ > 1 ? fused_.chunk_sums<T>(data_, j) + chunk * fused_.width() : fused_.sums<T>(data_, j);
        if (is_block)
          sum_block(reinterpret_cast<const T*>(at(value, begin)), end - begin, fused_.width(), sums);
        else
          terms_[j]->finish(reinterpret_cast<char*>(sums));
      });
    }
  }

 private:
  char* at(int value, Index first) const { return base_[value] + first * fused_.location(value).advance; }

  void run_block(Index first, Index size) {
    for (const int value : fused_.far_operands_)
      ask_for(at(value, first + size), size * fused_.location(value).advance);
    for (std::size_t i = 0; i < copiers_.size(); ++i) {
      const int value = fused_.copied_[i];
      copiers_[i].copy(first, std::min(size, fused_.location(value).count), base_[value]);
    }
    for (std::size_t i = 0; i < fused_.puts_.size(); ++i) put(i, first, size);
    for (const Command& command : fused_.commands_) {
      char* const* data = base_ + command.first;
      char* later[kMostOperands + 1];
      if (first > 0) {
        for (int i = 0; i <= command.operands; ++i) later[i] = data[i] + first * command.advances[i];
        data = later;
      }
      command.kernel(data, command.strides, std::min(size, command.count));
    }
    for (std::size_t i = 0; i < is_near_.size(); ++i) {
      const Far& far = fused_.far_[i];
      const Index element = fused_.location(far.value).stride;
      char* const to = data_[far.address] + first * element;
      if (is_near_[i])
        std::memcpy(to, base_[far.value], static_cast<std::size_t>(size * element));
      else
        stream(base_[far.value], to, size * element);
    }
  }

  void put(std::size_t i, Index first, Index size) {
    const FusedPut& put = fused_.puts_[i];
    const int value = static_cast<int>(fused_.operands_) + static_cast<int>(i);
    with_float(fused_.location(value).dtype, [&](auto float_tag) {
      using T = typename decltype(float_tag)::type;
      with_size(fused_.location(put.cell).stride, [&](auto number_tag) {
        using C = typename decltype(number_tag)::type;
        if constexpr (std::is_same_v<C, std::uint8_t> || std::is_same_v<C, std::uint32_t>)
          fused_.windowed_[i].put(reinterpret_cast<const T*>(base_[put.g]), reinterpret_cast<const C*>(base_[put.cell]),
                                  first, size, reinterpret_cast<T*>(at(value, first)));
      });
    });
  }

  // Adds the terms of a block, [first, last), to the sums of a chunk, [begin, end). Terms that lie in
  // memory wait until there are as many rows as a sum reads at once.
  void add_terms(Index begin, Index first, Index last, Index end) {
    const Index rows = kRows * fused_.width();
    const auto whole = [=](Index i) { return i == end ? end : i - (i - begin) % rows; };
    for (std::size_t j = 0; j < fused_.sums_.size(); ++j) {
      const int value = fused_.sums_[j].value;
      const Location& from = fused_.location(value);
      if (terms_.size() == j)
        with_float(from.dtype, [&](auto tag) {
          terms_.push_back(minimeta::chunk_sums<typename decltype(tag)::type>(fused_.width()));
        });
      const bool waits = from.kind == Location::Kind::memory;
      const Index added = waits ? whole(first) : first, next = waits ? whole(last) : last;
      if (added < next) terms_[j]->add(at(value, added), next - added);
    }
  }

  const Fused& fused_;
  Patience* const patience_ = fused_.is_alone() ? nullptr : &patience;  // Program::replay counts a short step
  char* const* const data_;
  char* const* base_;  // where each value begins, and those of each command
  std::vector<char*> own_;  // the same, where several workers have buffers of their own
  std::vector<Copier> copiers_;
  std::vector<bool> is_near_;  // of the far results
  std::vector<std::unique_ptr<ChunkSums>> terms_;
};

void Fused::fill_tiled(char* const* data, char* const* base) const {
  for (const int value : tiled_) {
    const Location& each = location(value);
    with_size(each.stride, [&](auto tag) {
      using T = typename decltype(tag)::type;
      repeat(reinterpret_cast<const T*>(data[value]), each.period, reinterpret_cast<T*>(base[value]),
             std::min(block_, each.count));
    });
  }
}

// One block, one worker, and nothing to copy: what most groups of small arrays are.
void Fused::run_block_alone(char* const* data) const {
  char* const* const base = data + buffers() + 1;
  fill_tiled(data, base);
  for (const Command& command : commands_) command.kernel(base + command.first, command.strides, command.count);
  for (std::size_t j = 0; j < sums_.size(); ++j)
    with_float(location(sums_[j].value).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      sum_block(reinterpret_cast<const T*>(base[sums_[j].value]), count_, width(), sums<T>(data, j));
    });
}

void Fused::run(char* const* data, Watch*) const {
  if (is_block_alone_)
    run_block_alone(data);
  else
    parallel_for(chunks_, work_, [&](Index first, Index last) {
      Worker worker(*this, data);
      for (Index chunk = first; chunk < last; ++chunk) worker.run(chunk);
      if (!far_.empty()) simd::streamed();
    });
  for (std::size_t j = 0; j < sums_.size(); ++j)
    with_float(location(sums_[j].value).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      T* const result = sums<T>(data, j);
      if (chunks_ == 0) std::fill_n(result, width(), T(0));
      if (chunks_ > 1) join_chunks(chunk_sums<T>(data, j), chunks_, width(), result);
      if (!sums_[j].mean || chunks_ == 0) return;
      const T terms = static_cast<T>(count_ / width());
      for (Index i = 0; i < width(); ++i) result[i] /= terms;
    });
}

}  // namespace minimeta

// Running elementwise operations together: see fused.hpp.
#include "fused.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>

#include "fused_rows.hpp"
#include "fused_sums.hpp"
#include "loop.hpp"
#include "parallel.hpp"
#include "product.hpp"

namespace minimeta {

static_assert(fusion::kMostSums == kPanel);

namespace {

// Asks for memory that the next block reads. Where memory is read steadily, the processor does so by
// itself; a block of many operations takes longer than it looks ahead.
void ask_for(const char* from, Index bytes) {
  for (Index i = 0; i < bytes; i += kAlignment) __builtin_prefetch(from + i, 0, 2);
}

}  // namespace

Fused::Fused(std::vector<FusedOperation> operations, std::vector<int> values, std::vector<FusedSum> sums,
             std::vector<int> far)
    : operations_(std::move(operations)), values_(std::move(values)), sums_(std::move(sums)), parts_(std::move(far)) {}
Fused::~Fused() = default;

bool Fused::check(View* operands, Index n, std::vector<View>& results) {
  operands_ = n;
  const std::vector<View> values = values_of(operands, n);
  const Index width = describe_results(values, results);
  for (const View& x : values) count_ = std::max(count_, minimeta::count(x));
  for (const FusedOperation& operation : operations_) cost_ += operation.function->cost;
  work_ = work({count_, cost_});
  choose_block(operands, width);
  for (Index i = 0; i < n; ++i) locate_operand(operands[i]);
  make_commands(values);
  locate_results(values);
  plan_buffers();
  list_bases();
  is_block_alone_ = is_alone() && chunks_ == 1 && count_ <= block_ && copied_.empty() && far_.empty();
  for (std::size_t j = 0; j < sums_.size() && chunks_ > 1; ++j) {  // Memory for the chunks' sums.
    const Index shape[] = {chunks_, width};
    const Dtype dtype = results[values_.size() + j].dtype;
    describe(results.emplace_back(), "fused", dtype, 2, shape);
  }
  if (is_alone()) describe(results.emplace_back(), "fused", Dtype::uint8, 1, &memory_);
  return false;
}

// The operands and the results of the operations. Either all have one shape, or each fits in one
// block and none is summed.
std::vector<View> Fused::values_of(const View* operands, Index n) const {
  require(n >= 1, "fused", "at least one operand is needed");
  std::vector<View> values(operands, operands + n);
  const bool are_short = sums_.empty() && std::all_of(values.begin(), values.end(), [](const View& x) {
                           return 0 < minimeta::count(x) && minimeta::count(x) <= fusion::kBlockElements;
                         });
  for (const View& x : values)
    if (!are_short) require_same_shape("fused", x, values[0]);
  for (const FusedOperation& operation : operations_) {
    View x[3], y;
    require(operation.operands.size() == static_cast<std::size_t>(operation.function->operands), "fused",
            "an operation takes another number of operands");
    for (std::size_t i = 0; i < operation.operands.size(); ++i)
      x[i] = values.at(static_cast<std::size_t>(operation.operands[i]));
    check_elementwise(*operation.function, x, y);
    values.push_back(y);
  }
  require(values.size() <= std::size_t{fusion::kMostValues}, "fused", "there are too many values");
  return values;
}

// Describes the results, and returns how many outputs each sum has, 0 without sums.
Index Fused::describe_results(const std::vector<View>& values, std::vector<View>& results) const {
  for (const int value : values_) {
    require(operands_ <= value, "fused", "an operand is no result");
    results.push_back(values.at(static_cast<std::size_t>(value)));
  }
  Index width = 0;
  for (const FusedSum& sum : sums_) {
    const View& x = values.at(static_cast<std::size_t>(sum.value));
    require_float("fused", x);
    require(0 <= sum.axes && sum.axes <= x.ndim, "fused", "a sum has more axes than its value");
    Index shape[kMaxDims];
    const int added = sum.keepdims ? sum.axes : 0;
    std::fill_n(shape, added, 1);
    std::copy_n(x.shape + sum.axes, x.ndim - sum.axes, shape + added);
    describe(results.emplace_back(), "fused", x.dtype, x.ndim - sum.axes + added, shape);
    const Index left = minimeta::count(results.back());
    require(1 <= left && left <= fusion::kMostSums && (width == 0 || left == width), "fused",
            "sums must leave equally many outputs, and at most 256");
    width = left;
  }
  return width;
}

// A block holds whole rows of a sum, and whole repetitions of as many operands as possible. All fits
// in one block where values have several shapes.
void Fused::choose_block(const View* operands, Index width) {
  Index unit = std::max<Index>(width, 1), most = fusion::kBlockElements;
  const bool are_alike =
      std::all_of(operands, operands + operands_, [&](const View& x) { return same_shape(x, operands[0]); });
  const Index values = operands_ + static_cast<Index>(operations_.size());
  Index cached = fusion::kCachedElements;
  if (count_ >= fusion::kLongElements) most /= 2, cached /= 2;
  while (count_ > fusion::kBlockElements && most > fusion::kLeastElements && most * values > cached) most /= 2;
  for (Index i = 0; i < operands_ && are_alike; ++i) {
    const Index repeats = period(operands[i]);
    if (repeats < 1 || repeats > most) continue;
    const Index both = std::lcm(unit, repeats);
    if (both <= most && (width == 0 || kSumTerms * width % both == 0)) unit = both;
  }
  block_ = most / unit * unit;
  chunk_ = width > 0 ? kSumTerms * width : block_;
  chunks_ = (count_ + chunk_ - 1) / chunk_;
}

void Fused::locate_operand(const View& x) {
  const int value = static_cast<int>(locations_.size());
  const Index element = itemsize(x.dtype), repeats = period(x), count = minimeta::count(x);
  Location location{Location::Kind::memory, element, element, repeats, count, value, x.dtype};
  if (repeats == 1) {
    location.advance = location.stride = 0;
  } else if (repeats == count) {
    const bool takes_long = block_ <= fusion::kLeastElements;  // because there are many values
    if (takes_long && count * element >= fusion::kFarBytes) far_operands_.push_back(value);
  } else {
    location.advance = 0;
    const bool fits = repeats > 0 && block_ % repeats == 0 && chunk_ % repeats == 0;
    location.kind = fits ? Location::Kind::tiled : Location::Kind::copied;
    (fits ? tiled_ : copied_).push_back(value);
    if (!fits) {
      location.walk = std::make_unique<Loop<1>>();
      minimeta::plan<1>(*location.walk, {&x}, 0, x.ndim);
    }
  }
  locations_.push_back(std::move(location));
}

void Fused::make_commands(const std::vector<View>& values) {
  std::vector<int> needed = values_;
  for (const FusedSum& sum : sums_) needed.push_back(sum.value);
  std::vector<Layout> layouts;
  for (Index i = 0; i < operands_; ++i)
    layouts.push_back(locations_[static_cast<std::size_t>(i)].stride == 0 ? Layout::repeated : Layout::dense);
  for (const RowCommand& each : commands_of(operations_, values, layouts, needed)) {
    const Index count = minimeta::count(values[static_cast<std::size_t>(each.result)]);
    Command command{each.kernel, each.count, {}, {}, {}, count, 0};
    std::copy_n(each.operands, each.count, command.values);
    command.values[each.count] = each.result;
    commands_.push_back(command);
  }
}

void Fused::locate_results(const std::vector<View>& values) {
  for (std::size_t value = static_cast<std::size_t>(operands_); value < values.size(); ++value) {
    const Index element = itemsize(values[value].dtype), count = minimeta::count(values[value]);
    const auto result = std::find(values_.begin(), values_.end(), static_cast<int>(value));
    const int address = static_cast<int>(operands_ + (result - values_.begin()));
    const bool visible = result != values_.end();
    const bool is_part = std::find(parts_.begin(), parts_.end(), static_cast<int>(value)) != parts_.end();
    const bool far = visible && (is_part || count * element >= fusion::kFarBytes);
    const bool in_memory = visible && !far;
    locations_.push_back({in_memory ? Location::Kind::memory : Location::Kind::computed, in_memory ? element : 0,
                          element, 0, count, address, values[value].dtype});
    if (far) far_.push_back({static_cast<int>(value), address});
  }
  for (Command& command : commands_)
    for (int i = 0; i <= command.operands; ++i) {
      const Location& each = location(command.values[i]);
      if (i < command.operands) command.strides[i] = each.stride;
      command.advances[i] = each.advance;
    }
}

// Operands have their buffers before the first command; a result's buffer is free after the last
// command that reads it.
void Fused::plan_buffers() {
  const Index end = static_cast<Index>(commands_.size());
  std::vector<Lifetime*> buffers;
  const auto add = [&](Location& each, Index first, Index last) {
    if (each.kind == Location::Kind::memory) return;
    // Four extra cache lines, so that not all buffers begin at the same offset of a page.
    const Index bytes = aligned(std::min(block_, each.count) * itemsize(each.dtype)) + 4 * kAlignment;
    each.buffer = {bytes, first, last, 0};
    buffers.push_back(&each.buffer);
  };
  for (const int value : tiled_) add(location(value), 0, end);  // filled once, for all blocks
  for (const int value : copied_) add(location(value), 0, 0);
  for (Index now = 0; now < end; ++now) {
    const Command& command = commands_[static_cast<std::size_t>(now)];
    for (int i = 0; i < command.operands; ++i) {
      Index& last = location(command.values[i]).buffer.last;
      last = std::max(last, now);
    }
    add(location(command.values[command.operands]), now, now);
  }
  for (const FusedSum& sum : sums_) location(sum.value).buffer.last = end;
  for (const Far& far : far_) location(far.value).buffer.last = end;
  memory_ = minimeta::plan(buffers, true);
}

void Fused::list_bases() {
  const auto add = [&](const Location& each) {
    bases_.push_back(each.kind == Location::Kind::memory ? Address{each.address, 0}
                                                         : Address{buffers(), each.buffer.offset});
  };
  for (const Location& each : locations_) add(each);
  for (Command& command : commands_) {
    command.first = static_cast<Index>(bases_.size());
    for (int i = 0; i <= command.operands; ++i) add(location(command.values[i]));
  }
}

// The program knows the buffers of the only worker; each of several has its own.
std::vector<Kernel::Address> Fused::addresses() const { return is_alone() ? bases_ : std::vector<Address>{}; }

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

// Only a result that is copied from its buffer is written after all reads of its block; an operand
// that is summed is read later.
bool Fused::may_overwrite(Index operand, Index result) const {
  if (result >= static_cast<Index>(values_.size())) return false;
  const int value = values_[static_cast<std::size_t>(result)];
  const Location &from = location(static_cast<int>(operand)), &to = location(value);
  return std::any_of(far_.begin(), far_.end(), [&](const Far& far) { return far.value == value; }) &&
         std::none_of(sums_.begin(), sums_.end(), [&](const FusedSum& sum) { return sum.value == operand; }) &&
         from.kind == Location::Kind::memory && from.advance == to.stride && from.count == to.count;
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

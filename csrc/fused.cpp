// Groups of elementwise operations, checked and planned: see fused.hpp; fused_run.cpp runs them.
#include "fused.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "fused_rows.hpp"
#include "fused_sums.hpp"
#include "loop.hpp"
#include "parallel.hpp"
#include "pooling.hpp"

namespace minimeta {

static_assert(fusion::kMostSums == kPanel);

Fused::Fused(std::vector<FusedPut> puts, std::vector<FusedOperation> operations, std::vector<int> values,
             std::vector<FusedSum> sums, std::vector<int> far)
    : puts_(std::move(puts)),
      operations_(std::move(operations)),
      values_(std::move(values)),
      sums_(std::move(sums)),
      parts_(std::move(far)) {}
Fused::~Fused() = default;

bool Fused::check(View* operands, Index n, std::vector<View>& results) {
  operands_ = n;
  const std::vector<View> values = values_of(operands, n);
  const Index width = describe_results(values, results);
  for (const View& x : values) count_ = std::max(count_, minimeta::count(x));
  for (const FusedOperation& operation : operations_) cost_ += operation.function->cost;
  cost_ += static_cast<Index>(puts_.size());
  work_ = work({count_, cost_});
  choose_block(values, width);
  for (Index i = 0; i < n; ++i) locate_operand(operands[i]);
  make_commands(values);
  locate_results(values);
  plan_buffers();
  list_bases();
  is_block_alone_ = is_alone() && chunks_ == 1 && count_ <= block_ && copied_.empty() && puts_.empty() && far_.empty();
  for (std::size_t j = 0; j < sums_.size() && chunks_ > 1; ++j) {  // Memory for the chunks' sums.
    const Index shape[] = {chunks_, width};
    const Dtype dtype = results[values_.size() + j].dtype;
    describe(results.emplace_back(), "fused", dtype, 2, shape);
  }
  if (is_alone()) describe(results.emplace_back(), "fused", Dtype::uint8, 1, &memory_);
  return false;
}

// Whether an operand is only put into images, whose shape is another.
bool Fused::is_put(Index operand) const {
  return std::any_of(puts_.begin(), puts_.end(),
                     [=](const FusedPut& put) { return put.g == operand || put.cell == operand; });
}

// The operands and the results of the operations. Either all have one shape, or each fits in one
// block and none is summed.
std::vector<View> Fused::values_of(const View* operands, Index n) const {
  require(n >= 1, "fused", "at least one operand is needed");
  std::vector<View> values(operands, operands + n);
  for (const FusedPut& put : puts_) {
    const View &g = values.at(static_cast<std::size_t>(put.g)), &cell = values.at(static_cast<std::size_t>(put.cell));
    require(g.ndim == 4 && put.rows >= 1 && put.columns >= 1, "fused", "images have four axes, and windows a cell");
    require_float("fused", g);
    require_same_shape("fused", cell, g);
    require(cell.dtype == cell_dtype(put.rows * put.columns), "fused", "cells have the dtype that max_cell gives");
    const Index shape[] = {g.shape[0], g.shape[1] * put.rows, g.shape[2] * put.columns, g.shape[3]};
    describe(values.emplace_back(), "fused", g.dtype, 4, shape);
  }
  const bool are_short = sums_.empty() && puts_.empty() && std::all_of(values.begin(), values.end(), [](const View& x) {
                           return 0 < minimeta::count(x) && minimeta::count(x) <= fusion::kBlockElements;
                         });
  for (Index i = 0; i < inputs(); ++i)
    if (!are_short && !is_put(i))
      require_same_shape("fused", values[static_cast<std::size_t>(i)], puts_.empty() ? values[0] : values.back());
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
void Fused::choose_block(const std::vector<View>& values, Index width) {
  Index unit = std::max<Index>(width, 1), most = fusion::kBlockElements;
  const bool are_alike = !puts_.empty() || std::all_of(values.begin(), values.begin() + operands_,
                                                       [&](const View& x) { return same_shape(x, values[0]); });
  Index cached = fusion::kCachedElements, least = fusion::kLeastElements;
  if (count_ >= fusion::kLongElements) most /= 2, cached /= 2, least /= 2;
  while (count_ > fusion::kBlockElements && most > least && most * static_cast<Index>(values.size()) > cached)
    most /= 2;
  for (Index i = 0; i < operands_ && are_alike; ++i) {
    if (is_put(i)) continue;
    const Index repeats = period(values[static_cast<std::size_t>(i)]);
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
  if (is_put(value)) {
    location.advance = 0;
  } else if (repeats == 1) {
    location.advance = location.stride = 0;
  } else if (repeats == count) {
    const bool takes_long = block_ <= fusion::kLeastElements / 2;  // because there are many values
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
  layouts.resize(static_cast<std::size_t>(inputs()), Layout::dense);
  for (const RowCommand& each : commands_of(operations_, values, layouts, needed)) {
    const Index count = minimeta::count(values[static_cast<std::size_t>(each.result)]);
    Command command{each.kernel, each.count, {}, {}, {}, count, 0};
    std::copy_n(each.operands, each.count, command.values);
    command.values[each.count] = each.result;
    commands_.push_back(command);
  }
}

void Fused::locate_results(const std::vector<View>& values) {
  for (const FusedPut& put : puts_) {
    const View &g = values[static_cast<std::size_t>(put.g)],
               &x = values[static_cast<std::size_t>(operands_) + windowed_.size()];
    windowed_.push_back({put.rows, put.columns, x.shape[1], x.shape[2], x.shape[3], g.shape[1], g.shape[2]});
  }
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
  for (Index value = operands_; value < inputs(); ++value) add(location(static_cast<int>(value)), 0, 0);
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

}  // namespace minimeta

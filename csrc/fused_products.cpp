// Products and elementwise operations on them, a block of columns at a time: see fused_products.hpp.
#include "fused_products.hpp"

#include <algorithm>
#include <utility>

#include "interruption.hpp"
#include "matmul.hpp"
#include "parallel.hpp"
#include "product.hpp"

namespace minimeta {
namespace {

// Of a block: whole panels of vectors of every width, and whole chains. The rows of a buffer do not
// begin at one offset of a page, so that they are not in each other's way in the first-level cache.
constexpr Index kColumns = 512, kRow = kColumns + 16;
static_assert(ColumnSums::kPiece % kColumns == 0 && kColumns % kMatrixChain == 0);

Index inner(const View& x) { return x.shape[1]; }

// In elements; a stride along an axis of size 1 is never taken.
template <class T> Index step(const View& v, int axis) {
  return v.shape[axis] == 1 ? 1 : v.strides[axis] / Index{sizeof(T)};
}

}  // namespace

FusedProducts::FusedProducts(FusedColumns columns) : of_(std::move(columns)) {}

bool FusedProducts::check(View* operands, Index n, std::vector<View>& results) {
  operands_ = n;
  std::vector<View> values(operands, operands + n);
  add_products(values);
  add_operations(values);
  add_joined(values);
  for (const FusedProduct& product : of_.later) {
    require(is_operand(product.x) && !is_operand(product.y) && !product.transpose_y, "fused_products",
            "a product of what is computed has an operand on its left");
    parts_.push_back(part(product, values));
  }
  for (const int value : of_.results) results.push_back(values.at(static_cast<std::size_t>(value)));
  locate(values);
  make_commands(values);
  list_fetched(values);
  make_sums(values, results);
  plan_buffers();
  return false;
}

// Describes a product, and adds it to the values.
FusedProducts::Part FusedProducts::part(FusedProduct product, std::vector<View>& values) const {
  Part part{values.at(static_cast<std::size_t>(product.x)),
            values.at(static_cast<std::size_t>(product.y)),
            {product.x, product.y, static_cast<int>(values.size())},
            {}};
  if (product.transpose_x) swap_last_axes(part.x);
  if (product.transpose_y) swap_last_axes(part.y);
  View c;
  check_matmul(part.x, part.y, c);
  require(c.ndim == 2 && c.shape[0] > 1 && c.shape[1] > 1, "fused_products", "a product has two long axes");
  values.push_back(c);
  return part;
}

void FusedProducts::add_products(std::vector<View>& values) {
  for (const FusedProduct& product : of_.products) {
    require(is_operand(product.x) && is_operand(product.y), "fused_products", "a factor is no operand");
    parts_.push_back(part(product, values));
    require_same_shape("fused_products", values.back(), values[static_cast<std::size_t>(operands_)]);
  }
}

void FusedProducts::add_operations(std::vector<View>& values) {
  require(!of_.operations.empty(), "fused_products", "at least one operation is needed");
  for (const FusedOperation& operation : of_.operations) {
    View x[3], y;
    require(operation.operands.size() == static_cast<std::size_t>(operation.function->operands), "fused_products",
            "an operation takes another number of operands");
    for (std::size_t i = 0; i < operation.operands.size(); ++i) {
      x[i] = values.at(static_cast<std::size_t>(operation.operands[i]));
      if (!of_.products.empty())
        require_same_shape("fused_products", x[i], values[static_cast<std::size_t>(operands_)]);
    }
    check_elementwise(*operation.function, x, y);
    values.push_back(y);
  }
  const View& first = values[static_cast<std::size_t>(operands_) + of_.products.size()];
  require(first.ndim == 2, "fused_products", "operations are on matrices");
  rows_ = first.shape[0];
  columns_ = first.shape[1];
  for (std::size_t i = static_cast<std::size_t>(operands_); i < values.size(); ++i)
    require_same_shape("fused_products", values[i], first);
  for (const FusedOperation& operation : of_.operations) cost_ += rows_ * operation.function->cost;
}

void FusedProducts::add_joined(std::vector<View>& values) {
  const int end = static_cast<int>(values.size());
  for (const std::vector<int>& parts : of_.joined) {
    const View first = values.at(static_cast<std::size_t>(parts.at(0)));
    for (const int part : parts) {
      require(operands_ <= part && part < end, "fused_products", "a part is no result of an operation");
      require_same_dtype("fused_products", values[static_cast<std::size_t>(part)], first);
    }
    const Index shape[] = {static_cast<Index>(parts.size()) * rows_, columns_};
    describe(values.emplace_back(), "fused_products", first.dtype, 2, shape);
  }
}

// What is read as a matrix lies in its place with all its rows; of others a buffer holds one row.
void FusedProducts::locate(const std::vector<View>& values) {
  for (std::size_t value = 0; value < values.size(); ++value) {
    const View& v = values[value];
    const Index element = itemsize(v.dtype);
    const auto result = std::find(of_.results.begin(), of_.results.end(), static_cast<int>(value));
    if (static_cast<Index>(value) < operands_)
      locations_.push_back({static_cast<int>(value), v.strides[0], v.strides[1], v.strides[1], {}, -1, 0});
    else if (result != of_.results.end())
      locations_.push_back({static_cast<int>(operands_ + (result - of_.results.begin())),
                            columns_ * element,
                            element,
                            element,
                            {},
                            -1,
                            0});
    else
      locations_.push_back({-1, 0, 0, element, {kColumns * element, 0, 0, 0}, -1, 0});
  }
  const auto keep = [&](int value) {
    Location& each = location(value);
    if (each.address >= 0) return;
    each.row = kRow * each.stride;
    each.buffer.bytes = aligned(values[static_cast<std::size_t>(value)].shape[0] * each.row);
  };
  for (const Part& part : parts_) keep(part.values[1]), keep(part.values[2]);
  for (const FusedProduct& product : of_.contractions) keep(product.x);
  for (const FusedColumnSum& sum : of_.sums) keep(sum.value);
  int whole = static_cast<int>(values.size() - of_.later.size() - of_.joined.size());
  for (const std::vector<int>& parts : of_.joined) {
    keep(whole);
    Index place = 0;
    for (const int part : parts) {
      Location& each = location(part);
      require(each.address < 0 && each.whole < 0, "fused_products", "a joined value has parts that are no results");
      each.row = kRow * each.stride;
      each.whole = whole;
      each.place = std::exchange(place, place + rows_);
    }
    ++whole;
  }
  for (Part& part : parts_) {
    const View& x = part.x;
    const Location &y = location(part.values[1]), &c = location(part.values[2]);
    if (!is_operand(part.values[1])) part.y.strides[0] = y.row;
    for (Index i = 0; i < x.shape[0]; ++i) part.rows.push_back(i * x.strides[0] / itemsize(x.dtype));
    for (Index i = 0; i < x.shape[0]; ++i) part.rows.push_back(i * c.row / c.stride);
    cost_ += x.shape[0] * inner(x) / kAtOnce;
  }
}

void FusedProducts::make_commands(const std::vector<View>& values) {
  const std::size_t first = static_cast<std::size_t>(operands_) + of_.products.size();
  std::vector<int> needed = of_.results;
  for (std::size_t value = first; value < first + of_.operations.size(); ++value)
    if (locations_[value].row > 0) needed.push_back(static_cast<int>(value));
  std::vector<Layout> layouts;
  for (std::size_t value = 0; value < first; ++value) {
    const Index stride = locations_[value].stride;
    layouts.push_back(stride == 0                               ? Layout::repeated
                      : stride == itemsize(values[value].dtype) ? Layout::dense
                                                                : Layout::strided);
  }
  for (const RowCommand& each : commands_of(of_.operations, values, layouts, needed)) {
    Command command{each.kernel, each.count, {}, {}, {}};
    std::copy_n(each.operands, each.count, command.values);
    command.values[each.count] = each.result;
    for (int i = 0; i <= each.count; ++i) {
      const Location& value = location(command.values[i]);
      command.strides[i] = value.stride;
      command.rows[i] = value.row;
    }
    commands_.push_back(command);
  }
}

// What lies in memory, but for what repeats.
void FusedProducts::list_fetched(const std::vector<View>& values) {
  const auto add = [&](Fetched each, Index element) {
    const auto is_same = [&](const Fetched& other) { return other.address == each.address; };
    const bool is_new = std::none_of(fetched_.begin(), fetched_.end(), is_same);
    if (is_new && each.row != 0 && each.column == element) fetched_.push_back(each);
  };
  const auto add_matrix = [&](int operand, bool turned, Index blocks) {
    View y = values[static_cast<std::size_t>(operand)];
    if (turned) swap_last_axes(y);
    add({operand, y.shape[0], y.strides[0], y.strides[1], blocks}, itemsize(y.dtype));
  };
  for (const Command& command : commands_)
    for (int i = 0; i <= command.operands; ++i) {
      const Location& each = location(command.values[i]);
      if (each.address >= 0) add({each.address, rows_, each.row, each.column, -1}, each.stride);
    }
  for (const FusedProduct& product : of_.products) add_matrix(product.y, product.transpose_y, 1);
  for (const FusedProduct& product : of_.contractions) add_matrix(product.y, !product.transpose_y, 0);
}

void FusedProducts::make_sums(const std::vector<View>& values, std::vector<View>& results) {
  const auto address = [&] { return static_cast<int>(operands_ + static_cast<Index>(results.size())); };
  for (const FusedProduct& product : of_.contractions) {
    require(!is_operand(product.x) && !product.transpose_x && is_operand(product.y), "fused_products",
            "a contraction has what is computed on its left, and an operand on its right");
    const View& x = values.at(static_cast<std::size_t>(product.x));
    View y = values[static_cast<std::size_t>(product.y)], c;
    if (product.transpose_y) swap_last_axes(y);
    check_matmul(x, y, c);
    require(c.shape[0] > 1 && c.shape[1] > 1, "fused_products", "a product has two long axes");
    swap_last_axes(y);
    sums_of(product.x, values).add_product(y, product.y, address());
    results.push_back(c);
  }
  for (const FusedColumnSum& sum : of_.sums) {
    const View& x = values.at(static_cast<std::size_t>(sum.value));
    require(!is_operand(sum.value), "fused_products", "a sum is of what is computed");
    require_float("fused_products", x);
    sums_of(sum.value, values).add_sum(address());
    const Index shape[] = {x.shape[0], 1};
    describe(results.emplace_back(), "fused_products", x.dtype, sum.keepdims ? 2 : 1, shape);
  }
  for (ColumnSums& sums : sums_) {
    sums.set_row(location(sums.value()).row);
    cost_ += sums.cost() / kAtOnce;
    sums.describe_pieces(results.emplace_back());
  }
}

// Those of one value are computed together.
ColumnSums& FusedProducts::sums_of(int value, const std::vector<View>& values) {
  for (ColumnSums& sums : sums_)
    if (sums.value() == value) return sums;
  return sums_.emplace_back(value, values[static_cast<std::size_t>(value)]);
}

// What has all its rows in a buffer is there for the whole block; the buffer of a row is free after
// the last command that reads it.
void FusedProducts::plan_buffers() {
  std::vector<Lifetime*> buffers;
  const Index end = static_cast<Index>(commands_.size());
  for (Location& each : locations_) {
    if (each.address >= 0 || each.row == 0 || each.whole >= 0) continue;
    each.buffer.last = end;
    buffers.push_back(&each.buffer);
  }
  for (Index now = 0; now < end; ++now) {
    const Command& command = commands_[static_cast<std::size_t>(now)];
    for (int i = 0; i < command.operands; ++i) {
      Index& last = location(command.values[i]).buffer.last;
      last = std::max(last, now);
    }
    Location& result = location(command.values[command.operands]);
    if (result.address >= 0 || result.row > 0) continue;
    result.buffer.bytes = aligned(result.buffer.bytes) + 4 * kAlignment;  // not all at one offset of a page
    result.buffer.first = result.buffer.last = now;
    buffers.push_back(&result.buffer);
  }
  memory_ = minimeta::plan(buffers, true);
  for (Location& each : locations_)
    if (each.whole >= 0) each.buffer.offset = location(each.whole).buffer.offset + each.place * each.row;
}

// One thread's part of a run.
class FusedProducts::Worker {
 public:
  Worker(const FusedProducts& fused, char* const* data) : fused_(fused), data_(data) {
    static thread_local Scratch<char> scratch;
    memory_ = scratch.take(fused.memory_);
  }

  void run(Index first) {
    const Index size = std::min(kColumns, fused_.columns_ - first);
    const std::size_t before = fused_.of_.products.size();
    for (std::size_t p = 0; p < before; ++p) multiply(fused_.parts_[p], first, size);
    begins_.clear();
    for (const Command& command : fused_.commands_)
      for (const int value : command.values) begins_.push_back(at(value, first));
    for (Index i = 0; i < fused_.rows_; ++i) {
      aim(first, i);
      char** begins = begins_.data();
      for (const Command& command : fused_.commands_) {
        fetch();
        command.kernel(begins, command.strides, size);
        for (const Index row : command.rows) *begins++ += row;
      }
    }
    for (std::size_t p = before; p < fused_.parts_.size(); ++p) multiply(fused_.parts_[p], first, size);
    for (std::size_t i = 0; i < fused_.sums_.size(); ++i) {
      const ColumnSums& sums = fused_.sums_[i];
      sums.add(data_, at(sums.value(), first), first, size, fused_.pieces(data_, i));
    }
  }

 private:
  // Looks for what to fetch while row i is computed: the next row of what operations read and write,
  // and a share of the rows that a product of the next block, or a contraction of this one, reads.
  void aim(Index first, Index i) {
    ahead_.clear();
    Index lines = 0;
    for (const Fetched& each : fused_.fetched_) {
      const Index from = each.blocks < 0 ? i + 1 : i * each.rows / fused_.rows_;
      const Index to = each.blocks < 0 ? i + 2 : (i + 1) * each.rows / fused_.rows_;
      for (Index row = from; row < to; ++row) {
        const bool is_over = row == each.rows;
        const Index column = first + (is_over ? 1 : std::max<Index>(each.blocks, 0)) * kColumns;
        const Index bytes = std::min(kColumns, fused_.columns_ - column) * each.column;
        const char* const begin = data_[each.address] + column * each.column + (is_over ? 0 : row) * each.row;
        if (bytes <= 0) continue;
        ahead_.push_back({begin, begin + bytes, 0});
        lines += (bytes + kAlignment - 1) / kAlignment;
      }
    }
    next_ = ahead_.begin();
    at_once_ = lines / static_cast<Index>(fused_.commands_.size()) + 1;
  }

  // Fetches a few lines, so that none waits for those before it.
  void fetch() {
    for (Index left = at_once_; left > 0 && next_ != ahead_.end();) {
      const char* const at = next_->at;
      const Index bytes = std::min(left * kAlignment, next_->end - at);
      for (Index byte = 0; byte < bytes; byte += kAlignment) __builtin_prefetch(at + byte);
      left -= (bytes + kAlignment - 1) / kAlignment;
      next_->at = at + bytes;
      if (next_->at == next_->end) ++next_;
    }
  }

  void multiply(const Part& part, Index first, Index size) {
    with_float(part.x.dtype, [&](auto tag) { multiply<typename decltype(tag)::type>(part, first, size); });
  }

  template <class T> void multiply(const Part& part, Index first, Index size) {
    static thread_local Scratch<T> scratch;
    const Index row = step<T>(part.y, 0), column = step<T>(part.y, 1);
    const auto [left, right, product] = part.values;
    const T* const y = fused_.is_operand(right) ? reinterpret_cast<const T*>(data_[right]) + first * column
                                                : reinterpret_cast<const T*>(at(right, first));
    const Product<T> q{{1, 1, inner(part.x)},
                       reinterpret_cast<const T*>(data_[left]),
                       part.rows.data(),
                       {0, 0, step<T>(part.x, 1)},
                       y,
                       {0, 0, row},
                       reinterpret_cast<T*>(at(product, first)),
                       part.rows.data() + part.x.shape[0],
                       1,
                       false};
    minimeta::multiply(q, part.x.shape[0], size, column, column != 1, scratch, kMatrixChain);
  }

  char* at(int value, Index column) const {
    const Location& each = fused_.location(value);
    return each.address < 0 ? memory_ + each.buffer.offset : data_[each.address] + column * each.column;
  }

  const FusedProducts& fused_;
  char* const* const data_;
  char* memory_;
  std::vector<char*> begins_;  // of the row that is computed, of each command's values
  std::vector<Ahead> ahead_;  // what to fetch while it is computed
  std::vector<Ahead>::iterator next_;
  Index at_once_ = 0;  // lines
};

void FusedProducts::run(char* const* data, Watch*) const {
  const Index piece = sums_.empty() ? kColumns : ColumnSums::kPiece, pieces = (columns_ + piece - 1) / piece;
  parallel_for(pieces, work({columns_, cost_}), [&](Index first, Index last) {
    Worker worker(*this, data);
    for (Index column = first * piece; column < std::min(columns_, last * piece); column += kColumns) {
      spend(kColumns * cost_);
      worker.run(column);
    }
  });
  for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i].join(data, this->pieces(data, i));
}

}  // namespace minimeta

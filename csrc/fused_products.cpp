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

constexpr Index kColumns = 480;  // of a block: whole panels of vectors of every width

Index inner(const View& x) { return x.shape[1]; }

// In elements; a stride along an axis of size 1 is never taken.
template <class T> Index step(const View& v, int axis) {
  return v.shape[axis] == 1 ? 1 : v.strides[axis] / Index{sizeof(T)};
}

}  // namespace

FusedProducts::FusedProducts(std::vector<FusedProduct> products, std::vector<FusedOperation> operations,
                             std::vector<int> results)
    : products_(std::move(products)), operations_(std::move(operations)), results_(std::move(results)) {}

bool FusedProducts::check(View* operands, Index n, std::vector<View>& results) {
  std::vector<View> values(operands, operands + n);
  add_products(values);
  add_operations(values);
  for (const int value : results_) results.push_back(values.at(static_cast<std::size_t>(value)));
  locate(values, n);
  make_commands(values, n + static_cast<Index>(products_.size()));
  plan_buffers(n);
  return false;
}

void FusedProducts::add_products(std::vector<View>& values) {
  const std::size_t n = values.size();
  require(!products_.empty(), "fused_products", "at least one product is needed");
  for (const FusedProduct& product : products_) {
    require(std::max(product.x, product.y) < static_cast<int>(n) && std::min(product.x, product.y) >= 0,
            "fused_products", "a factor is no operand");
    Part part{values[static_cast<std::size_t>(product.x)],
              values[static_cast<std::size_t>(product.y)],
              {product.x, product.y},
              {}};
    if (product.transpose_x) swap_last_axes(part.x);
    if (product.transpose_y) swap_last_axes(part.y);
    View c;
    check_matmul(part.x, part.y, c);
    require(c.ndim == 2 && c.shape[0] > 1 && c.shape[1] > 1, "fused_products", "a product has two long axes");
    values.push_back(c);
    require_same_shape("fused_products", c, values[n]);
    const Index element = itemsize(c.dtype);
    for (Index i = 0; i < c.shape[0]; ++i) part.rows.push_back(i * part.x.strides[0] / element);
    for (Index i = 0; i < c.shape[0]; ++i) part.rows.push_back(i * kColumns);
    cost_ += c.shape[0] * inner(part.x) / kAtOnce;
    parts_.push_back(std::move(part));
  }
  rows_ = values[n].shape[0];
  columns_ = values[n].shape[1];
}

void FusedProducts::add_operations(std::vector<View>& values) {
  const View product = values.back();
  for (const FusedOperation& operation : operations_) {
    View x[3], y;
    require(operation.operands.size() == static_cast<std::size_t>(operation.function->operands), "fused_products",
            "an operation takes another number of operands");
    for (std::size_t i = 0; i < operation.operands.size(); ++i) {
      x[i] = values.at(static_cast<std::size_t>(operation.operands[i]));
      require_same_shape("fused_products", x[i], product);
    }
    check_elementwise(*operation.function, x, y);
    values.push_back(y);
    cost_ += rows_ * operation.function->cost;
  }
}

void FusedProducts::locate(const std::vector<View>& values, Index n) {
  for (std::size_t value = 0; value < values.size(); ++value) {
    const View& v = values[value];
    const Index element = itemsize(v.dtype);
    const auto result = std::find(results_.begin(), results_.end(), static_cast<int>(value));
    if (static_cast<Index>(value) < n)
      locations_.push_back({static_cast<int>(value), v.strides[0], v.strides[1], v.strides[1], {}});
    else if (result != results_.end())
      locations_.push_back(
          {static_cast<int>(n + (result - results_.begin())), columns_ * element, element, element, {}});
    else
      locations_.push_back({-1, 0, 0, element, {kColumns * element, 0, 0, 0}});
  }
  for (std::size_t p = 0; p < products_.size(); ++p) {
    Location& product = locations_[static_cast<std::size_t>(n) + p];
    require(product.address < 0, "fused_products", "a product is no result");
    product.row = kColumns * product.stride;
    product.buffer.bytes = aligned(rows_ * product.row);
  }
}

void FusedProducts::make_commands(const std::vector<View>& values, Index first) {
  for (const RowCommand& each : commands_of(operations_, values, first, results_)) {
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

// The products are there for all rows; the buffer of a row is free after the last command that reads
// it.
void FusedProducts::plan_buffers(Index n) {
  std::vector<Lifetime*> buffers;
  const Index end = static_cast<Index>(commands_.size());
  for (std::size_t p = 0; p < products_.size(); ++p) {
    Lifetime& product = locations_[static_cast<std::size_t>(n) + p].buffer;
    product.last = end;
    buffers.push_back(&product);
  }
  for (Index now = 0; now < end; ++now) {
    const Command& command = commands_[static_cast<std::size_t>(now)];
    for (int i = 0; i < command.operands; ++i) {
      Index& last = location(command.values[i]).buffer.last;
      last = std::max(last, now);
    }
    Location& result = location(command.values[command.operands]);
    if (result.address >= 0) continue;
    result.buffer.bytes = aligned(result.buffer.bytes) + 4 * kAlignment;  // not all at one offset of a page
    result.buffer.first = result.buffer.last = now;
    buffers.push_back(&result.buffer);
  }
  memory_ = minimeta::plan(buffers, true);
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
    const std::size_t factors = fused_.locations_.size() - fused_.operations_.size() - fused_.parts_.size();
    for (std::size_t p = 0; p < fused_.parts_.size(); ++p)
      with_float(fused_.parts_[p].x.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        multiply<T>(fused_.parts_[p], fused_.locations_[factors + p], first, size);
      });
    begins_.clear();
    for (const Command& command : fused_.commands_)
      for (const int value : command.values) begins_.push_back(at(value, first));
    for (Index i = 0; i < fused_.rows_; ++i) {
      char** begins = begins_.data();
      for (const Command& command : fused_.commands_) {
        command.kernel(begins, command.strides, size);
        for (const Index row : command.rows) *begins++ += row;
      }
    }
  }

 private:
  template <class T> void multiply(const Part& part, const Location& product, Index first, Index size) {
    static thread_local Scratch<T> scratch;
    const Index terms = inner(part.x), row = step<T>(part.y, 0), column = step<T>(part.y, 1);
    const T* const x = reinterpret_cast<const T*>(data_[part.operands[0]]);
    const T* const y = reinterpret_cast<const T*>(data_[part.operands[1]]) + first * column;
    T* const c = reinterpret_cast<T*>(memory_ + product.buffer.offset);
    const Product<T> q{{1, 1, terms},
                       x,
                       part.rows.data(),
                       {0, 0, step<T>(part.x, 1)},
                       y,
                       {0, 0, row},
                       c,
                       part.rows.data() + fused_.rows_,
                       1,
                       false};
    minimeta::multiply(q, fused_.rows_, size, column, column != 1, scratch, kMatrixChain);
  }

  char* at(int value, Index column) const {
    const Location& each = fused_.locations_[static_cast<std::size_t>(value)];
    return each.address < 0 ? memory_ + each.buffer.offset : data_[each.address] + column * each.column;
  }

  const FusedProducts& fused_;
  char* const* const data_;
  char* memory_;
  std::vector<char*> begins_;  // of the row that is computed, of each command's values
};

void FusedProducts::run(char* const* data, Watch*) const {
  const Index blocks = (columns_ + kColumns - 1) / kColumns;
  parallel_for(blocks, work({columns_, cost_}), [&](Index first, Index last) {
    Worker worker(*this, data);
    for (Index block = first; block < last; ++block) {
      spend(kColumns * cost_);
      worker.run(block * kColumns);
    }
  });
}

}  // namespace minimeta

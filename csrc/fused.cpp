// Running elementwise operations together: see fused.hpp.
#include "fused.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "fold.hpp"
#include "parallel.hpp"
#include "tile.hpp"

namespace minimeta {
namespace {

constexpr Index kElements = 512;  // of a block
constexpr Index kAlignment = 64;
constexpr Index kFar = Index{16} << 20;  // bytes of a result that no cache holds when it is read
constexpr std::size_t kMostValues = 128;

// The length of the part that repeats along leading axes and is contiguous; 0 if x does not lie like that.
Index period(const View& x) {
  Index size = 1;
  int d = x.ndim - 1;
  for (; d >= 0 && (x.shape[d] == 1 || x.strides[d] == size * itemsize(x.dtype)); --d) size *= x.shape[d];
  for (; d >= 0; --d)
    if (x.shape[d] != 1 && x.strides[d] != 0) return 0;
  return size;
}

// y is x, of `period` elements, again and again until it has n.
template <class T> void repeat(const T* x, Index period, T* y, Index n) {
  using V = simd::Vec<T>;
  constexpr Index lanes = simd::kLanes<T>;
  for (T* const end = y + n; y != end; y += period) {
    if (period < lanes) {
      for (Index i = 0; i < period; ++i) y[i] = x[i];
      continue;
    }
    for (Index i = 0; i + lanes <= period; i += lanes) simd::store(y + i, simd::load<V>(x + i));
    simd::store(y + period - lanes, simd::load<V>(x + period - lanes));
  }
}

// A copy past the caches, where memory is aligned to it.
void stream(const char* from, char* to, Index bytes) {
  using V = simd::Vec<std::uint64_t>;
  Index i = 0;
  if (reinterpret_cast<std::uintptr_t>(to) % sizeof(V) == 0)
    for (; i + Index{sizeof(V)} <= bytes; i += sizeof(V)) simd::stream(to + i, simd::load<V>(from + i));
  std::memcpy(to + i, from + i, static_cast<std::size_t>(bytes - i));
}

// The sums of the terms of one chunk, 1024 for each output.
class Terms {
 public:
  virtual ~Terms() = default;
  virtual void add(const char* block, Index elements) = 0;
  virtual void finish(char* sums) = 0;  // and begin anew
};

// Several outputs: each row of a block holds a term of each.
template <class T> class Sums {
 public:
  explicit Sums(Index width) : width_(width), panel_(static_cast<int>(width), kZeros) {}
  // The next terms; where `sums` is given, the sums of all since it was last given.
  void add(const T* x, Index elements, T* sums = nullptr) {
    const T* const end = x + elements;
    do {
      const T* rows[kRows];
      int n = 0;
      for (; n < kRows && x != end; x += width_) rows[n++] = x;
      widened_.copy(rows, n, static_cast<int>(width_));
      panel_.add(rows, n, x == end ? sums : nullptr);
    } while (x != end);
  }

 private:
  static constexpr T kZeros[kPanel] = {};
  const Index width_;
  Panel<T, Itself, Sum> panel_;
  Widened<T> widened_;
};

template <class T> class Rows final : public Terms {
 public:
  explicit Rows(Index width) : sums_(width) {}
  void add(const char* block, Index elements) override { sums_.add(reinterpret_cast<const T*>(block), elements); }
  void finish(char* sums) override { sums_.add(nullptr, 0, reinterpret_cast<T*>(sums)); }

 private:
  Sums<T> sums_;
};

// One output: terms lie side by side.
template <class T> class Along final : public Terms {
 public:
  void add(const char* block, Index elements) override {
    std::copy_n(reinterpret_cast<const T*>(block), elements, terms_ + size_);
    size_ += elements;
  }
  void finish(char* sums) override {
    const T parameter = 0;
    fold_blocks<1, T, Itself, Sum>(reinterpret_cast<const char*>(terms_), 0, std::exchange(size_, 0), &parameter,
                                   reinterpret_cast<T*>(sums));
  }

 private:
  Index size_ = 0;
  T terms_[kBlock];
};

// All terms at once, where they are one block.
template <class T> void sum_block(const T* x, Index elements, Index width, bool mean, T* y) {
  if (width == 1) {
    const T parameter = 0;
    fold_blocks<1, T, Itself, Sum>(reinterpret_cast<const char*>(x), 0, elements, &parameter, y);
  } else {
    Sums<T> sums(width);
    sums.add(x, elements, y);
  }
  for (Index i = 0; mean && i < width; ++i) y[i] /= static_cast<T>(elements / width);
}

template <class T> std::unique_ptr<Terms> terms(Index width) {
  if (width == 1) return std::make_unique<Along<T>>();
  return std::make_unique<Rows<T>>(width);
}

// The chunks' sums, joined in the order of every sum.
template <class T> void join(char* chunks, Index n, Index width, Index terms, bool mean, char* result) {
  T* const y = reinterpret_cast<T*>(result);
  T* const x = reinterpret_cast<T*>(chunks);
  if (n == 1) {
    std::copy_n(x, width, y);
  } else {
    const std::unique_ptr<T[]> levels(new T[static_cast<std::size_t>(Tree<T, Sum>::levels(n) * width)]);
    Tree<T, Sum> tree(static_cast<int>(width), levels.get());
    for (Index i = 0; i < n; ++i) tree.push(x + i * width);
    std::copy_n(tree.finish(), width, y);
  }
  if (mean)
    for (Index i = 0; i < width; ++i) y[i] /= static_cast<T>(terms);
}

}  // namespace

Fused::Fused(std::vector<FusedOperation> operations, std::vector<int> values, std::vector<FusedSum> sums)
    : operations_(std::move(operations)), values_(std::move(values)), sums_(std::move(sums)) {}

bool Fused::check(View* operands, Index n, std::vector<View>& results) {
  if (n < 1) throw std::invalid_argument("fused: at least one operand is needed");
  std::vector<View> values(operands, operands + n);
  bool are_short = sums_.empty(), are_alike = true;
  for (const View& x : values) {
    are_short = are_short && 0 < minimeta::count(x) && minimeta::count(x) <= kElements;
    are_alike = are_alike && same_shape(x, values[0]);
  }
  for (const View& x : values)
    if (!are_short) require_same_shape("fused", x, values[0]);
  for (const FusedOperation& operation : operations_) {
    View x[3], y;
    if (operation.operands.size() != static_cast<std::size_t>(operation.function->operands))
      throw std::invalid_argument("fused: another number of operands");
    for (std::size_t i = 0; i < operation.operands.size(); ++i)
      x[i] = values.at(static_cast<std::size_t>(operation.operands[i]));
    check_elementwise(*operation.function, x, y);
    values.push_back(y);
  }
  if (values.size() > kMostValues) throw std::invalid_argument("fused: too many values");
  for (const int value : values_) {
    if (value < n) throw std::invalid_argument("fused: an operand is no result");
    results.push_back(values.at(static_cast<std::size_t>(value)));
  }

  for (const View& x : values) count_ = std::max(count_, minimeta::count(x));
  Index width = 0;
  for (const FusedSum& sum : sums_) {
    const View& x = values.at(static_cast<std::size_t>(sum.value));
    require_float("fused", "a sum", x);
    if (sum.axes < 0 || sum.axes > x.ndim) throw std::invalid_argument("fused: axes of a sum");
    Index shape[kMaxDims];
    const int added = sum.keepdims ? sum.axes : 0;
    std::fill_n(shape, added, 1);
    std::copy_n(x.shape + sum.axes, x.ndim - sum.axes, shape + added);
    describe(results.emplace_back(), "fused", x.dtype, x.ndim - sum.axes + added, shape);
    const Index left = minimeta::count(results.back());
    if (left < 1 || left > kPanel || (width > 0 && left != width))
      throw std::invalid_argument("fused: sums must leave the same axes, of " + std::to_string(kPanel) + " elements at most");
    width = left;
  }
  // A block holds whole rows of a sum, and whole repetitions of as many operands as can be.
  Index unit = std::max<Index>(width, 1);
  for (Index i = 0; i < n; ++i) {
    const Index repeats = period(operands[i]), both = repeats > 0 ? std::lcm(unit, repeats) : 0;
    if (are_alike && repeats > 0 && repeats <= kElements && both <= kElements && (width == 0 || kBlock * width % both == 0)) unit = both;
  }
  block_ = kElements / unit * unit;
  chunk_ = width > 0 ? kBlock * width : block_;
  for (Index i = 0; i < n; ++i) place_operand(operands[i]);
  place_results(values, static_cast<std::size_t>(n));
  for (const FusedOperation& operation : operations_) cost_ += operation.function->cost;
  work_ = work({count_, cost_});
  chunks_ = (count_ + chunk_ - 1) / chunk_;
  if (is_block()) {
    fix_places(static_cast<std::size_t>(n), results);
    return false;
  }
  // For each sum, memory for those of the chunks.
  const std::size_t visible = results.size();
  for (std::size_t j = values_.size(); j < visible; ++j) {
    const Index shape[] = {chunks_, width};
    describe(results.emplace_back(), "fused", results[j].dtype, 2, shape);
  }
  return false;
}

void Fused::place_operand(const View& x) {
  const Index element = itemsize(x.dtype), repeats = period(x);
  const Index count = minimeta::count(x);
  Place place{Place::Kind::memory, element, element, repeats, count, static_cast<int>(places_.size()), x.dtype, nullptr};
  if (repeats == 1) {
    place.advance = place.stride = 0;
  } else if (repeats != count) {
    const bool fits = repeats > 0 && block_ % repeats == 0 && chunk_ % repeats == 0;
    place.kind = fits ? Place::Kind::tiled : Place::Kind::copied;
  }
  if (place.kind == Place::Kind::copied) {
    place.loop = std::make_unique<Loop<1>>();
    plan<1>(*place.loop, {&x}, 0, x.ndim);
  }
  if (place.kind != Place::Kind::memory) {
    place.advance = 0;
    place.buffer = buffers_++;
  }
  if (place.kind == Place::Kind::tiled) tiled_.push_back(static_cast<int>(places_.size()));
  if (place.kind == Place::Kind::copied) copied_.push_back(static_cast<int>(places_.size()));
  places_.push_back(std::move(place));
}

// The rows: an operation that only feeds another is part of that one's, where there is a row of both.
void Fused::make_rows(const std::vector<View>& values, std::size_t n) {
  std::vector<int> readers(values.size(), 0);
  for (const FusedOperation& operation : operations_)
    for (const int i : operation.operands) ++readers[static_cast<std::size_t>(i)];
  for (const int value : values_) ++readers[static_cast<std::size_t>(value)];
  for (const FusedSum& sum : sums_) ++readers[static_cast<std::size_t>(sum.value)];

  std::vector<std::vector<int>> operands;
  std::vector<bool> taken(operations_.size(), false), is_pair = taken;
  for (std::size_t k = 0; k < operations_.size(); ++k) {
    const FusedOperation& operation = operations_[k];
    const Dtype dtype = values[static_cast<std::size_t>(operation.operands.back())].dtype;
    RowKernel kernel = operation.function->row[static_cast<int>(dtype)];
    operands.push_back(operation.operands);
    for (std::size_t p = 0; p < operation.operands.size() && !is_pair[k]; ++p) {
      const std::size_t i = static_cast<std::size_t>(operation.operands[p]), inner = i - n;
      if (i < n || readers[i] > 1 || is_pair[inner]) continue;
      const RowKernel both = row_of_both(*operation.function, *operations_[inner].function, static_cast<int>(p), dtype);
      if (!both) continue;
      kernel = both;
      is_pair[k] = taken[inner] = true;
      const auto place = operands[k].erase(operands[k].begin() + static_cast<std::ptrdiff_t>(p));
      operands[k].insert(place, operands[inner].begin(), operands[inner].end());
    }
    Row row{kernel, static_cast<int>(operands[k].size()), {}, {}, minimeta::count(values[n + k])};
    std::copy(operands[k].begin(), operands[k].end(), row.places);
    row.places[row.operands] = static_cast<int>(n + k);
    rows_.push_back(row);
  }
  std::size_t k = 0;
  rows_.erase(std::remove_if(rows_.begin(), rows_.end(), [&](const Row&) { return taken[k++]; }), rows_.end());
}

// Results that nobody needs outside share buffers: one is free again after the last row that reads it.
void Fused::place_results(const std::vector<View>& values, std::size_t n) {
  make_rows(values, n);
  std::vector<std::size_t> last(values.size(), 0);
  for (std::size_t r = 0; r < rows_.size(); ++r)
    for (int i = 0; i < rows_[r].operands; ++i) last[static_cast<std::size_t>(rows_[r].places[i])] = r;
  for (const FusedSum& sum : sums_) last[static_cast<std::size_t>(sum.value)] = rows_.size();
  for (std::size_t value = n; value < values.size(); ++value) {
    const Index element = itemsize(values[value].dtype), count = minimeta::count(values[value]);
    const auto result = std::find(values_.begin(), values_.end(), static_cast<int>(value));
    const int address = static_cast<int>(n) + static_cast<int>(result - values_.begin());
    const bool visible = result != values_.end(), far = visible && count * element >= kFar;
    if (visible && !far)
      places_.push_back({Place::Kind::memory, element, element, 0, count, address, values[value].dtype, nullptr});
    else
      places_.push_back({Place::Kind::computed, 0, element, 0, count, 0, values[value].dtype, nullptr});
    if (!far) continue;
    far_.push_back({static_cast<int>(value), address});
    last[value] = rows_.size();
  }
  std::vector<int> idle;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    Row& row = rows_[r];
    Place& result = places_[static_cast<std::size_t>(row.places[row.operands])];
    if (result.kind == Place::Kind::computed) {
      result.buffer = idle.empty() ? buffers_++ : idle.back();
      if (!idle.empty()) idle.pop_back();
    }
    for (int i = 0; i < row.operands; ++i) {
      const Place& place = places_[static_cast<std::size_t>(row.places[i])];
      row.strides[i] = place.stride;
      const bool again = std::find(row.places, row.places + i, row.places[i]) != row.places + i;
      if (place.kind == Place::Kind::computed && !again && last[static_cast<std::size_t>(row.places[i])] == r)
        idle.push_back(place.buffer);
    }
  }
}

// Some lines of cache more than its elements, so that no two buffers begin at the same line of a page.
Index Fused::buffer_bytes(Index elements) const {
  Index widest = 1;
  for (const Place& place : places_) widest = std::max(widest, itemsize(place.dtype));
  return (elements * widest + kAlignment - 1) / kAlignment * kAlignment + 4 * kAlignment;
}

// Buffers one after another, in memory that the program has for them.
void Fused::fix_places(std::size_t operands, std::vector<View>& results) {
  const Index size = buffer_bytes(count_), all[] = {buffers_ * size};
  const int memory = static_cast<int>(operands + results.size());
  describe(results.emplace_back(), "fused", Dtype::boolean, 1, all);
  for (const Place& place : places_)
    fixed_.push_back(place.kind == Place::Kind::memory ? Fixed{place.buffer, 0} : Fixed{memory, place.buffer * size});
}

void Fused::tile(const Place& place, const char* from, char* to, Index size) {
  with_size(place.stride, [&](auto tag) {
    using T = typename decltype(tag)::type;
    repeat(reinterpret_cast<const T*>(from), place.period, reinterpret_cast<T*>(to), size);
  });
}

void Fused::copy_block(const Place& place, char* from, char* to, Index first, Index size) {
  char* const data[1] = {from};
  for_each_row<1>(*place.loop, data, first, first + size, [&](char* const* row, const Index* strides, Index n) {
    char* const pair[2] = {row[0], to};
    const Index steps[2] = {strides[0], place.stride};
    with_size(place.stride, [&](auto tag) { copy_row<typename decltype(tag)::type>(pair, steps, n); });
    to += n * place.stride;
  });
}

void Fused::run_block(char* const* data) const {
  const auto at = [&](int v) {
    const Fixed& fixed = fixed_[static_cast<std::size_t>(v)];
    return data[fixed.address] + fixed.offset;
  };
  const auto place = [&](int v) -> const Place& { return places_[static_cast<std::size_t>(v)]; };
  for (const int v : tiled_) tile(place(v), data[v], at(v), place(v).count);
  for (const int v : copied_) copy_block(place(v), data[v], at(v), 0, place(v).count);
  for (const Row& row : rows_) {
    char* addresses[4];
    for (int i = 0; i <= row.operands; ++i) addresses[i] = at(row.places[i]);
    row.kernel(addresses, row.strides, row.count);
  }
  char* const* const sums = data + places_.size() - operations_.size() + values_.size();
  for (std::size_t j = 0; j < sums_.size(); ++j)
    with_float(places_[static_cast<std::size_t>(sums_[j].value)].dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      sum_block(reinterpret_cast<const T*>(at(sums_[j].value)), count_, chunk_ / kBlock, sums_[j].mean,
                reinterpret_cast<T*>(sums[j]));
    });
}

// What one thread runs with.
class Fused::Worker {
 public:
  Worker(const Fused& fused, char* const* data)
      : fused_(fused),
        data_(data),
        sums_(data + fused.places_.size() - fused.operations_.size() + fused.values_.size()) {
    const Index size = fused.buffer_bytes(fused.block_);
    char* memory = few_;
    if (fused.buffers_ * size > kFew) {
      static thread_local Scratch<char> scratch;
      memory = scratch.take(fused.buffers_ * size + kAlignment);
      memory += (kAlignment - reinterpret_cast<std::uintptr_t>(memory) % kAlignment) % kAlignment;
    }
    for (std::size_t v = 0; v < fused.places_.size(); ++v) {
      const Place& place = fused.places_[v];
      base_[v] = place.kind == Place::Kind::memory ? data[place.buffer] : memory + place.buffer * size;
      if (place.kind == Place::Kind::tiled) tile(place, data[v], base_[v], fused.block_);
    }
    for (const FusedSum& sum : fused.sums_)
      with_float(fused.places_[static_cast<std::size_t>(sum.value)].dtype, [&](auto tag) {
        terms_.push_back(terms<typename decltype(tag)::type>(fused.chunk_ / kBlock));
      });
  }

  void run(Index chunk) {
    spend(patience_, fused_.chunk_ * fused_.cost_);
    const Index end = std::min(fused_.count_, (chunk + 1) * fused_.chunk_);
    for (Index first = chunk * fused_.chunk_; first < end; first += fused_.block_)
      run_block(first, std::min(fused_.block_, end - first));
    for (std::size_t j = 0; j < terms_.size(); ++j) {
      const Place& place = fused_.places_[static_cast<std::size_t>(fused_.sums_[j].value)];
      terms_[j]->finish(sums_[terms_.size() + j] + chunk * (fused_.chunk_ / kBlock) * itemsize(place.dtype));
    }
  }

 private:
  char* at(int v, Index first) const {
    return base_[v] + first * fused_.places_[static_cast<std::size_t>(v)].advance;
  }

  void run_block(Index first, Index size) {
    for (const int v : fused_.copied_) copy_block(fused_.places_[static_cast<std::size_t>(v)], data_[v], base_[v], first, size);
    for (const Row& row : fused_.rows_) {
      char* data[4];
      for (int i = 0; i <= row.operands; ++i) data[i] = at(row.places[i], first);
      row.kernel(data, row.strides, size);
    }
    for (const Far& far : fused_.far_) {
      const Index element = fused_.places_[static_cast<std::size_t>(far.place)].stride;
      stream(base_[far.place], data_[far.address] + first * element, size * element);
    }
    for (std::size_t j = 0; j < terms_.size(); ++j) terms_[j]->add(at(fused_.sums_[j].value, first), size);
  }

  const Fused& fused_;
  Patience& patience_ = patience;
  char* const* data_;
  char* const* sums_;  // where they go, and then those of the chunks
  static constexpr Index kFew = 16 * 1024;
  alignas(kAlignment) char few_[kFew];
  char* base_[kMostValues];
  std::vector<std::unique_ptr<Terms>> terms_;
};

void Fused::run(char* const* data, Watch*) const {
  if (is_block()) return run_block(data);
  parallel_for(chunks_, work_, [&](Index first, Index last) {
    Worker worker(*this, data);
    for (Index chunk = first; chunk < last; ++chunk) worker.run(chunk);
    if (!far_.empty()) simd::streamed();
  });
  char* const* const results = data + places_.size() - operations_.size() + values_.size();
  const Index width = chunk_ / kBlock;
  for (std::size_t j = 0; j < sums_.size(); ++j) {
    with_float(places_[static_cast<std::size_t>(sums_[j].value)].dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if (count_ == 0)
        std::memset(results[j], 0, static_cast<std::size_t>(width) * sizeof(T));
      else
        join<T>(results[sums_.size() + j], chunks_, width, count_ / width, sums_[j].mean, results[j]);
    });
  }
}

}  // namespace minimeta

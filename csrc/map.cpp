// Running a program for every index: see map.hpp.
#include "map.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "parallel.hpp"

namespace minimeta {
namespace {

constexpr Index kInstruction = 512;  // an instruction costs about as much as moving so many elements

Index bytes(const View& x) { return count(x) * itemsize(x.dtype); }

void copy(Index bytes, const char* from, char* to) {
  parallel_for(bytes, bytes / 8, [&](Index first, Index last) {
    std::memcpy(to + first, from + first, static_cast<std::size_t>(last - first));
  });
}

// Adds n elements of `from` to those of `to`.
void add(Dtype dtype, Index n, const char* from, char* to) {
  with_float(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(n, n, [&](Index first, Index last) {
      const T* x = reinterpret_cast<const T*>(from);
      T* __restrict sum = reinterpret_cast<T*>(to);
      for (Index i = first; i < last; ++i) sum[i] += x[i];
    });
  });
}

// Adds so many groups' sums to that of the groups before them, which is in `result`.
void add_groups(Dtype dtype, const char* others, Index groups, Index n, char* result) {
  constexpr Index block = 2048;  // elements: the block stays in the first cache while all groups are added
  const Index size = itemsize(dtype);
  parallel_for((n + block - 1) / block, n * groups, [&](Index first, Index last) {
    for (Index b = first; b < last; ++b)
      for (Index g = 0; g < groups; ++g)
        add(dtype, std::min(block, n - b * block), others + (g * n + b * block) * size, result + b * block * size);
  });
}

// Adds groups in order before all are complete: the first thread that finds no other to begin adds those that
// are, until the last one is.
class Joining {
 public:
  explicit Joining(Index groups)
      : complete_(static_cast<std::size_t>(groups)), not_begun_(groups), under_way_(groups) {}

  void begin() { --not_begun_; }
  template <class Add> void complete(Index group, const Add& add) {
    --under_way_;  // before: if all are complete, none is under way
    complete_[static_cast<std::size_t>(group)] = true;
    if (not_begun_ > 0 || busy_.exchange(true)) return;
    while (under_way_ > 0 && complete_[static_cast<std::size_t>(added_)]) add(added_++);
  }
  Index added() const { return added_; }

 private:
  std::vector<std::atomic<bool>> complete_;
  std::atomic<Index> not_begun_, under_way_;
  std::atomic<bool> busy_{false};
  Index added_ = 0;
};

}  // namespace

Map::Map(std::shared_ptr<const Program> body, std::vector<bool> mapped, std::vector<bool> summed, Index count,
         Index groups, bool in_turns)
    : body_(std::move(body)),
      mapped_(std::move(mapped)),
      summed_(std::move(summed)),
      count_(count),
      groups_(groups),
      in_turns_(in_turns) {
  const std::vector<View>& outputs = body_->outputs();
  require(mapped_.size() == body_->operands().size() && summed_.size() == outputs.size(), "vmap",
          "the body has other operands or outputs");
  require(0 <= groups && groups <= count, "vmap", "there are more groups than tasks");
  for (std::size_t j = 0; j < outputs.size(); ++j)
    if (summed_[j]) require_float("vmap", outputs[j]);
}

bool Map::check(View* operands, Index n, std::vector<View>& results) {
  require(n == static_cast<Index>(mapped_.size()), "vmap", "the body has other operands");
  for (std::size_t i = 0; i < mapped_.size(); ++i) {
    View x = operands[i];
    if (mapped_[i]) {
      require(x.ndim > 0 && x.shape[0] == count_, "vmap", "a mapped operand needs a leading axis over the tasks");
      --x.ndim;
      std::copy_n(operands[i].shape + 1, x.ndim, x.shape);
    }
    require_same_dtype("vmap", x, body_->operands()[i]);
    require_same_shape("vmap", x, body_->operands()[i]);
  }
  const std::vector<View>& outputs = body_->outputs();
  const auto with_leading = [&](const View& y, Index size) {
    require(y.ndim < kMaxDims, "vmap", "a result has too many dimensions");
    Index shape[kMaxDims];
    shape[0] = size;
    std::copy_n(y.shape, y.ndim, shape + 1);
    View stacked;
    describe(stacked, "vmap", y.dtype, y.ndim + 1, shape);
    return stacked;
  };
  steps_.clear();
  for (std::size_t i = 0; i < mapped_.size(); ++i) steps_.push_back(mapped_[i] ? operands[i].strides[0] : 0);
  for (const View& y : outputs) steps_.push_back(bytes(y));
  for (std::size_t j = 0; j < outputs.size(); ++j)
    results.push_back(summed_[j] ? outputs[j] : with_leading(outputs[j], count_));
  for (std::size_t j = 0; j < outputs.size(); ++j)
    if (summed_[j]) results.push_back(with_leading(outputs[j], scratch_values()));
  return false;
}

Index Map::scratch_values() const {
  if (in_turns_) return groups_ > 1 && count_ > groups_ ? 1 : 0;
  return std::max<Index>(groups_ - 1, 0);
}

void Map::run_group(Index group, char* const* data, Watch* watch) const {
  const Program::Run run(*body_);
  const Index size = count_ / groups_, larger = count_ % groups_;  // the first `larger` groups have one index more
  const Index first = group * size + std::min(group, larger), last = first + size + (group < larger);
  const bool of_one = in_turns_ && group > 0 && last - first == 1;  // its term is added to the first group's sum
  const Index* const output_bytes = steps_.data() + mapped_.size();
  char* const* const results = data + mapped_.size();
  for (Index task = first; task < last; ++task) {
    for (std::size_t i = 0; i < mapped_.size(); ++i)
      if (mapped_[i] || task == first) run.set_operand(i, data[i] + task * steps_[i]);
    for (std::size_t j = 0; j < summed_.size(); ++j)
      if (!summed_[j]) run.set_output(j, results[j] + task * output_bytes[j]);
    try {
      run.replay(watch);
    } catch (NonFinite& found) {
      found.path.insert(found.path.begin(), task);
      throw;
    }
    std::size_t others = summed_.size();
    for (std::size_t j = 0; j < summed_.size(); ++j) {
      if (!summed_[j]) continue;
      const View& y = body_->outputs()[j];
      char* const rest = results[others++];
      char* const sum = group == 0 || of_one ? results[j] : rest + (in_turns_ ? 0 : group - 1) * bytes(y);
      if (task > first || of_one)
        add(y.dtype, minimeta::count(y), run.output(j), sum);
      else
        copy(bytes(y), run.output(j), sum);
      if (in_turns_ && group > 0 && !of_one && task == last - 1) add(y.dtype, minimeta::count(y), sum, results[j]);
    }
  }
}

// Calls go(y, first, rest) for each sum: its form, the sum of the first group, which is the result, and those of
// the others, one after another.
template <class Go> void Map::for_each_sum(char* const* data, const Go& go) const {
  char* const* const results = data + mapped_.size();
  std::size_t others = summed_.size();
  for (std::size_t j = 0; j < summed_.size(); ++j)
    if (summed_[j]) go(body_->outputs()[j], results[j], results[others++]);
}

void Map::run(char* const* data, Watch* watch) const {
  Index work = body_->instructions() * kInstruction + body_->arena_bytes() / 4;
  work = work > PTRDIFF_MAX / std::max<Index>(count_, 1) ? PTRDIFF_MAX : work * count_;
  Joining joining(groups_);
  for_each_on(in_turns_ ? 1 : deserved_threads(groups_, work), groups_, [&](Index group) {
    joining.begin();
    run_group(group, data, watch);
    if (in_turns_) return;
    joining.complete(group, [&](Index next) {
      if (next == 0) return;
      for_each_sum(data, [&](const View& y, char* first, const char* rest) {
        add(y.dtype, minimeta::count(y), rest + (next - 1) * bytes(y), first);
      });
    });
  });
  const Index added = std::max<Index>(joining.added(), 1);
  for_each_sum(data, [&](const View& y, char* first, const char* rest) {
    if (count_ == 0) std::memset(first, 0, static_cast<std::size_t>(bytes(y)));
    if (groups_ > added && !in_turns_)
      add_groups(y.dtype, rest + (added - 1) * bytes(y), groups_ - added, minimeta::count(y), first);
  });
}

}  // namespace minimeta

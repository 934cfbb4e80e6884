// Building, planning and replaying programs: see program.hpp.
#include "program.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>

#include "elementwise.hpp"
#include "layout.hpp"

namespace minimeta {
namespace {

constexpr Index kAlignment = 64;  // a line of cache, the widest vector
constexpr int kPoison = 0xff;     // as floats of either size: NaN
constexpr Index kMostBytes = Index{1} << 46;  // more than a machine has; sums of such sizes fit an Index

// While a program is built addresses count from here: a view's offset is its address less this. (Not from null, from
// which no other address may be computed.)
char* const origin = reinterpret_cast<char*>(kAlignment);

class Copy final : public Kernel {
  bool check(View* x, Index, std::vector<View>& results) override {
    describe(results.emplace_back(), "copy", x->dtype, *x);
    return false;
  }
  void run(const View* x, Index, const View* results, Watch*) const override { copy(*x, *results); }
};

// Offsets for temporaries, the largest first, each into the smallest gap that it fits between those already placed that
// are alive at the same time (Pisarchyk and Lee, arXiv:2001.03288, greedy by size). Returns the size of the arena. A
// step's result is alive together with its operands, since kernels may not write where they read.
Index plan(std::vector<Buffer>& buffers, bool reuse_memory) {
  std::vector<Buffer*> order;
  for (Buffer& buffer : buffers)
    if (buffer.kind == Buffer::Kind::temporary) order.push_back(&buffer);
  std::stable_sort(order.begin(), order.end(), [](const Buffer* a, const Buffer* b) { return a->bytes > b->bytes; });

  Index size = 0;
  std::vector<const Buffer*> placed;  // by offset
  for (Buffer* const buffer : order) {
    Index end = 0, smallest = PTRDIFF_MAX;
    buffer->offset = -1;
    for (const Buffer* const other : placed) {
      if (reuse_memory && (other->last < buffer->first || buffer->last < other->first)) continue;
      const Index gap = other->offset - end;
      if (gap >= buffer->bytes && gap < smallest) {
        smallest = gap;
        buffer->offset = end;
      }
      end = std::max(end, other->offset + other->bytes);
    }
    if (buffer->offset < 0) buffer->offset = end;
    size = std::max(size, buffer->offset + buffer->bytes);
    const auto by_offset = [](const Buffer* a, const Buffer* b) { return a->offset < b->offset; };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), buffer, by_offset), buffer);
  }
  return size;
}

void place(View& view, const Place& place, const Index* table, char* const* buffers) {
  view.data = buffers[place.buffer] + place.offset;
  view.dtype = place.dtype;
  view.ndim = place.ndim;
  for (int d = 0; d < place.ndim; ++d) {
    view.shape[d] = table[place.table + d];
    view.strides[d] = table[place.table + place.ndim + d];
  }
}

}  // namespace

Index Builder::add_value(const View& view, Index buffer, bool whole) {
  values_.push_back({view, buffer, whole});
  return static_cast<Index>(values_.size()) - 1;
}

Index Builder::add_buffer(Buffer::Kind kind, const View& view, char* data) {
  const Index now = static_cast<Index>(steps_.size());
  Index bytes = 0;
  if (kind == Buffer::Kind::temporary) {
    if (count(view) > kMostBytes / itemsize(view.dtype)) throw std::bad_alloc();
    bytes = (count(view) * itemsize(view.dtype) + kAlignment - 1) / kAlignment * kAlignment;
  }
  buffers_.push_back({kind, bytes, now, now, data, 0});
  return static_cast<Index>(buffers_.size()) - 1;
}

void Builder::add_place(const View& view, Index buffer) {
  places_.push_back({buffer, view.data - origin, static_cast<Index>(table_.size()), view.dtype, view.ndim});
  table_.insert(table_.end(), view.shape, view.shape + view.ndim);
  table_.insert(table_.end(), view.strides, view.strides + view.ndim);
}

Index Builder::add_operand(Dtype dtype, const Shape& shape) {
  View view;
  describe(view, "program", dtype, shape.ndim, shape.size);
  view.data = origin;
  operands_.push_back(view);
  return add_value(view, add_buffer(Buffer::Kind::operand, view), false);
}

Index Builder::add_constant(const View& constant) {
  View view = constant;
  view.data = origin;
  return add_value(view, add_buffer(Buffer::Kind::constant, view, constant.data), false);
}

std::vector<Index> Builder::add_step(std::unique_ptr<Kernel> kernel, const std::vector<Index>& operands) {
  const Index n = static_cast<Index>(operands.size()), now = static_cast<Index>(steps_.size());
  std::vector<View> views, results;
  for (const Index i : operands) views.push_back(values_.at(i).view);
  if (kernel->check(views.data(), n, results)) return {add_value(results[0], values_[operands[0]].buffer, false)};

  std::vector<Index> values;
  for (View& result : results) {
    result.data = origin;
    values.push_back(add_value(result, add_buffer(Buffer::Kind::temporary, result), true));
  }
  steps_.push_back({kernel.get(), n, static_cast<Index>(results.size()), static_cast<Index>(places_.size())});
  kernels_.push_back(std::move(kernel));
  for (Index i = 0; i < n; ++i) {
    add_place(views[i], values_[operands[i]].buffer);
    buffer_of(operands[i]).last = now;
  }
  for (const Index value : values) add_place(values_[value].view, values_[value].buffer);
  return values;
}

Index Builder::with_contiguous_parts(Index value, bool whole) {
  const View& x = values_.at(value).view;
  View plain;
  describe(plain, "copy", x.dtype, x);
  const int leading = whole ? 0 : std::min(x.ndim, 1);
  if (count(x) == 0 || std::equal(x.strides + leading, x.strides + x.ndim, plain.strides + leading)) return value;
  return add_step(std::make_unique<Copy>(), {value})[0];
}

// What one run needs for itself.
struct Program::Workspace {
  struct Free {
    void operator()(char* memory) const { ::operator delete(memory, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<char, Free> arena;
  std::vector<char*> buffers;
  std::unique_ptr<View[]> views;  // of the step that runs
};

Program::Program(Builder builder, const std::vector<Index>& outputs, const std::vector<bool>& kept,
                 const Options& options)
    : poison_(options.poison) {
  if (kept.size() != outputs.size()) throw std::invalid_argument("program: each output is kept or it is not");
  for (std::size_t j = 0; j < outputs.size(); ++j) {
    Index value = outputs[j];
    const auto is_fresh = [&] {
      const Index buffer = builder.values_.at(value).buffer;
      return builder.values_[value].whole && builder.buffers_[buffer].kind == Buffer::Kind::temporary &&
             std::find(output_buffers_.begin(), output_buffers_.end(), buffer) == output_buffers_.end();
    };
    if (!is_fresh()) value = builder.add_step(std::make_unique<Copy>(), {value})[0];
    outputs_.push_back(builder.values_[value].view);
    output_buffers_.push_back(builder.values_[value].buffer);
  }
  for (std::size_t j = 0; j < outputs.size(); ++j) {
    Buffer& buffer = builder.buffers_[output_buffers_[j]];
    if (kept[j])
      buffer.last = PTRDIFF_MAX;
    else
      buffer.kind = Buffer::Kind::output;
  }
  operands_ = std::move(builder.operands_);
  buffers_ = std::move(builder.buffers_);
  kernels_ = std::move(builder.kernels_);
  steps_ = std::move(builder.steps_);
  places_ = std::move(builder.places_);
  table_ = std::move(builder.table_);
  arena_bytes_ = plan(buffers_, options.reuse_memory);
  for (const Step& step : steps_) most_views_ = std::max(most_views_, step.operands + step.results);
  for (Index i = 0; i < static_cast<Index>(buffers_.size()); ++i) {
    if (buffers_[i].kind == Buffer::Kind::operand) operand_buffers_.push_back(i);
    if (buffers_[i].kind == Buffer::Kind::temporary && poison_) dying_.push_back(i);
  }
  std::stable_sort(dying_.begin(), dying_.end(), [&](Index a, Index b) { return buffers_[a].last < buffers_[b].last; });
}

Watch::Watch(const Program& program, bool check)
    : check_finite(check), nanoseconds(program.steps().size()), bodies(program.steps().size()) {
  for (std::size_t i = 0; i < bodies.size(); ++i)
    if (const Program* const body = program.steps()[i].kernel->body()) bodies[i] = std::make_unique<Watch>(*body, check);
}

Program::~Program() = default;

Program::Run::Run(const Program& program) : program_(program) {
  {
    const std::lock_guard<std::mutex> lock(program.mutex_);
    if (!program.idle_.empty()) {
      workspace_ = std::move(program.idle_.back());
      program.idle_.pop_back();
      return;
    }
  }
  workspace_ = std::make_unique<Workspace>();
  workspace_->arena.reset(static_cast<char*>(
      ::operator new(static_cast<std::size_t>(program.arena_bytes_), std::align_val_t{kAlignment})));
  for (const Buffer& buffer : program.buffers_)
    workspace_->buffers.push_back(buffer.kind == Buffer::Kind::temporary ? workspace_->arena.get() + buffer.offset
                                                                         : buffer.data);
  workspace_->views.reset(new View[static_cast<std::size_t>(program.most_views_)]);
}

Program::Run::~Run() {
  const std::lock_guard<std::mutex> lock(program_.mutex_);
  program_.idle_.push_back(std::move(workspace_));
}

void Program::Run::set_operand(std::size_t i, char* data) const {
  workspace_->buffers[program_.operand_buffers_[i]] = data;
}

void Program::Run::set_output(std::size_t j, char* data) const {
  workspace_->buffers[program_.output_buffers_[j]] = data;
}

const char* Program::Run::output(std::size_t j) const { return workspace_->buffers[program_.output_buffers_[j]]; }

void Program::Run::replay(Watch* watch) const { watch ? replay_steps<true>(watch) : replay_steps<false>(nullptr); }

template <bool watched> void Program::Run::replay_steps(Watch* watch) const {
  using Clock = std::chrono::steady_clock;
  View* const views = workspace_->views.get();
  char* const* const buffers = workspace_->buffers.data();
  const std::vector<Index>& dying = program_.dying_;
  if (program_.poison_) std::memset(workspace_->arena.get(), kPoison, static_cast<std::size_t>(program_.arena_bytes_));
  auto next = dying.begin();
  Index now = 0;
  for (const Step& step : program_.steps_) {
    for (Index i = 0; i < step.operands + step.results; ++i)
      place(views[i], program_.places_[step.first + i], program_.table_.data(), buffers);
    const View* const results = views + step.operands;
    if constexpr (!watched) {
      step.kernel->run(views, step.operands, results, nullptr);
    } else {
      Watch* const body = watch->bodies[static_cast<std::size_t>(now)].get();
      const Clock::time_point began = Clock::now();
      try {
        step.kernel->run(views, step.operands, results, body);
      } catch (NonFinite& found) {
        found.path.insert(found.path.begin(), now);
        throw;
      }
      watch->nanoseconds[static_cast<std::size_t>(now)] += std::chrono::nanoseconds(Clock::now() - began).count();
      for (Index i = 0; watch->check_finite && !body && i < step.results; ++i)
        if (is_float(results[i].dtype) && !all_finite(results[i])) throw NonFinite(now);
    }
    for (; next != dying.end() && program_.buffers_[*next].last == now; ++next)
      std::memset(buffers[*next], kPoison, static_cast<std::size_t>(program_.buffers_[*next].bytes));
    ++now;
  }
}

}  // namespace minimeta

// Building, planning and replaying programs: see program.hpp.
#include "program.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "blocks.hpp"
#include "elementwise.hpp"
#include "interruption.hpp"
#include "layout.hpp"
#include "parallel.hpp"
#include "team.hpp"
#include "transpose.hpp"

namespace minimeta {
namespace {

constexpr int kPoison = 0xff;     // these bytes are NaN in both float dtypes
constexpr Index kLongOutput = Index{1} << 20;  // of less, an arena takes little, and is nearer than new memory
constexpr Index kMostBytes = Index{1} << 46;  // more than any machine has; sums of such sizes fit an Index

// While a program is built, every buffer begins at this address, so that a view's offset is its
// address minus this one. (C++ does not allow arithmetic on a null pointer.)
char* const origin = reinterpret_cast<char*>(kAlignment);

// Of a short matrix that is transposed, all is known in advance.
class Copy final : public Kernel {
  bool check(View* x, Index, std::vector<View>& results) override {
    describe(results.emplace_back(), "copy", x->dtype, *x);
    const Index element = itemsize(x->dtype);
    if (x->ndim == 2 && x->strides[0] == element && x->strides[1] >= element && count(*x) < kWorthWaking)
      turned_ = {element, x->strides[1] / element, x->shape[1], x->shape[0]};
    forms_.add(*x);
    forms_.add(results[0]);
    return false;
  }
  void run(char* const* data, Watch*) const override {
    if (turned_.element > 0)
      return with_size(turned_.element, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto [element, row, rows, columns] = turned_;
        transpose(reinterpret_cast<const T*>(data[0]), row, rows, columns, reinterpret_cast<T*>(data[1]), rows);
      });
    View from, to;
    forms_.fill(from, 0, data[0]);
    forms_.fill(to, 1, data[1]);
    copy(from, to);
  }

  Forms forms_;
  struct {
    Index element, row, rows, columns;  // bytes; of what lies in memory
  } turned_{};
};

// Whether the axes from `leading` on lie as those of a fresh array.
bool is_contiguous(const View& x, int leading = 0) {
  View plain;
  describe(plain, "copy", x.dtype, x);
  return std::equal(x.strides + leading, x.strides + x.ndim, plain.strides + leading);
}

}  // namespace

void Forms::add(const View& view) {
  forms_.push_back({table_.size(), view.dtype, view.ndim});
  table_.insert(table_.end(), view.shape, view.shape + view.ndim);
  table_.insert(table_.end(), view.strides, view.strides + view.ndim);
}

void Forms::fill(View& view, std::size_t i, char* data) const {
  const Form& form = forms_[i];
  const Index* const table = table_.data() + form.table;
  view.data = data;
  view.dtype = form.dtype;
  view.ndim = form.ndim;
  std::copy_n(table, form.ndim, view.shape);
  std::copy_n(table + form.ndim, form.ndim, view.strides);
}

Index Builder::add_value(const View& view, Index buffer, bool whole) {
  values_.push_back({view, buffer, whole});
  return static_cast<Index>(values_.size()) - 1;
}

Index Builder::add_buffer(Buffer::Kind kind, const View& view, char* data) {
  const Index now = static_cast<Index>(steps_.size());
  Index bytes = 0;
  if (kind == Buffer::Kind::temporary) {
    if (count(view) > kMostBytes / itemsize(view.dtype)) throw std::bad_alloc();
    bytes = aligned(count(view) * itemsize(view.dtype));
  }
  buffers_.push_back({{bytes, now, now, 0}, kind, data, -1});
  return static_cast<Index>(buffers_.size()) - 1;
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

std::vector<Index> Builder::add_step(const Make& make, const std::vector<Index>& operands, Index kind) {
  const Index n = static_cast<Index>(operands.size()), now = static_cast<Index>(steps_.size());
  std::vector<View> views;
  std::vector<Index> key{kind};
  for (const Index i : operands) {
    const View& x = views.emplace_back(values_.at(i).view);
    key.insert(key.end(), {static_cast<Index>(x.dtype), x.ndim});
    key.insert(key.end(), x.shape, x.shape + x.ndim);
    key.insert(key.end(), x.strides, x.strides + x.ndim);
  }
  Made made{};
  if (const auto found = made_.find(key); found != made_.end()) {
    made = found->second;
  } else {
    std::unique_ptr<Kernel> kernel = make();
    made.kernel = kernel.get();
    if (kernel->check(views.data(), n, made.results)) {
      const Value& x = values_[operands[0]];
      const View& y = made.results[0];
      return {add_value(y, x.buffer, x.whole && count(y) == count(x.view) && is_contiguous(y))};
    }
    kernels_.push_back(std::move(kernel));
    if (kind >= 0) made_.emplace(std::move(key), made);
  }

  std::vector<Index> values;
  for (View& result : made.results) {
    result.data = origin;
    values.push_back(add_value(result, add_buffer(Buffer::Kind::temporary, result), true));
  }
  Index work = 0;
  for (const View& x : views) work += count(x);
  for (const View& x : made.results) work += count(x);
  const Index results = static_cast<Index>(values.size()), first = static_cast<Index>(places_.size());
  steps_.push_back({made.kernel, work, n, results, first});
  const auto add_place = [&](const Value& value) { places_.push_back({value.buffer, value.view.data - origin}); };
  for (const Index operand : operands) {
    add_place(values_[operand]);
    buffer_of(operand).last = now;
  }
  for (const Index value : values) {
    add_place(values_[value]);
    results_.add(values_[value].view);
  }
  for (const Kernel::Address& address : made.kernel->addresses()) {
    const Place base = places_[first + address.number];
    places_.push_back({base.buffer, base.offset + address.offset});
  }
  return values;
}

Index Builder::concatenate_in_place(const std::vector<Index>& parts, Index axis) {
  std::vector<View> views;
  for (const Index i : parts) views.push_back(values_.at(i).view);
  View joined;
  check_concatenate(views.data(), static_cast<Index>(views.size()), axis, joined);
  bool is_possible = count(axis, joined.shape) == 1;
  for (std::size_t i = 0; i < parts.size(); ++i) is_possible = is_possible && is_fresh(parts[i]) && are_apart(parts, i);
  require(is_possible, "concatenate_in_place", "parts must be results of steps, one after another in memory");

  joined.data = origin;
  const Index buffer = add_buffer(Buffer::Kind::temporary, joined);
  Index offset = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    Buffer& part = buffer_of(parts[i]);
    part.kind = Buffer::Kind::part;
    part.whole = buffer;
    part.offset = offset;
    offset += count(views[i]) * itemsize(joined.dtype);
  }
  return add_value(joined, buffer, true);
}

Index Builder::copy(Index value) {
  return add_step([] { return std::make_unique<Copy>(); }, {value})[0];
}

bool Builder::is_fresh(Index value) const {
  const Value& x = values_.at(value);
  return x.whole && buffers_[x.buffer].kind == Buffer::Kind::temporary;
}

bool Builder::are_apart(const std::vector<Index>& values, std::size_t i) const {
  const Index buffer = values_.at(values[i]).buffer;
  return std::none_of(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(i),
                      [&](Index other) { return values_[other].buffer == buffer; });
}

std::vector<Index> Builder::own(const std::vector<Index>& outputs) {
  std::vector<Index> owned = outputs;
  for (std::size_t i = 0; i < owned.size(); ++i)
    if (!is_fresh(owned[i]) || !are_apart(owned, i)) owned[i] = copy(owned[i]);
  return owned;
}

Index Builder::with_contiguous_parts(Index value, bool whole) {
  const View& x = values_.at(value).view;
  return count(x) == 0 || is_contiguous(x, whole ? 0 : std::min(x.ndim, 1)) ? value : copy(value);
}

// The memory of one run.
struct Program::Workspace {
  Block arena;
  std::vector<char*> buffers;
  std::vector<char*> addresses;  // of each place
};

Program::Program(Builder builder, const std::vector<Index>& outputs, const std::vector<bool>& kept,
                 const Options& options)
    : poison_(options.poison) {
  require(kept.size() == outputs.size(), "program", "each output is kept or it is not");
  for (std::size_t j = 0; j < outputs.size(); ++j) {
    require(builder.is_fresh(outputs[j]) && builder.are_apart(outputs, j), "program",
            "an output has no memory of its own");
    outputs_.push_back(builder.values_[outputs[j]].view);
    output_buffers_.push_back(builder.values_[outputs[j]].buffer);
  }
  for (std::size_t j = 0; j < outputs.size(); ++j) {
    Buffer& buffer = builder.buffers_[output_buffers_[j]];
    if (kept[j]) {
      buffer.last = PTRDIFF_MAX;
    } else {
      buffer.kind = Buffer::Kind::output;
      buffer.bytes = count(outputs_[j]) * itemsize(outputs_[j].dtype);  // the caller's memory ends with it
    }
  }
  operands_ = std::move(builder.operands_);
  buffers_ = std::move(builder.buffers_);
  kernels_ = std::move(builder.kernels_);
  steps_ = std::move(builder.steps_);
  places_ = std::move(builder.places_);
  for (const Buffer& part : buffers_) {
    if (part.kind != Buffer::Kind::part) continue;
    Buffer& whole = buffers_[part.whole];
    whole.first = std::min(whole.first, part.first);
    whole.last = std::max(whole.last, part.last);
  }
  const auto find = [&](Place& place) {
    for (; buffers_[place.buffer].kind == Buffer::Kind::part; place.buffer = buffers_[place.buffer].whole)
      place.offset += buffers_[place.buffer].offset;
  };
  for (Index now = 0; now < static_cast<Index>(steps_.size()) && options.reuse_memory; ++now) {
    const Step& step = steps_[static_cast<std::size_t>(now)];
    for (Index i = 0; i < step.operands + step.results; ++i) find(places_[static_cast<std::size_t>(step.first + i)]);
    overwrite_operands(step, now);
  }
  for (Place& place : places_) find(place);
  for (Index& buffer : output_buffers_)
    while (buffers_[buffer].kind == Buffer::Kind::part) buffer = buffers_[buffer].whole;
  results_ = std::move(builder.results_);
  std::vector<Lifetime*> temporaries;
  for (Buffer& buffer : buffers_)
    if (buffer.kind == Buffer::Kind::temporary) temporaries.push_back(&buffer);
  arena_bytes_ = plan(temporaries, options.reuse_memory);
  places_of_.resize(buffers_.size());
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const Buffer::Kind kind = buffers_[places_[i].buffer].kind;
    if (kind == Buffer::Kind::operand || kind == Buffer::Kind::output)
      places_of_[places_[i].buffer].push_back(static_cast<Index>(i));
  }
  for (Index i = 0; i < static_cast<Index>(buffers_.size()); ++i) {
    if (buffers_[i].kind == Buffer::Kind::operand) operand_buffers_.push_back(i);
    if (buffers_[i].kind == Buffer::Kind::temporary && poison_) dying_.push_back(i);
  }
  std::stable_sort(dying_.begin(), dying_.end(), [&](Index a, Index b) { return buffers_[a].last < buffers_[b].last; });
}

// Lets results lie where operands of their size do, whose last use is this step; such an operand of a long
// output lies where the output will. Both may be parts: then they have to begin at one place, as an element is
// written after it, and no other, was read.
void Program::overwrite_operands(const Step& step, Index now) {
  Place* const operands = &places_[static_cast<std::size_t>(step.first)];
  Place* const results = operands + step.operands;
  for (Index j = 0; j < step.results; ++j) {
    Buffer& result = buffers_[results[j].buffer];
    const bool is_output = result.kind == Buffer::Kind::output && result.bytes >= kLongOutput;
    if (!is_output && result.kind != Buffer::Kind::temporary) continue;
    if (result.first != now || results[j].offset != 0) continue;
    for (Index i = 0; i < step.operands; ++i) {
      const Index whole = operands[i].buffer;
      Buffer& operand = buffers_[whole];
      const auto shares = [&](const Place& place) { return place.buffer == whole; };
      if (operand.kind == Buffer::Kind::temporary && operand.last == now && operand.bytes == result.bytes &&
          operands[i].offset == 0 && std::count_if(operands, results + step.results, shares) == 1 &&
          step.kernel->may_overwrite(i, j)) {
        if (is_output) {
          result.first = operand.first;
          operand.kind = Buffer::Kind::part;
          operand.whole = results[j].buffer;
          operands[i].buffer = results[j].buffer;
        } else {
          operand.last = result.last;
          result.kind = Buffer::Kind::part;
          result.whole = whole;
          results[j].buffer = whole;
        }
        break;
      }
    }
  }
}

Watch::Watch(const Program& program, bool check)
    : check_finite(check), nanoseconds(program.steps().size()), bodies(program.steps().size()) {
  for (std::size_t i = 0; i < bodies.size(); ++i)
    if (const Program* const body = program.steps()[i].kernel->body())
      bodies[i] = std::make_unique<Watch>(*body, check);
}

Program::~Program() = default;

Program::Idle& Program::idle() const { return idle_[static_cast<std::size_t>(team::place()) % idle_.size()]; }

// Tries to lock the idle workspaces, and gives up after a while: in a forked child, a lock that
// another thread held in the parent is never released.
std::unique_lock<std::mutex> Program::Idle::lock() {
  std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
  for (int i = 0; i < 1000 && !lock; ++i) lock.try_lock();
  return lock;
}

Program::Run::Run(const Program& program) : program_(program) {
  Idle& idle = program.idle();
  if (const std::unique_lock<std::mutex> lock = idle.lock(); lock && !idle.workspaces.empty()) {
    workspace_ = std::move(idle.workspaces.back());
    idle.workspaces.pop_back();
    return;
  }
  workspace_ = std::make_unique<Workspace>();
  workspace_->arena = new_block(program.arena_bytes_);
  for (const Buffer& buffer : program.buffers_)
    workspace_->buffers.push_back(buffer.kind == Buffer::Kind::temporary ? workspace_->arena.get() + buffer.offset
                                                                         : buffer.data);
  for (const Place& place : program.places_)
    workspace_->addresses.push_back(workspace_->buffers[place.buffer] + place.offset);
}

Program::Run::~Run() {
  Idle& idle = program_.idle();
  if (const std::unique_lock<std::mutex> lock = idle.lock()) idle.workspaces.push_back(std::move(workspace_));
}

void Program::Run::set(Index buffer, char* data) const {
  if (workspace_->buffers[buffer] == data) return;
  workspace_->buffers[buffer] = data;
  for (const Index i : program_.places_of_[buffer]) workspace_->addresses[i] = data + program_.places_[i].offset;
}

void Program::Run::set_operand(std::size_t i, char* data) const { set(program_.operand_buffers_[i], data); }

void Program::Run::set_output(std::size_t j, char* data) const { set(program_.output_buffers_[j], data); }

const char* Program::Run::output(std::size_t j) const { return workspace_->buffers[program_.output_buffers_[j]]; }

void Program::Run::replay(Watch* watch) const { watch ? replay_steps<true>(watch) : replay_steps<false>(nullptr); }

template <bool watched> void Program::Run::replay_steps(Watch* watch) const {
  using Clock = std::chrono::steady_clock;
  char* const* const addresses = workspace_->addresses.data();
  const std::vector<Index>& dying = program_.dying_;
  if (program_.poison_) std::memset(workspace_->arena.get(), kPoison, static_cast<std::size_t>(program_.arena_bytes_));
  Patience& patience = minimeta::patience;
  auto next = dying.begin();
  Index now = 0;
  std::size_t result = 0;
  for (const Step& step : program_.steps_) {
    char* const* const data = addresses + step.first;
    spend(patience, step.work);
    if constexpr (!watched) {
      step.kernel->run(data, nullptr);
    } else {
      Watch* const body = watch->bodies[static_cast<std::size_t>(now)].get();
      const Clock::time_point began = Clock::now();
      try {
        step.kernel->run(data, body);
      } catch (NonFinite& found) {
        found.path.insert(found.path.begin(), now);
        throw;
      }
      watch->nanoseconds[static_cast<std::size_t>(now)] += std::chrono::nanoseconds(Clock::now() - began).count();
      // A step that runs a program has its outputs first, then scratch memory for sums.
      const Index seen = body ? static_cast<Index>(step.kernel->body()->outputs().size()) : step.results;
      for (Index i = 0; i < step.results; ++i, ++result) {
        if (!watch->check_finite || i >= seen) continue;
        View y;
        program_.results_.fill(y, result, data[step.operands + i]);
        if (is_float(y.dtype) && !all_finite(y)) throw NonFinite(now);
      }
    }
    for (; next != dying.end() && program_.buffers_[*next].last == now; ++next)
      std::memset(workspace_->buffers[*next], kPoison, static_cast<std::size_t>(program_.buffers_[*next].bytes));
    ++now;
  }
}

}  // namespace minimeta

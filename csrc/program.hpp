// A program: a list of kernels, replayed.
//
//   for each step:  kernel(operands) -> results
//
// Building a program decides everything that stays the same from run to run. Every kernel has
// checked its operands and chosen its method, and a run only hands it addresses, each the beginning
// of a buffer plus an offset. A view costs nothing: it is an address in the buffer of the value it
// shows. Values that are never needed at the same time share memory, in one arena.
//
// A buffer is the memory of an operand or of an output, which the caller owns; of a constant; of a
// temporary, in the arena; or a part of another buffer. Each run has its own arena, so several
// threads can run one program at once.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "array.hpp"
#include "plan.hpp"

namespace minimeta {

class Program;
struct Watch;

// A kernel whose parameters are known.
class Kernel {
 public:
  virtual ~Kernel() = default;

  // Describes the results, and keeps all that it needs to know of them and of the operands, except
  // for addresses. Returns true if the only result is a view of the first operand, whose data then
  // points into it: there is nothing to run.
  virtual bool check(View* operands, Index n, std::vector<View>& results) = 0;
  // Addresses that a run needs as well: each is so many bytes behind that of an operand or a result.
  struct Address {
    Index number, offset;
  };
  virtual std::vector<Address> addresses() const { return {}; }
  // `data` holds the addresses of the operands, those of the results, and the others.
  virtual void run(char* const* data, Watch* watch) const = 0;

  // Whether a result may lie in the memory of an operand that nobody reads later.
  virtual bool may_overwrite(Index operand, Index result) const {
    (void)operand, (void)result;
    return false;
  }

  // The program that the kernel runs, or null.
  virtual const Program* body() const { return nullptr; }
};

// Lifetimes are counted in steps. The offset of a temporary is relative to the arena, that of a
// part to its whole.
struct Buffer : Lifetime {
  enum class Kind { operand, constant, output, temporary, part } kind;
  char* data;   // of a constant
  Index whole;  // of a part: the buffer that holds it
};

// Views without their addresses, packed into one table.
class Forms {
 public:
  void add(const View& view);
  std::size_t size() const { return forms_.size(); }
  void fill(View& view, std::size_t i, char* data) const;

 private:
  struct Form {
    std::size_t table;  // the position of its shape, which its strides follow
    Dtype dtype;
    int ndim;
  };
  std::vector<Form> forms_;
  std::vector<Index> table_;
};

struct Place {
  Index buffer, offset;
};

struct Step {
  const Kernel* kernel;
  Index work;  // elements moved
  Index operands, results, first;  // places[first], ... are the operands', the results', and what else it needs
};

// What a watched run records: the time of each step, summed over threads, and whether its results
// are finite.
struct Watch {
  Watch(const Program& program, bool check_finite);
  const bool check_finite;
  std::vector<std::atomic<Index>> nanoseconds;
  std::vector<std::unique_ptr<Watch>> bodies;  // of the steps that run a program, null for others
};

// A result is not finite. The path leads to its step: for a step that runs a program, (step, task,
// step inside).
struct NonFinite : std::exception {
  explicit NonFinite(Index step) : path{step} {}
  std::vector<Index> path;
};

struct Options {
  bool reuse_memory;  // false: no two temporaries share memory
  bool poison;        // fill memory with NaN before it is first written, and after it is last read
};

// Values are numbered in the order in which they are added.
class Builder {
 public:
  Index add_operand(Dtype dtype, const Shape& shape);
  Index add_constant(const View& constant);  // its memory must outlive the program
  // Steps of one kind, unless it is negative, have the same kernel where their operands have equal
  // forms. So the repeated steps of a loop find their kernels in the first cache.
  using Make = std::function<std::unique_ptr<Kernel>()>;
  std::vector<Index> add_step(const Make& make, const std::vector<Index>& operands, Index kind = -1);
  // Concatenates results of steps without a copy: each step writes to its part of the whole. The
  // parts must lie one after another in memory, and a part belongs to one whole only.
  Index concatenate_in_place(const std::vector<Index>& parts, Index axis);
  // Returns the value if it is contiguous (as a whole, or each part along the first axis),
  // otherwise a copy that is.
  Index with_contiguous_parts(Index value, bool whole);
  // Gives each output its own memory: copies views, operands, parts, and the second of two equal
  // outputs.
  std::vector<Index> own(const std::vector<Index>& outputs);
  Index last_side(Index value) const {
    const View& view = values_.at(value).view;
    return view.shape[view.ndim - 1];
  }
  Index steps() const { return static_cast<Index>(steps_.size()); }

 private:
  friend class Program;
  struct Value {
    View view;  // its address is relative to the beginning of its buffer
    Index buffer;
    bool whole;  // it is the result of a step, not a view of one, except with another shape
  };
  struct Made {
    const Kernel* kernel;
    std::vector<View> results;
  };

  Index add_value(const View& view, Index buffer, bool whole);
  Index add_buffer(Buffer::Kind kind, const View& view, char* data = nullptr);
  Index copy(Index value);
  bool is_fresh(Index value) const;  // it is the result of a step, and has its own memory
  bool are_apart(const std::vector<Index>& values, std::size_t i) const;  // none before the i-th shares its memory
  Buffer& buffer_of(Index value) { return buffers_[values_.at(value).buffer]; }

  std::vector<Value> values_;
  std::vector<View> operands_;
  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::map<std::vector<Index>, Made> made_;  // by the kind and the forms of the operands
  std::vector<Step> steps_;
  std::vector<Place> places_;
  Forms results_;  // of the steps
};

class Program {
  struct Workspace;

 public:
  // `outputs` come from Builder::own. An output that is `kept` stays in the arena, where the caller
  // reads it.
  Program(Builder builder, const std::vector<Index>& outputs, const std::vector<bool>& kept, const Options& options);
  ~Program();

  // All are contiguous arrays.
  const std::vector<View>& operands() const { return operands_; }
  const std::vector<View>& outputs() const { return outputs_; }
  Index instructions() const { return static_cast<Index>(steps_.size()); }
  Index arena_bytes() const { return arena_bytes_; }

  const std::vector<Step>& steps() const { return steps_; }

  // A run in progress: its arena, and the addresses of the caller's arrays.
  class Run {
   public:
    explicit Run(const Program& program);
    ~Run();
    void set_operand(std::size_t i, char* data) const;
    void set_output(std::size_t j, char* data) const;
    const char* output(std::size_t j) const;
    void replay(Watch* watch = nullptr) const;

   private:
    void set(Index buffer, char* data) const;
    template <bool watched> void replay_steps(Watch* watch) const;
    const Program& program_;
    std::unique_ptr<Workspace> workspace_;
  };

 private:
  std::vector<View> operands_, outputs_;
  std::vector<Index> operand_buffers_, output_buffers_;
  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::vector<Step> steps_;
  std::vector<Place> places_;
  std::vector<std::vector<Index>> places_of_;  // by buffer, for those whose address changes from run to run
  Forms results_;
  Index arena_bytes_;
  bool poison_;
  std::vector<Index> dying_;  // with poison: temporaries in the order of their last use

  void overwrite_operands(const Step& step, Index now);
  // Workspaces that no run has now, by the place of the thread that had them: they are in its core's caches.
  struct alignas(64) Idle {
    std::unique_lock<std::mutex> lock();
    std::mutex mutex;
    std::vector<std::unique_ptr<Workspace>> workspaces;
  };
  Idle& idle() const;
  mutable std::array<Idle, 8> idle_;
};

}  // namespace minimeta

// A program: kernels in a row, replayed.
//
//   for each step:  kernel(operands) -> result
//
// Whatever does not change from run to run is known once the program is built. Every kernel has been checked, and has
// made all its decisions; what is left to tell it are addresses, each a buffer's plus an offset. Views of other values
// cost nothing, they are addresses in the same buffer; and values that are never needed at the same time share memory,
// in one arena.
//
// A buffer is an operand's memory or an output's (the caller's), a constant's, a temporary's, in the arena, or part of
// another. Each run that is under way has an arena of its own, so one program runs on several threads at once.
#pragma once

#include <atomic>
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

  // Describes the results, and keeps what it needs to know of them and of the operands but for their addresses. True
  // where the only result is a view of the first operand, at an address of its memory: then there is nothing to run.
  virtual bool check(View* operands, Index n, std::vector<View>& results) = 0;
  // Given where the operands lie, and then the results.
  virtual void run(char* const* data, Watch* watch) const = 0;

  // The program that runs inside, if there is one.
  virtual const Program* body() const { return nullptr; }
};

// A lifetime counts in steps. The offset of a temporary is that in the arena; of a part, that in its whole.
struct Buffer : Lifetime {
  enum class Kind { operand, constant, output, temporary, part } kind;
  char* data;   // of a constant
  Index whole;  // of a part: the buffer that holds it
};

// Views but for their addresses, in little space.
class Forms {
 public:
  void add(const View& view);
  std::size_t size() const { return forms_.size(); }
  void place(std::size_t i, char* data, View& view) const;

 private:
  struct Form {
    std::size_t table;  // where its shape and its strides begin
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
  Index work;  // elements that it moves
  Index operands, results, first;  // places[first] and so on; the results' follow the operands'
};

// What is watched while a program runs: how long each step takes, on all threads together, and whether results are finite.
struct Watch {
  Watch(const Program& program, bool check_finite);
  const bool check_finite;
  std::vector<std::atomic<Index>> nanoseconds;
  std::vector<std::unique_ptr<Watch>> bodies;  // of those steps that run a program
};

// A result is not finite. The path is its step; or a step that runs a program, the index, and the step inside.
struct NonFinite : std::exception {
  explicit NonFinite(Index step) : path{step} {}
  std::vector<Index> path;
};

struct Options {
  bool reuse_memory;  // or every temporary has memory of its own
  bool poison;        // memory is NaN before it is written and after it was last read
};

// Values are numbered in the order in which they are added.
class Builder {
 public:
  Index add_operand(Dtype dtype, const Shape& shape);
  Index add_constant(const View& constant);  // of memory that outlives the program
  std::vector<Index> add_step(std::unique_ptr<Kernel> kernel, const std::vector<Index>& operands);
  // The concatenation of results of steps, each of which is written to its part of it. They must lie one after another
  // there, and be parts of nothing else.
  Index concatenate_in_place(const std::vector<Index>& parts, Index axis);
  // The same value, or a copy of it, that is contiguous: as a whole, or in its parts along the first axis.
  Index with_contiguous_parts(Index value, bool whole);
  // Outputs that each have memory of their own: a view, an operand, a part, or what is an output already is copied.
  std::vector<Index> own(const std::vector<Index>& outputs);
  Index steps() const { return static_cast<Index>(steps_.size()); }

 private:
  friend class Program;
  struct Value {
    View view;  // its address counts from the beginning of its buffer
    Index buffer;
    bool whole;  // it is a step's result, and no view of one
  };

  Index add_value(const View& view, Index buffer, bool whole);
  Index add_buffer(Buffer::Kind kind, const View& view, char* data = nullptr);
  Index copy(Index value);
  bool is_fresh(Index value) const;  // a step's result, in memory of its own
  Buffer& buffer_of(Index value) { return buffers_[values_.at(value).buffer]; }

  std::vector<Value> values_;
  std::vector<View> operands_;
  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::vector<Step> steps_;
  std::vector<Place> places_;
  Forms results_;  // of the steps
};

class Program {
  struct Workspace;

 public:
  // Outputs are `own` values of the builder. One that is `kept` stays in the arena, for the caller to read.
  Program(Builder builder, const std::vector<Index>& outputs, const std::vector<bool>& kept, const Options& options);
  ~Program();

  // Contiguous arrays, in order.
  const std::vector<View>& operands() const { return operands_; }
  const std::vector<View>& outputs() const { return outputs_; }
  Index instructions() const { return static_cast<Index>(steps_.size()); }
  Index arena_bytes() const { return arena_bytes_; }

  const std::vector<Step>& steps() const { return steps_; }

  // One run under way: its arena, and where the caller's arrays are.
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
  std::vector<std::vector<Index>> places_of_;  // each buffer that changes from run to run
  Forms results_;
  Index arena_bytes_;
  bool poison_;
  std::vector<Index> dying_;  // where memory is poisoned: temporaries in the order of their last use

  std::unique_lock<std::mutex> lock_idle() const;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace minimeta

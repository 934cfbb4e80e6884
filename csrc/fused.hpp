// Elementwise operations run together, a block of elements at a time.
//
//   for each block:  v_k = f_k(operands, v_1 ... v_{k-1})  for each operation k
//
// Run one after another, operations read and write whole arrays, and long arrays come from memory
// every time. Here a block of at most 2048 elements goes through all operations while it is in the
// first-level cache, and only results that are needed outside are written to memory. The operations
// are rows of the table in elementwise.hpp, so nothing is compiled at run time. An element's result
// does not depend on its position, so no bit changes.
//
// If simple operations only feed another one, a row of compound.hpp computes all of them.
//
// Operands. A contiguous operand is read where it lies. An operand that repeats along leading axes
// (a bias, the statistics of a batch) is repeated in a buffer as often as it fits a block. Any
// other layout is copied block by block.
//
// Results. A result is computed in a buffer, or where it lies in memory. A result too long for
// every cache is copied from its buffer past the caches, which saves reading the memory that it
// overwrites. It may lie where an operand does, whose block has been read by then.
//
// Sums over leading axes may end a group and take their terms from the blocks (fused_sums.hpp).
// Threads share them in chunks of 1024 terms; without a sum a chunk is one block. If everything
// fits in one block, the values may have several shapes, so that one step updates several small
// arrays.
#pragma once

#include <memory>
#include <vector>

#include "compound.hpp"
#include "parallel.hpp"
#include "plan.hpp"
#include "program.hpp"

namespace minimeta {

template <int N> struct Loop;  // loop.hpp
struct Windowed;               // fused_rows.hpp

// The limits of a group. Python's pass (minimeta/program/fuse.py) reads the first three as
// native.FUSED_... Its own limits were halved and doubled by benchmarks/fusion_limits.py: on W1, W2
// and W4 each of them changed a step by no more than two runs with equal limits differ, 4 to 8 %.
// They stand on a plateau.
namespace fusion {
constexpr Index kBlockElements = 2048;  // at most; to begin a command takes as long as some 200 additions
constexpr Index kLeastElements = 1024, kCachedElements = 16384;  // of all values of a block, most of which are past
constexpr Index kLongElements = 65536;  // come from a further cache and displace others: half as many of all three
constexpr Index kMostSums = 256;       // outputs of a sum: the width of a panel in fold.hpp
constexpr int kMostValues = 128;  // operands and results of operations: the addresses that a worker has room for
constexpr Index kFarBytes = Index{16} << 20;  // results from this size on have left the caches before they are read
}  // namespace fusion

// Values are numbered: the operands, what is put into images, then the result of each operation.
struct FusedSum {
  int value, axes;  // how many leading axes are summed
  bool mean, keepdims;
};

// What a maximum over windows puts into images that its windows fill (pooling.hpp): operands g and cell.
struct FusedPut {
  int g, cell;
  Index rows, columns;  // of a window
};

class Fused final : public Kernel {
 public:
  // The results are `values`, then `sums`. Those of `values` that are `far` become parts of arrays
  // that no cache holds.
  Fused(std::vector<FusedPut> puts, std::vector<FusedOperation> operations, std::vector<int> values,
        std::vector<FusedSum> sums, std::vector<int> far);
  ~Fused() override;

  bool check(View* operands, Index n, std::vector<View>& results) override;
  std::vector<Address> addresses() const override;
  void run(char* const* data, Watch* watch) const override;
  bool may_overwrite(Index operand, Index result) const override;

 private:
  // Where the elements of a value lie while a block is computed: in an operand or a result,
  // `advance` bytes further for each element of earlier blocks; or in a buffer, whose lifetime is
  // counted in commands.
  struct Location {
    enum class Kind { memory, tiled, copied, computed } kind;
    Index advance, stride;  // bytes, see above; bytes from one element to the next
    Index period, count;  // elements before it repeats; elements in all
    int address;  // if in memory: the number of the operand or result
    Dtype dtype;
    Lifetime buffer{};
    std::unique_ptr<Loop<1>> walk{};  // if copied: the walk through the operand
  };
  // An operation, or several, on values given by number; the last one is the result. They
  // begin where bases_[first], ... say.
  struct Command {
    RowKernel kernel;
    int operands, values[kMostOperands + 1];
    Index strides[kMostOperands], advances[kMostOperands + 1], count, first;
  };
  // A result that is copied from its buffer to memory, past the caches.
  struct Far {
    int value, address;
  };
  class Worker;

  bool is_put(Index operand) const;
  Index inputs() const { return operands_ + static_cast<Index>(puts_.size()); }
  std::vector<View> values_of(const View* operands, Index n) const;
  Index describe_results(const std::vector<View>& values, std::vector<View>& results) const;
  void choose_block(const std::vector<View>& values, Index width);
  void locate_operand(const View& x);
  void make_commands(const std::vector<View>& values);
  void locate_results(const std::vector<View>& values);
  void plan_buffers();
  void list_bases();
  void fill_tiled(char* const* data, char* const* base) const;
  void run_block_alone(char* const* data) const;
  Location& location(int value) { return locations_[static_cast<std::size_t>(value)]; }
  const Location& location(int value) const { return locations_[static_cast<std::size_t>(value)]; }
  Index width() const { return chunk_ / kSumTerms; }  // outputs of each sum
  // The addresses of a run: operands, values, sums, the chunks' sums if there are several chunks, and
  // if there is one worker alone, its buffers and the bases.
  bool is_alone() const { return chunks_ <= 1 || work_ < 2 * kWorthWaking; }
  Index buffers() const {
    return operands_ + static_cast<Index>(values_.size() + sums_.size() * (chunks_ > 1 ? 2 : 1));
  }
  template <class T> T* sums(char* const* data, std::size_t j) const {
    return reinterpret_cast<T*>(data[static_cast<std::size_t>(operands_) + values_.size() + j]);
  }
  template <class T> T* chunk_sums(char* const* data, std::size_t j) const { return sums<T>(data, sums_.size() + j); }

  static constexpr Index kSumTerms = 1024;  // terms of each output in a chunk

  std::vector<FusedPut> puts_;
  std::vector<FusedOperation> operations_;
  std::vector<int> values_;
  std::vector<FusedSum> sums_;
  std::vector<int> parts_;  // of arrays that no cache holds
  Index operands_ = 0;
  std::vector<Location> locations_;  // of each value
  std::vector<Address> bases_;  // where each value begins, and then those of each command, one after another
  std::vector<int> tiled_, copied_, far_operands_;  // operands; the last come from memory
  std::vector<Windowed> windowed_;                  // of each put
  std::vector<Command> commands_;
  std::vector<Far> far_;
  Index count_ = 0, block_ = 0, chunk_ = 0, chunks_ = 0;  // elements in all, in a block, in a chunk; chunks
  Index cost_ = 0, work_ = 0;  // of an element and of all, in elements moved
  Index memory_ = 0;  // bytes of a worker's buffers
  bool is_block_alone_ = false;
};

}  // namespace minimeta

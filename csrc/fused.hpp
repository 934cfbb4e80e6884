// Elementwise operations of one shape, or of several that are all short, run together.
//
//   for each block of some hundred elements:  v_k = f_k(operands, v_1 ... v_{k-1})  for each operation
//
// Run one after another, each operation reads and writes its arrays whole, and long arrays come from memory every time.
// Here a block goes through all operations while it is in the first cache; only what somebody needs outside is
// written out. Operations are the rows of the table (elementwise.hpp), so nothing is compiled at run time, and as an
// elementwise result does not depend on its place, no bit changes.
//
// Where one simple operation only feeds another, both are one row (elementwise.hpp): what is between them stays in a register.
//
// A result that no cache can hold is copied from its block past all of them: it costs no reading of what it overwrites.
//
// An operand that repeats along leading axes (a bias, the statistics of a batch) is laid out once as often as it fits
// a block. What lies in memory in any other way is copied block by block.
//
// A sum over leading axes may end it: its terms go from the block into the lanes of their outputs, in the order that
// fold.hpp gives to every sum. Threads share blocks; a sum's terms are shared by the 1024, as whole subtrees of that
// order, which are joined afterwards. What is one block in all has nothing to share and nothing to join: it is a list of
// rows, and even its buffers have their places when the program is built. So rows may be of several lengths there: to
// update six small arrays is one step.
#pragma once

#include <memory>
#include <vector>

#include "elementwise.hpp"
#include "loop.hpp"
#include "program.hpp"

namespace minimeta {

// Values are numbered: the operands, then the result of each operation.
struct FusedOperation {
  const Function* function;
  std::vector<int> operands;
};

struct FusedSum {
  int value, axes;  // how many leading axes go
  bool mean, keepdims;
};

class Fused final : public Kernel {
 public:
  // The results are values, then sums.
  Fused(std::vector<FusedOperation> operations, std::vector<int> values, std::vector<FusedSum> sums);

  bool check(View* operands, Index n, std::vector<View>& results) override;
  void run(char* const* data, Watch* watch) const override;

 private:
  // Where the elements of a block are found: in an operand or a result, `advance` bytes further for each element that
  // went before; or in a buffer of its own. They are `stride` bytes apart.
  struct Place {
    enum class Kind { memory, tiled, copied, computed } kind;
    Index advance, stride, period, count;  // count: of all elements
    int buffer;  // its number, or that of the address of the operand or result that it is
    Dtype dtype;
    std::unique_ptr<Loop<1>> loop;  // over an operand that is copied
  };
  // An operation, or two, the operands and the result by their places.
  struct Row {
    RowKernel kernel;
    int operands, places[4];
    Index strides[3], count;
  };
  // Where a place is if there is one block.
  struct Fixed {
    int address;
    Index offset;
  };
  // A result that goes from a buffer to memory past the caches.
  struct Far {
    int place, address;
  };
  class Worker;

  void place_operand(const View& x);
  void make_rows(const std::vector<View>& values, std::size_t operands);
  void place_results(const std::vector<View>& values, std::size_t operands);
  Index buffer_bytes(Index elements) const;
  void fix_places(std::size_t operands, std::vector<View>& results);
  static void tile(const Place& place, const char* from, char* to, Index size);
  static void copy_block(const Place& place, char* from, char* to, Index first, Index size);
  bool is_block() const { return 0 < count_ && count_ <= block_; }
  void run_block(char* const* data) const;

  std::vector<FusedOperation> operations_;
  std::vector<int> values_;
  std::vector<FusedSum> sums_;
  std::vector<Place> places_;
  std::vector<Row> rows_;
  std::vector<int> tiled_, copied_;  // operands
  std::vector<Fixed> fixed_;
  std::vector<Far> far_;
  Index count_ = 0, block_ = 0, chunk_ = 0, chunks_ = 0, cost_ = 0, work_ = 0;
  int buffers_ = 0;
};

}  // namespace minimeta

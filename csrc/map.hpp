// A program run for every index of its operands' leading axis: one task of many, on threads.
//
//   stacked output     y[i] = f(x[i], shared)
//   summed output      y    = sum over i of f(x[i], shared)
//
// Every run is independent of the others and has its own arena, inside of which all is single-threaded; threads take
// the next group of indices as they come free, and meet once, at the end. A sum is taken inside each group in the order
// of the indices, then over the groups in their order. Groups (of one size, or of two that differ by one) depend on the number
// of indices alone, so the number of threads changes no bit, and what is summed is never stacked: a sum holds one value for each group.
#pragma once

#include <memory>
#include <vector>

#include "program.hpp"

namespace minimeta {

class Map final : public Kernel {
 public:
  // An operand that is not mapped is the same for all indices.
  Map(std::unique_ptr<Program> body, std::vector<bool> mapped, std::vector<bool> summed, Index count, Index groups);

  const Program* body() const override { return body_.get(); }

  // Operands must be contiguous but for the leading axis. The results are the outputs, and after them, for each sum,
  // memory for the groups but the first (whose sum begins where the result will be).
  bool check(View* operands, Index n, std::vector<View>& results) override;
  void run(char* const* data, Watch* watch) const override;

 private:
  void run_group(Index group, char* const* data, Watch* watch) const;

  std::unique_ptr<Program> body_;
  std::vector<bool> mapped_, summed_;
  std::vector<Index> steps_;  // from one index to the next: of each operand, and of each output
  Index count_, groups_;
};

}  // namespace minimeta

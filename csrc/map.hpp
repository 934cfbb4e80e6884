// A program run for every index of its operands' leading axis: one task of many, on threads.
//
//   stacked output     y[i] = f(x[i], shared)
//   summed output      y    = sum over i of f(x[i], shared)
//
// The runs are independent. Each has its own arena and is single-threaded inside; threads take the
// next group of indices when they are free, and meet once, at the end. Or the groups take turns, and
// threads share each instruction: then one arena is enough, which may be long.
//
// A sum adds the indices of each group in order, then the groups in order. The groups (of one size,
// or of two that differ by one) depend on the number of indices alone, so neither the number of
// threads nor what they share changes a bit. Terms are never stacked: a sum keeps one value for each
// group, or in turns for the first and the present one. Maps of one program run it in the same
// arenas.
#pragma once

#include <memory>
#include <vector>

#include "program.hpp"

namespace minimeta {

class Map final : public Kernel {
 public:
  // All indices share the operands that are not mapped.
  Map(std::shared_ptr<const Program> body, std::vector<bool> mapped, std::vector<bool> summed, Index count,
      Index groups, bool in_turns);

  const Program* body() const override { return body_.get(); }

  // Operands must be contiguous, except along the leading axis. The results are the outputs, then
  // scratch memory for each sum: one value for each group except the first, which sums in the
  // result itself; in turns, one value for a group of several indices.
  bool check(View* operands, Index n, std::vector<View>& results) override;
  void run(char* const* data, Watch* watch) const override;

 private:
  Index scratch_values() const;
  void run_group(Index group, char* const* data, Watch* watch) const;
  template <class Go> void for_each_sum(char* const* data, const Go& go) const;

  std::shared_ptr<const Program> body_;
  std::vector<bool> mapped_, summed_;
  std::vector<Index> steps_;  // bytes from one index to the next, for each operand, then for each output
  Index count_, groups_;
  bool in_turns_;
};

}  // namespace minimeta

// Sums over columns, a block at a time: see column_sums.hpp.
#include "column_sums.hpp"

#include "fold.hpp"
#include "fused_sums.hpp"
#include "transpose.hpp"

namespace minimeta {
namespace {

constexpr Index kBlocks = ColumnSums::kPiece / kBlock;  // of a piece
static_assert(ColumnSums::kPiece % kBlock == 0);

template <class T> Index step(const View& x, int axis) { return x.strides[axis] / Index{sizeof(T)}; }

// Copies rows of y, which begin so many elements apart, to columns of a panel.
template <class T> void pack(const T* y, Index row, Index column, Index rows, Index columns, T* panel, Index width) {
  if (column == 1) return transpose(y, row, rows, columns, panel, width);
  for (Index q = 0; q < columns; ++q)
    for (Index j = 0; j < rows; ++j) panel[q * width + j] = y[j * row + q * column];
}

// Adds a row to the eight lanes of its block (fold.hpp). They begin with the block, and are joined
// at its end.
template <class T> void add_row(const T* x, Index size, bool begins, T* lanes, T* total) {
  using V = Part<T>;
  V sums[kParts<T>];
  for (int p = 0; p < kParts<T>; ++p) sums[p] = begins ? part(Sum::identity<T>()) : simd::load<V>(lanes + p * kPart<T>);
  Index i = 0;
  for (; i + kLanes <= size; i += kLanes) MINIMETA_UNROLL for (int p = 0; p < kParts<T>; ++p)
      sums[p] = Sum{}(sums[p], simd::load<V>(x + i + p * kPart<T>));
  T last[kLanes];
  for (int p = 0; p < kParts<T>; ++p) simd::store(last + p * kPart<T>, sums[p]);
  for (int l = 0; i < size; ++i, ++l) last[l] = Sum{}(last[l], x[i]);
  if (!total) {
    std::copy_n(last, kLanes, lanes);
    return;
  }
  for (int p = 0; p < kParts<T>; ++p) sums[p] = simd::load<V>(last + p * kPart<T>);
  *total = join_lanes<Sum>(join_vectors<Sum>(sums));
}

}  // namespace

void ColumnSums::add_product(const View& y, int operand, int result) {
  factors_.push_back({y, operand, result, width_});
  width_ += y.shape[0];
  c_rows_.clear();
  for (Index i = 0; i < rows(); ++i) c_rows_.push_back(i * width_);
}

void ColumnSums::set_row(Index row) {
  for (Index i = 0; i < rows(); ++i) x_rows_.push_back(i * row / itemsize(x_.dtype));
}

Index ColumnSums::lanes_at() const { return blocks_at() + (sums_.empty() ? 0 : kBlocks * rows()); }
Index ColumnSums::size() const { return lanes_at() + (sums_.empty() ? 0 : kLanes * rows()); }

void ColumnSums::describe_pieces(View& pieces) const {
  const Index shape[] = {(columns() + kPiece - 1) / kPiece, size()};
  describe(pieces, "column_sums", x_.dtype, 2, shape);
}

void ColumnSums::add(char* const* data, const char* x, Index first, Index size, char* pieces) const {
  with_float(x_.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    add(data, reinterpret_cast<const T*>(x), first, size, reinterpret_cast<T*>(pieces) + first / kPiece * this->size());
  });
}

template <class T> void ColumnSums::add(char* const* data, const T* x, Index first, Index size, T* piece) const {
  const Index begin = first % kPiece, in_block = begin % kBlock;
  if (width_ > 0) {
    static thread_local Scratch<T> panels, scratch;
    T* const panel = panels.take(size * width_);
    for (const Factor& each : factors_) {
      const Index row = step<T>(each.y, 0), column = step<T>(each.y, 1);
      const T* const y = reinterpret_cast<const T*>(data[each.operand]) + first * column;
      pack(y, row, column, each.y.shape[0], size, panel + each.place, width_);
    }
    const Product<T> q{{1, 1, size},   x,     x_rows_.data(), {0, 0, 1}, panel,
                       {0, 0, width_}, piece, c_rows_.data(), 1,         begin > 0};
    multiply(q, rows(), width_, 1, false, scratch, kMatrixChain);
  }
  if (sums_.empty()) return;
  T* const blocks = piece + blocks_at() + begin / kBlock * rows();
  const bool ends = in_block + size == kBlock || first + size == columns();
  for (Index i = 0; i < rows(); ++i)
    add_row(x + x_rows_[static_cast<std::size_t>(i)], size, in_block == 0, piece + lanes_at() + i * kLanes,
            ends ? blocks + i : nullptr);
}

void ColumnSums::join(char* const* data, char* pieces) const {
  with_float(x_.dtype, [&](auto tag) { join(data, reinterpret_cast<typename decltype(tag)::type*>(pieces)); });
}

template <class T> void ColumnSums::join(char* const* data, T* pieces) const {
  const Index n = (columns() + kPiece - 1) / kPiece;
  if (width_ > 0) {
    const std::unique_ptr<T[]> c(new T[static_cast<std::size_t>(blocks_at())]);
    Groups<T> groups(c.get(), c_rows_.data(), 1, rows(), width_, false);
    for (Index i = 0; i < n; ++i) {
      groups.next(kGroup);
      std::copy_n(pieces + i * size(), blocks_at(), c.get());
    }
    groups.finish();
    for (const Factor& each : factors_)
      for (Index i = 0; i < rows(); ++i)
        std::copy_n(c.get() + i * width_ + each.place, each.y.shape[0],
                    reinterpret_cast<T*>(data[each.result]) + i * each.y.shape[0]);
  }
  if (sums_.empty()) return;
  const Index blocks = (columns() + kBlock - 1) / kBlock;
  const std::unique_ptr<T[]> all(new T[static_cast<std::size_t>(blocks * rows())]);
  for (Index i = 0; i < blocks; ++i)
    std::copy_n(pieces + i / kBlocks * size() + blocks_at() + i % kBlocks * rows(), rows(), all.get() + i * rows());
  const std::unique_ptr<T[]> sums(new T[static_cast<std::size_t>(rows())]);
  join_chunks(all.get(), blocks, rows(), sums.get());
  for (const int result : sums_) std::copy_n(sums.get(), rows(), reinterpret_cast<T*>(data[result]));
}

}  // namespace minimeta

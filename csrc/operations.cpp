// The table of operations: see operations.hpp.
#include "operations.hpp"

#include <unordered_map>

#include "computation.hpp"
#include "elimination.hpp"
#include "finished_convolution.hpp"
#include "fourier.hpp"
#include "indexing.hpp"
#include "layout.hpp"
#include "planned.hpp"
#include "pooling.hpp"
#include "reduce.hpp"
#include "sequences.hpp"

namespace minimeta {
namespace {

// Elementwise functions

auto elementwise(Parameters& p) {
  const Function* const f = p.operation().function;
  return computation([f](View* x, Index, View& y) { check_elementwise(*f, x, y); },
                     [f](const View* x, Index, const View& y) { run_elementwise(*f, x, y); });
}

std::unique_ptr<Kernel> bind_elementwise(Parameters& p) {
  return std::make_unique<PlannedElementwise<decltype(elementwise(p))>>(elementwise(p), *p.operation().function);
}

// Reductions

template <Reducer reducer> auto reduction(Parameters& p) {
  const char* const name = p.name();
  const Shape axes = p.shape("axes");
  const bool keepdims = p.flag("keepdims");
  const double correction = reducer == Reducer::variance ? p.number("correction") : 0;
  return computation([=](View* x, Index, View& y) { check_reduce(name, reducer, *x, axes, keepdims, y); },
                     [=](const View* x, Index, const View& y) { run_reduce(reducer, *x, axes, correction, y); });
}

template <bool logarithm> auto softmax(Parameters& p) {
  const char* const name = p.name();
  const Shape axes = p.shape("axes");
  return computation([=](View* x, Index, View& y) { check_softmax(name, *x, axes, y); },
                     [=](const View* x, Index, const View& y) { run_softmax(logarithm, *x, axes, y); });
}

auto argmax(Parameters& p) {
  const Index axis = p.index("axis");
  const bool keepdims = p.flag("keepdims");
  return computation([=](View* x, Index, View& y) { check_argmax(*x, axis, keepdims, y); },
                     [=](const View* x, Index, const View& y) { run_argmax(*x, axis, y); });
}

// Sequences

auto cumsum(Parameters& p) {
  const Index axis = p.index("axis");
  const bool reverse = p.flag("reverse");
  return computation([=](View* x, Index, View& y) { check_cumsum(*x, axis, y); },
                     [=](const View* x, Index, const View& y) { run_cumsum(*x, axis, reverse, y); });
}

auto order(Parameters& p) {
  const Index axis = p.index("axis");
  return computation([=](View* x, Index, View& y) { check_order(*x, axis, y); },
                     [=](const View* x, Index, const View& y) { run_order(*x, axis, y); });
}

auto searchsorted(Parameters& p) {
  const bool right = p.flag("right");
  return computation([](View* x, Index, View& y) { check_searchsorted(x[0], x[1], y); },
                     [=](const View* x, Index, const View& y) { run_searchsorted(x[0], x[1], right, y); });
}

// Fourier transforms

auto fourier(Parameters& p) {
  const Shape axes = p.shape("axes");
  const bool inverse = p.flag("inverse");
  return computation([=](View* x, Index, View& y) { check_fourier(*x, axes, y); },
                     [=](const View* x, Index, const View& y) { run_fourier(*x, axes, inverse, y); });
}

auto of_real(Parameters&) {
  return computation([](View* x, Index, View& y) { check_of_real(*x, y); },
                     [](const View* x, Index, const View& y) { run_of_real(*x, y); });
}

auto to_real(Parameters& p) {
  const Index n = p.index("n");
  return computation([=](View* x, Index, View& y) { check_to_real(*x, n, y); },
                     [](const View* x, Index, const View& y) { run_to_real(*x, y); });
}

// Small matrices

auto solve(Parameters&) {
  return computation([](View* x, Index, View& y) { check_solve(x[0], x[1], y); },
                     [](const View* x, Index, const View& y) { run_solve(x[0], x[1], y); });
}

template <void (*check)(const View&, View&), void (*run)(const View&, const View&)> auto of_square(Parameters&) {
  return computation([](View* x, Index, View& y) { check(*x, y); },
                     [](const View* x, Index, const View& y) { run(*x, y); });
}

// Products

auto matmul(Parameters& p) {
  const bool transpose_x = p.flag("transpose_x"), transpose_y = p.flag("transpose_y");
  return computation(
      [=](View* x, Index, View& y) {
        if (transpose_x) swap_last_axes(x[0]);
        if (transpose_y) swap_last_axes(x[1]);
        check_matmul(x[0], x[1], y);
      },
      [](const View* x, Index, const View& y) { run_matmul(x[0], x[1], y); },
      [](const View* x, const View& y) { return work({count(y), x[0].shape[x[0].ndim - 1]}); });
}

std::unique_ptr<Kernel> bind_matmul(Parameters& p) {
  return std::make_unique<PlannedMatmul<decltype(matmul(p))>>(matmul(p));
}

// The multiply-adds of a convolution: each position meets a window of an image.
Index taps(const View& positions, const View& weights) {
  return work({count(positions), weights.shape[0], weights.shape[1], weights.shape[2]});
}

Windows windows(Parameters& p) {
  const Shape strides = p.shape("strides");
  return {strides, p.shape("padding")};
}

auto conv2d(Parameters& p) {
  const Windows w = windows(p);
  return computation([=](View* x, Index, View& y) { check_conv2d(x[0], x[1], w, y); },
                     [=](const View* x, Index, const View& y) { run_conv2d(x[0], x[1], w, y); },
                     [](const View* x, const View& y) { return taps(y, x[1]); });
}

auto conv2d_input(Parameters& p) {
  const Windows w = windows(p);
  const Shape size = p.shape("size");
  return computation([=](View* x, Index, View& y) { check_conv2d_input(x[0], x[1], w, size, y); },
                     [=](const View* x, Index, const View& y) { run_conv2d_input(x[0], x[1], w, y); },
                     [](const View* x, const View&) { return taps(x[0], x[1]); });
}

auto conv2d_weight(Parameters& p) {
  const Windows w = windows(p);
  const Shape size = p.shape("size");
  return computation([=](View* x, Index, View& y) { check_conv2d_weight(x[0], x[1], w, size, y); },
                     [=](const View* x, Index, const View& y) { run_conv2d_weight(x[0], x[1], w, y); },
                     [](const View* x, const View& y) { return taps(x[1], y); });
}

// Pooling

Pooling pooling(Parameters& p) {
  const Shape window = p.shape("window");
  return {windows(p), window};
}

auto max_cell(Parameters& p) {
  const Pooling w = pooling(p);
  return computation([=](View* x, Index, View& y) { check_max_cell(*x, w, y); },
                     [=](const View* x, Index, const View& y) { run_max_cell(*x, w, y); });
}

class MaxCellAndTake final : public Kernel {
 public:
  explicit MaxCellAndTake(const Pooling& pooling) : pooling_(pooling) {}
  bool check(View* x, Index, std::vector<View>& results) override {
    results.resize(2);
    check_max_cell(*x, pooling_, results[0]);
    describe(results[1], "max_cell_and_take", x->dtype, results[0]);
    for (const View* view : {x, &results[0], &results[1]}) forms_.add(*view);
    return false;
  }
  void run(char* const* data, Watch*) const override {
    View views[3];
    for (std::size_t i = 0; i < 3; ++i) forms_.fill(views[i], i, data[i]);
    run_max_cell_and_take(views[0], pooling_, views[1], views[2]);
  }

 private:
  Pooling pooling_;
  Forms forms_;
};

auto pool_take(Parameters& p) {
  const Pooling w = pooling(p);
  return computation([=](View* x, Index, View& y) { check_pool_take(x[0], x[1], w, y); },
                     [=](const View* x, Index, const View& y) { run_pool_take(x[0], x[1], w, y); });
}

auto pool_put(Parameters& p) {
  const Pooling w = pooling(p);
  const Shape size = p.shape("size");
  return computation([=](View* x, Index, View& y) { check_pool_put(x[0], x[1], w, size, y); },
                     [=](const View* x, Index, const View& y) { run_pool_put(x[0], x[1], w, y); });
}

auto sum_pool(Parameters& p) {
  const Pooling w = pooling(p);
  return computation([=](View* x, Index, View& y) { check_sum_pool(*x, w, y); },
                     [=](const View* x, Index, const View& y) { run_sum_pool(*x, w, y); });
}

auto sum_pool_input(Parameters& p) {
  const Pooling w = pooling(p);
  const Shape size = p.shape("size");
  return computation([=](View* x, Index, View& y) { check_sum_pool_input(*x, w, size, y); },
                     [=](const View* x, Index, const View& y) { run_sum_pool_input(*x, w, y); });
}

// Indexing, copies and views

auto gather(Parameters&) {
  return computation([](View* x, Index n, View& y) { check_gather(*x, x + 1, n - 1, y); },
                     [](const View* x, Index n, const View& y) { run_gather(*x, x + 1, n - 1, y); });
}

auto scatter_add(Parameters& p) {
  const Shape shape = p.shape("shape");
  return computation([=](View* x, Index n, View& y) { check_scatter_add(*x, x + 1, n - 1, shape, y); },
                     [](const View* x, Index n, const View& y) { run_scatter_add(*x, x + 1, n - 1, y); });
}

auto copies(Parameters&) {
  return computation([](View* x, Index, View& y) { describe(y, "copy", x->dtype, *x); },
                     [](const View* x, Index, const View& y) { copy(*x, y); });
}

auto astype(Parameters& p) {
  const Dtype dtype = dtype_named("astype", p.text("dtype"));
  return computation([=](View* x, Index, View& y) { describe(y, "astype", dtype, *x); },
                     [](const View* x, Index, const View& y) { convert(*x, y); });
}

auto concatenate(Parameters& p) {
  const Index axis = p.index("axis");
  return computation([=](View* x, Index n, View& y) { check_concatenate(x, n, axis, y); },
                     [=](const View* x, Index n, const View& y) { run_concatenate(x, n, axis, y); });
}

auto pad(Parameters& p) {
  const Shape shape = p.shape("shape"), starts = p.shape("starts"), steps = p.shape("steps");
  return computation([=](View* x, Index, View& y) { check_pad(*x, shape, starts, steps, y); },
                     [=](const View* x, Index, const View& y) { run_pad(*x, starts, steps, y); });
}

auto broadcast_to(Parameters& p) {
  return view([shape = p.shape("shape")](const View& x, View& y) { broadcast_view(x, shape, y); });
}

auto transpose(Parameters& p) {
  return view([axes = p.shape("axes")](const View& x, View& y) { transpose_view(x, axes, y); });
}

auto slice(Parameters& p) {
  const Shape starts = p.shape("starts"), sizes = p.shape("sizes"), steps = p.shape("steps");
  return view([=](const View& x, View& y) { slice_view(x, starts, sizes, steps, y); });
}

// A view if the strides allow one. Otherwise a copy, made in the shape of x, which has the same
// size.
auto reshape(Parameters& p) {
  const Shape shape = p.shape("shape");
  const auto check = [=](View* x, Index, View& y) {
    if (reshape_view(*x, shape, y)) return true;
    describe(y, "reshape", x->dtype, shape.ndim, shape.size);
    return false;
  };
  const auto run = [](const View* x, Index, const View& y) {
    View flat;
    describe(flat, "reshape", x->dtype, *x);
    flat.data = y.data;
    copy(*x, flat);
  };
  return Computation<decltype(check), decltype(run), decltype(elements)>{check, run, elements};
}

std::vector<Operation> table() {
  std::vector<Operation> rows{
      row<reduction<Reducer::sum>>("sum", 1),
      row<reduction<Reducer::mean>>("mean", 1),
      row<reduction<Reducer::max>>("max", 1),
      row<reduction<Reducer::min>>("min", 1),
      row<reduction<Reducer::norm>>("norm", 1),
      row<reduction<Reducer::logsumexp>>("logsumexp", 1),
      row<reduction<Reducer::variance>>("variance", 1),
      row<softmax<false>>("softmax", 1),
      row<softmax<true>>("log_softmax", 1),
      row<argmax>("argmax", 1),
      row<cumsum>("cumsum", 1),
      row<order>("order", 1),
      row<searchsorted>("searchsorted", 2),
      row<fourier>("fourier", 1),
      row<of_real>("of_real", 1),
      row<to_real>("to_real", 1),
      row<solve>("solve", 2),
      row<of_square<check_inv, run_inv>>("inv", 1),
      row<of_square<check_det, run_det>>("det", 1),
      row<of_square<check_slogdet, run_slogdet>>("slogdet", 1),
      {"matmul", 2, call<matmul>, bind_matmul},
      row<gather>("gather", kAny),
      row<scatter_add>("scatter_add", kAny),
      row<conv2d>("conv2d", 2),
      row<conv2d_input>("conv2d_input", 2),
      row<conv2d_weight>("conv2d_weight", 2),
      row<max_cell>("max_cell", 1),
      row<pool_take>("pool_take", 2),
      row<pool_put>("pool_put", 2),
      row<sum_pool>("sum_pool", 1),
      row<sum_pool_input>("sum_pool_input", 1),
      row<copies>("copy", 1),
      row<astype>("astype", 1),
      row<concatenate>("concatenate", kAny),
      row<pad>("pad", 1),
      row<broadcast_to>("broadcast_to", 1),
      row<transpose>("transpose", 1),
      row<slice>("slice", 1),
      row<reshape>("reshape", 1),
  };
  for (const Function& f : elementwise_functions())
    rows.push_back({f.name, f.operands, call<elementwise>, bind_elementwise, &f});
  return rows;
}

// The keys and the values of a dict, as two lists.
class FromDict {
 public:
  explicit FromDict(const py::dict& values)
      : names_(py::reinterpret_steal<py::list>(PyDict_Keys(values.ptr()))),
        values_(py::reinterpret_steal<py::list>(PyDict_Values(values.ptr()))) {}
  Parameters parameters(const Operation& operation) const {
    return {operation, PySequence_Fast_ITEMS(names_.ptr()), PySequence_Fast_ITEMS(values_.ptr()),
            static_cast<Index>(names_.size())};
  }

 private:
  py::list names_, values_;
};

}  // namespace

const std::vector<Operation>& operations() {
  static const std::vector<Operation> rows = table();
  return rows;
}

const Operation& operation_named(const std::string& name) {
  static const std::unordered_map<std::string, const Operation*> rows = [] {
    std::unordered_map<std::string, const Operation*> rows;
    for (const Operation& row : operations()) rows.emplace(row.name, &row);
    return rows;
  }();
  const auto found = rows.find(name);
  if (found == rows.end()) throw std::invalid_argument("there is no kernel named " + name);
  return *found->second;
}

void require_operands(const Operation& operation, Index n) {
  if (operation.operands == kAny ? n == 0 : n != operation.operands)
    throw std::invalid_argument(std::string(operation.name) + " of " + std::to_string(n) + " operands");
}

void Parameters::finish() const {
  if (found_ != n_) throw DtypeError(std::string(operation_.name) + " was given a parameter that it does not have");
}

std::unique_ptr<Kernel> bind_kernel(const Operation& operation, Index operands, const py::dict& parameters) {
  require_operands(operation, operands);
  const FromDict given(parameters);
  Parameters p = given.parameters(operation);
  std::unique_ptr<Kernel> kernel = operation.bind(p);
  p.finish();
  return kernel;
}

std::unique_ptr<Kernel> bind_finished_convolution(const std::string& name, const py::dict& parameters,
                                                  std::vector<Finish> finishes) {
  const FromDict given(parameters);
  Parameters p = given.parameters(operation_named(name));
  const Windows w = windows(p);
  const Shape size = name == "conv2d" ? Shape{} : p.shape("size");
  return std::make_unique<FinishedConvolution>(convolution_form(name, w, size), std::move(finishes));
}

std::unique_ptr<Kernel> bind_max_cell_and_take(const py::dict& parameters) {
  const FromDict given(parameters);
  Parameters p = given.parameters(operation_named("max_cell"));
  return std::make_unique<MaxCellAndTake>(pooling(p));
}

}  // namespace minimeta

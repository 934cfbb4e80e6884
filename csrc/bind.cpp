// Kernels with their parameters: see bind.hpp.
#include "bind.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "convolution.hpp"
#include "indexing.hpp"
#include "layout.hpp"
#include "matmul.hpp"
#include "pooling.hpp"
#include "reduce.hpp"

namespace minimeta {
namespace {

// A kernel made of two functions, that hold its parameters.
template <class Check, class Run> class Bound final : public Kernel {
 public:
  Bound(Check check, Run run) : check_(std::move(check)), run_(std::move(run)) {}
  bool check(View* x, Index n, std::vector<View>& results) override {
    const bool is_view = check_(x, n, results.emplace_back());
    for (Index i = 0; i < n; ++i) forms_.add(x[i]);
    forms_.add(results[0]);
    return is_view;
  }
  void run(char* const* data, Watch*) const override {
    constexpr std::size_t most = 4;
    View few[most];
    const std::unique_ptr<View[]> many(forms_.size() > most ? new View[forms_.size()] : nullptr);
    View* const views = many ? many.get() : few;
    for (std::size_t i = 0; i < forms_.size(); ++i) forms_.place(i, data[i], views[i]);
    run_(views, static_cast<Index>(forms_.size()) - 1, views[forms_.size() - 1]);
  }

 private:
  Check check_;
  Run run_;
  Forms forms_;
};

using Owned = std::unique_ptr<Kernel>;

template <class Check, class Run> Owned bound(Check check, Run run) {
  return std::make_unique<Bound<Check, Run>>(std::move(check), std::move(run));
}

// check(x, n, result), run(x, n, result)
template <class Check, class Run> Owned kernel(Check check, Run run) {
  const auto fresh = [check](View* x, Index n, View& result) {
    check(x, n, result);
    return false;
  };
  return bound(fresh, std::move(run));
}

// describe(x, result)
template <class Describe> Owned view(Describe describe) {
  const auto check = [describe](View* x, Index, View& result) {
    describe(*x, result);
    return true;
  };
  return bound(check, [](const View*, Index, const View&) {});
}

// The static parameters of a primitive, by name.
class Parameters {
 public:
  Parameters(const char* operation, py::dict values) : operation_(operation), values_(std::move(values)) {}

  const char* operation() const { return operation_; }
  Shape shape(const char* name) const {
    Shape shape{};
    read(shape, operation_, name, find(name));
    return shape;
  }
  template <class T> T get(const char* name) const { return py::cast<T>(find(name)); }

 private:
  py::object find(const char* name) const {
    if (!values_.contains(name)) reject(operation_, name, "is missing");
    return values_[name];
  }

  const char* operation_;
  py::dict values_;
};

constexpr Index kAny = -1;  // one or more

struct Row {
  Index operands;
  Owned (*bind)(const Parameters& p);
  // As find_result; null where a step is always needed.
  Index (*find)(Builder& builder, const std::vector<Index>& operands, const Parameters& p) = nullptr;
};

template <Reducer reducer> Owned reduction(const Parameters& p) {
  const char* const operation = p.operation();
  const Shape axes = p.shape("axes");
  const bool keepdims = p.get<bool>("keepdims");
  const double correction = reducer == Reducer::variance ? p.get<double>("correction") : 0;
  return kernel(
      [=](View* x, Index, View& y) { check_reduce(operation, reducer, *x, axes, keepdims, y); },
      [=](const View* x, Index, const View& y) { run_reduce(reducer, *x, axes, correction, y); });
}

template <bool logarithm> Owned softmax(const Parameters& p) {
  const char* const operation = p.operation();
  const Shape axes = p.shape("axes");
  return kernel([=](View* x, Index, View& y) { check_softmax(operation, *x, axes, y); },
                [=](const View* x, Index, const View& y) { run_softmax(logarithm, *x, axes, y); });
}

Owned argmax(const Parameters& p) {
  const Index axis = p.get<Index>("axis");
  const bool keepdims = p.get<bool>("keepdims");
  return kernel([=](View* x, Index, View& y) { check_argmax(*x, axis, keepdims, y); },
                [=](const View* x, Index, const View& y) { run_argmax(*x, axis, y); });
}

class Matmul final : public Kernel {
 public:
  Matmul(bool transpose_x, bool transpose_y) : transpose_x_(transpose_x), transpose_y_(transpose_y) {}
  bool check(View* x, Index, std::vector<View>& results) override {
    if (transpose_x_) swap_last_axes(x[0]);
    if (transpose_y_) swap_last_axes(x[1]);
    check_matmul(x[0], x[1], results.emplace_back());
    prepared_ = prepare_matmul(x[0], x[1], results[0]);
    for (const View* view : {&x[0], &x[1], &results[0]}) forms_.add(*view);
    return false;
  }
  void run(char* const* data, Watch*) const override {
    if (prepared_) return prepared_->run(data[0], data[1], data[2]);
    View views[3];
    for (std::size_t i = 0; i < 3; ++i) forms_.place(i, data[i], views[i]);
    run_matmul(views[0], views[1], views[2]);
  }

 private:
  bool transpose_x_, transpose_y_;
  Forms forms_;
  std::unique_ptr<PreparedMatmul> prepared_;
};

Owned matmul(const Parameters& p) {
  return std::make_unique<Matmul>(p.get<bool>("transpose_x"), p.get<bool>("transpose_y"));
}

Owned gather(const Parameters&) {
  return kernel([](View* x, Index n, View& y) { check_gather(*x, x + 1, n - 1, y); },
                [](const View* x, Index n, const View& y) { run_gather(*x, x + 1, n - 1, y); });
}

Owned scatter_add(const Parameters& p) {
  const Shape shape = p.shape("shape");
  return kernel([=](View* x, Index n, View& y) { check_scatter_add(*x, x + 1, n - 1, shape, y); },
                [](const View* x, Index n, const View& y) { run_scatter_add(*x, x + 1, n - 1, y); });
}

Windows windows(const Parameters& p) { return {p.shape("strides"), p.shape("padding")}; }

Owned conv2d(const Parameters& p) {
  const Windows w = windows(p);
  return kernel([=](View* x, Index, View& y) { check_conv2d(x[0], x[1], w, y); },
                [=](const View* x, Index, const View& y) { run_conv2d(x[0], x[1], w, y); });
}

Owned conv2d_input(const Parameters& p) {
  const Windows w = windows(p);
  const Shape size = p.shape("size");
  return kernel([=](View* x, Index, View& y) { check_conv2d_input(x[0], x[1], w, size, y); },
                [=](const View* x, Index, const View& y) { run_conv2d_input(x[0], x[1], w, y); });
}

Owned conv2d_weight(const Parameters& p) {
  const Windows w = windows(p);
  const Shape size = p.shape("size");
  return kernel([=](View* x, Index, View& y) { check_conv2d_weight(x[0], x[1], w, size, y); },
                [=](const View* x, Index, const View& y) { run_conv2d_weight(x[0], x[1], w, y); });
}

Pooling pooling(const Parameters& p) { return {p.shape("window"), p.shape("strides"), p.shape("padding")}; }

// Of each window the number of its largest cell, and that cell, while it is at hand.
class MaxCell final : public Kernel {
 public:
  explicit MaxCell(const Pooling& pooling) : pooling_(pooling) {}
  bool check(View* x, Index, std::vector<View>& results) override {
    check_max_cell(*x, pooling_, results.emplace_back());
    results.emplace_back();
    describe(results[1], "max_cell", x->dtype, results[0]);
    for (const View* view : {x, &results[0], &results[1]}) forms_.add(*view);
    return false;
  }
  void run(char* const* data, Watch*) const override {
    View views[3];
    for (std::size_t i = 0; i < 3; ++i) forms_.place(i, data[i], views[i]);
    run_max_cell_and_take(views[0], pooling_, views[1], views[2]);
  }
  bool is_of(const Pooling& other) const {
    const auto equal = [](const Shape& x, const Shape& y) {
      return x.ndim == y.ndim && std::equal(x.size, x.size + x.ndim, y.size);
    };
    return equal(pooling_.window, other.window) && equal(pooling_.strides, other.strides) &&
           equal(pooling_.padding, other.padding);
  }

 private:
  Pooling pooling_;
  Forms forms_;
};

Owned max_cell(const Parameters& p) { return std::make_unique<MaxCell>(pooling(p)); }

Index find_taken(Builder& builder, const std::vector<Index>& operands, const Parameters& p) {
  const auto* const cells = dynamic_cast<const MaxCell*>(builder.kernel_of(operands[1], operands[0]));
  return cells && cells->is_of(pooling(p)) ? operands[1] + 1 : -1;
}

Owned pool_take(const Parameters& p) {
  const Pooling w = pooling(p);
  return kernel([=](View* x, Index, View& y) { check_pool_take(x[0], x[1], w, y); },
                [=](const View* x, Index, const View& y) { run_pool_take(x[0], x[1], w, y); });
}

Owned pool_put(const Parameters& p) {
  const Pooling w = pooling(p);
  const Shape size = p.shape("size");
  return kernel([=](View* x, Index, View& y) { check_pool_put(x[0], x[1], w, size, y); },
                [=](const View* x, Index, const View& y) { run_pool_put(x[0], x[1], w, y); });
}

Owned sum_pool(const Parameters& p) {
  const Pooling w = pooling(p);
  return kernel([=](View* x, Index, View& y) { check_sum_pool(*x, w, y); },
                [=](const View* x, Index, const View& y) { run_sum_pool(*x, w, y); });
}

Owned sum_pool_input(const Parameters& p) {
  const Pooling w = pooling(p);
  const Shape size = p.shape("size");
  return kernel([=](View* x, Index, View& y) { check_sum_pool_input(*x, w, size, y); },
                [=](const View* x, Index, const View& y) { run_sum_pool_input(*x, w, y); });
}

Owned copies(const Parameters&) {
  return kernel([](View* x, Index, View& y) { describe(y, "copy", x->dtype, *x); },
                [](const View* x, Index, const View& y) { copy(*x, y); });
}

Owned astype(const Parameters& p) {
  const Dtype dtype = dtype_named("astype", p.get<std::string>("dtype"));
  return kernel([=](View* x, Index, View& y) { describe(y, "astype", dtype, *x); },
                [](const View* x, Index, const View& y) { convert(*x, y); });
}

Index join(Builder& builder, const std::vector<Index>& operands, const Parameters& p) {
  return builder.join(operands, p.get<Index>("axis"));
}

Owned concatenate(const Parameters& p) {
  const Index axis = p.get<Index>("axis");
  return kernel([=](View* x, Index n, View& y) { check_concatenate(x, n, axis, y); },
                [=](const View* x, Index n, const View& y) { run_concatenate(x, n, axis, y); });
}

Owned pad(const Parameters& p) {
  const Shape shape = p.shape("shape"), starts = p.shape("starts"), steps = p.shape("steps");
  return kernel([=](View* x, Index, View& y) { check_pad(*x, shape, starts, steps, y); },
                [=](const View* x, Index, const View& y) { run_pad(*x, starts, steps, y); });
}

Owned broadcast_to(const Parameters& p) {
  return view([shape = p.shape("shape")](const View& x, View& y) { broadcast_view(x, shape, y); });
}

Owned transpose(const Parameters& p) {
  return view([axes = p.shape("axes")](const View& x, View& y) { transpose_view(x, axes, y); });
}

Owned slice(const Parameters& p) {
  const Shape starts = p.shape("starts"), sizes = p.shape("sizes"), steps = p.shape("steps");
  return view([=](const View& x, View& y) { slice_view(x, starts, sizes, steps, y); });
}

Owned reshape(const Parameters& p) {
  const Shape shape = p.shape("shape");
  return bound(
      [=](View* x, Index, View& y) {
        if (reshape_view(*x, shape, y)) return true;
        describe(y, "reshape", x->dtype, shape.ndim, shape.size);
        return false;
      },
      [](const View* x, Index, const View& y) {
        View flat;  // the copy is made in the shape of x, of the same size
        describe(flat, "reshape", x->dtype, *x);
        flat.data = y.data;
        copy(*x, flat);
      });
}

const std::unordered_map<std::string, Row>& rows() {
  static const std::unordered_map<std::string, Row> table{
      {"sum", {1, reduction<Reducer::sum>}},
      {"mean", {1, reduction<Reducer::mean>}},
      {"max", {1, reduction<Reducer::max>}},
      {"min", {1, reduction<Reducer::min>}},
      {"norm", {1, reduction<Reducer::norm>}},
      {"logsumexp", {1, reduction<Reducer::logsumexp>}},
      {"variance", {1, reduction<Reducer::variance>}},
      {"softmax", {1, softmax<false>}},
      {"log_softmax", {1, softmax<true>}},
      {"argmax", {1, argmax}},
      {"matmul", {2, matmul}},
      {"gather", {kAny, gather}},
      {"scatter_add", {kAny, scatter_add}},
      {"conv2d", {2, conv2d}},
      {"conv2d_input", {2, conv2d_input}},
      {"conv2d_weight", {2, conv2d_weight}},
      {"max_cell", {1, max_cell}},
      {"pool_take", {2, pool_take, find_taken}},
      {"pool_put", {2, pool_put}},
      {"sum_pool", {1, sum_pool}},
      {"sum_pool_input", {1, sum_pool_input}},
      {"copy", {1, copies}},
      {"astype", {1, astype}},
      {"concatenate", {kAny, concatenate, join}},
      {"pad", {1, pad}},
      {"broadcast_to", {1, broadcast_to}},
      {"transpose", {1, transpose}},
      {"slice", {1, slice}},
      {"reshape", {1, reshape}},
  };
  return table;
}

void require_operands(const std::string& name, Index wanted, std::size_t given) {
  if (wanted == kAny ? given == 0 : given != static_cast<std::size_t>(wanted))
    throw std::invalid_argument("program: " + name + " of " + std::to_string(given) + " operands");
}

const Function* find_elementwise(const std::string& name) {
  const std::vector<Function>& functions = elementwise_functions();
  const auto found = std::find_if(functions.begin(), functions.end(), [&](const Function& f) { return f.name == name; });
  return found == functions.end() ? nullptr : &*found;
}

}  // namespace

const Function& elementwise_function(const std::string& name) {
  if (const Function* const f = find_elementwise(name)) return *f;
  throw std::invalid_argument("program: there is no elementwise kernel named " + name);
}

std::unique_ptr<Kernel> bind_kernel(const std::string& name, std::size_t operands, const py::dict& parameters) {
  if (const Function* const f = find_elementwise(name)) {
    require_operands(name, f->operands, operands);
    return kernel([f](View* x, Index, View& y) { check_elementwise(*f, x, y); },
                  [f](const View* x, Index, const View& y) { run_elementwise(*f, x, y); });
  }
  const auto row = rows().find(name);
  if (row == rows().end()) throw std::invalid_argument("program: there is no kernel named " + name);
  require_operands(name, row->second.operands, operands);
  return row->second.bind(Parameters(row->first.c_str(), parameters));
}

Index find_result(Builder& builder, const std::string& name, const std::vector<Index>& operands, const py::dict& parameters) {
  const auto row = rows().find(name);
  if (row == rows().end() || !row->second.find) return -1;
  require_operands(name, row->second.operands, operands.size());
  return row->second.find(builder, operands, Parameters(row->first.c_str(), parameters));
}

}  // namespace minimeta

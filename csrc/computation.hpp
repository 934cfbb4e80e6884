// From a computation to the two ways of running it, for a row of the table of operations
// (operations.cpp).
//
// A Computation is what an operation does once its parameters are known, three functions that hold
// them:
//
//   check(x, n, y)   checks the operands and describes the result; true if y is a view of x[0]
//   run(x, n, y)     fills the result, unless it is a view
//   work(x, y)       how many elements are moved, or multiply-adds done
//
// `call` runs it for an eager call, and `bind` makes it the kernel of a program.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "operations.hpp"

namespace minimeta {

constexpr Index kWorthReleasing = 65536;  // so much work outweighs the cost of releasing the interpreter's lock

// Memory for n views: a few lie on the stack.
template <Index few> class Views {
 public:
  explicit Views(Index n) : many_(n > few ? new View[static_cast<std::size_t>(n)] : nullptr) {}
  View* data() { return many_ ? many_.get() : few_; }

 private:
  View few_[few];
  const std::unique_ptr<View[]> many_;
};

template <class Check, class Run, class Work> struct Computation {
  Check check;
  Run run;
  Work work;
};

constexpr auto elements = [](const View* x, const View& y) { return std::max(count(*x), count(y)); };

template <class Check, class Run, class Work = decltype(elements)>
auto computation(Check check, Run run, Work work = elements) {
  const auto fresh = [check = std::move(check)](View* x, Index n, View& y) {
    check(x, n, y);
    return false;
  };
  return Computation<decltype(fresh), Run, Work>{fresh, std::move(run), work};
}

// An operation whose result is always a view: describe(x, y).
template <class Describe> auto view(Describe describe) {
  const auto check = [describe = std::move(describe)](View* x, Index, View& y) {
    describe(*x, y);
    return true;
  };
  const auto run = [](const View*, Index, const View&) {};
  return Computation<decltype(check), decltype(run), decltype(elements)>{check, run, elements};
}

// An eager call: the computation is made, checked and run at once.
template <auto make> py::object call(Parameters& p, PyObject* const* arguments, Index n) {
  const auto f = make(p);
  p.finish();
  Views<3> views(n);
  View* const x = views.data();
  for (Index i = 0; i < n; ++i) read(x[i], p.name(), "an operand", arguments[i]);
  View y;
  if (f.check(x, n, y)) return view_of(y, arguments[0]);
  py::object array = allocate(y);
  const auto run = [&] { f.run(x, n, y); };
  if (f.work(x, y) < kWorthReleasing)
    run();
  else
    without_lock(run);
  return array;
}

// A computation in a program: it keeps what its check found, except for the addresses.
template <class F> class Planned final : public Kernel {
 public:
  explicit Planned(F f) : f_(std::move(f)) {}
  bool check(View* x, Index n, std::vector<View>& results) override {
    const bool is_view = f_.check(x, n, results.emplace_back());
    for (Index i = 0; i < n; ++i) forms_.add(x[i]);
    forms_.add(results[0]);
    return is_view;
  }
  void run(char* const* data, Watch*) const override {
    const Index n = static_cast<Index>(forms_.size());
    Views<4> views(n);
    View* const x = views.data();
    for (Index i = 0; i < n; ++i) forms_.fill(x[i], static_cast<std::size_t>(i), data[i]);
    f_.run(x, n - 1, x[n - 1]);
  }

 private:
  F f_;
  Forms forms_;
};

template <auto make> std::unique_ptr<Kernel> bind(Parameters& p) {
  return std::make_unique<Planned<decltype(make(p))>>(make(p));
}

template <auto make> Operation row(const char* name, Index operands) {
  return {name, operands, call<make>, bind<make>};
}

}  // namespace minimeta

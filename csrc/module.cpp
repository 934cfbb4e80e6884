// minimeta._native_LEVEL: the kernels, as Python functions of numpy arrays. (CMakeLists.txt names the levels.)
//
// Each turns its arguments into Views and Shapes (python.hpp), allocates what the kernel's check described, and runs
// the kernel. The interpreter lock is released only where the work outweighs the release.
#include <vector>

#include "convolution.hpp"
#include "elementwise.hpp"
#include "indexing.hpp"
#include "layout.hpp"
#include "matmul.hpp"
#include "parallel.hpp"
#include "peak.hpp"
#include "pooling.hpp"
#include "python.hpp"
#include "reduce.hpp"

namespace minimeta {

void define_programs(py::module_& m);  // replay.cpp

namespace {

constexpr Index kWorthReleasing = 65536;  // elements, or multiply-adds

// Allocates the result and runs the kernel, without the interpreter lock where there is enough to do.
template <class Run> py::object compute(View& result, Index work, Run run) {
  py::object array = allocate(result);
  if (work < kWorthReleasing) {
    run();
  } else {
    without_lock(run);
  }
  return array;
}

py::object elementwise(const Function& f, const py::handle* arguments) {
  View operands[3], result;
  for (int i = 0; i < f.operands; ++i) read(operands[i], f.name, f.parameters[i], arguments[i]);
  check_elementwise(f, operands, result);
  return compute(result, count(result), [&] { run_elementwise(f, operands, result); });
}

void define_elementwise(py::module_& m) {
  using py::arg, py::handle;
  for (const Function& function : elementwise_functions()) {
    const Function* f = &function;
    const char* const* p = f->parameters;
    if (f->operands == 1)
      m.def(f->name, [f](handle x) { return elementwise(*f, &x); }, arg(p[0]), f->doc);
    else if (f->operands == 2)
      m.def(
          f->name,
          [f](handle x, handle y) {
            const handle arguments[] = {x, y};
            return elementwise(*f, arguments);
          },
          arg(p[0]), arg(p[1]), f->doc);
    else
      m.def(
          f->name,
          [f](handle x, handle y, handle z) {
            const handle arguments[] = {x, y, z};
            return elementwise(*f, arguments);
          },
          arg(p[0]), arg(p[1]), arg(p[2]), f->doc);
  }
}

py::object reduce(const char* operation, Reducer reducer, py::handle array, py::handle over, bool keepdims, double correction) {
  View x, result;
  Shape axes;
  read(x, operation, "x", array);
  read(axes, operation, "axes", over);
  check_reduce(operation, reducer, x, axes, keepdims, result);
  return compute(result, count(x), [&] { run_reduce(reducer, x, axes, correction, result); });
}

void define_reductions(py::module_& m) {
  using py::arg, py::handle;
  struct Row {
    const char* name;
    Reducer reducer;
    const char* doc;
  };
  for (const Row& row : {
           Row{"sum", Reducer::sum, "The sum over axes."},
           Row{"mean", Reducer::mean, "The mean over axes; NaN of nothing."},
           Row{"max", Reducer::max, "The largest element over axes; NaN where one is."},
           Row{"min", Reducer::min, "The smallest element over axes; NaN where one is."},
           Row{"norm", Reducer::norm, "The Euclidean norm over axes, without overflow or underflow."},
           Row{"logsumexp", Reducer::logsumexp, "log(sum(exp(x))) over axes; -inf of nothing."},
       })
    m.def(
        row.name,
        [row](handle x, handle axes, bool keepdims) { return reduce(row.name, row.reducer, x, axes, keepdims, 0); },
        arg("x"), arg("axes"), arg("keepdims"), row.doc);
  m.def(
      "variance",
      [](handle x, handle axes, bool keepdims, double correction) {
        return reduce("variance", Reducer::variance, x, axes, keepdims, correction);
      },
      arg("x"), arg("axes"), arg("keepdims"), arg("correction"),
      "The mean squared distance from the mean over axes, with divisor n - correction.");

  for (const bool logarithm : {false, true}) {
    const char* operation = logarithm ? "log_softmax" : "softmax";
    m.def(
        operation,
        [=](handle array, handle over) {
          View x, result;
          Shape axes;
          read(x, operation, "x", array);
          read(axes, operation, "axes", over);
          check_softmax(operation, x, axes, result);
          return compute(result, count(x), [&] { run_softmax(logarithm, x, axes, result); });
        },
        arg("x"), arg("axes"), logarithm ? "log(softmax(x))." : "exp(x) divided by its sum over axes.");
  }
  m.def(
      "argmax",
      [](handle array, Index axis, bool keepdims) {
        View x, result;
        read(x, "argmax", "x", array);
        check_argmax(x, axis, keepdims, result);
        return compute(result, count(x), [&] { run_argmax(x, axis, result); });
      },
      arg("x"), arg("axis"), arg("keepdims"), "The index of the first largest element along an axis; of NaN, if any.");
  m.def(
      "isfinite_all",
      [](handle array) {
        View x;
        read(x, "isfinite_all", "x", array);
        return all_finite(x);
      },
      arg("x"), "Whether every element is finite.");
}

void define_products_and_indexing(py::module_& m) {
  using py::arg, py::handle;
  m.def(
      "matmul",
      [](handle left, handle right, bool transpose_x, bool transpose_y) {
        View x, y, result;
        read(x, "matmul", "x", left);
        read(y, "matmul", "y", right);
        if (transpose_x) swap_last_axes(x);
        if (transpose_y) swap_last_axes(y);
        check_matmul(x, y, result);
        return compute(result, work({count(result), x.shape[x.ndim - 1]}), [&] { run_matmul(x, y, result); });
      },
      arg("x"), arg("y"), arg("transpose_x") = false, arg("transpose_y") = false,
      "The product of (..., m, k) and (..., k, n), each given as it is or with its last two axes swapped.");
  m.def(
      "gather",
      [](handle array, const py::args& arrays) {
        View x, result;
        read(x, "gather", "x", array);
        const std::vector<View> indices = read_all("gather", "an index array", arrays);
        const Index k = static_cast<Index>(indices.size());
        check_gather(x, indices.data(), k, result);
        return compute(result, count(result), [&] { run_gather(x, indices.data(), k, result); });
      },
      arg("x"), "x[indices]: int64 arrays of one shape index the leading axes.");
  m.def(
      "scatter_add",
      [](handle array, const py::args& arrays, handle into) {
        View updates, result;
        Shape shape;
        read(updates, "scatter_add", "updates", array);
        const std::vector<View> indices = read_all("scatter_add", "an index array", arrays);
        const Index k = static_cast<Index>(indices.size());
        read(shape, "scatter_add", "shape", into);
        check_scatter_add(updates, indices.data(), k, shape, result);
        return compute(result, count(updates), [&] { run_scatter_add(updates, indices.data(), k, result); });
      },
      arg("updates"), py::kw_only(), arg("shape"), "Zeros of a shape with updates added at indices, in order.");
}

// Each position of g meets a window of an image.
Index convolution_work(const View& g, const View& w) {
  return work({count(g), w.shape[0], w.shape[1], w.shape[2]});
}

void read(Windows& windows, const char* operation, py::handle strides, py::handle padding) {
  read(windows.strides, operation, "strides", strides);
  read(windows.padding, operation, "padding", padding);
}

void define_convolutions(py::module_& m) {
  using py::arg, py::handle;
  m.def(
      "conv2d",
      [](handle images, handle kernel, handle strides, handle padding) {
        View x, w, result;
        Windows windows;
        read(x, "conv2d", "x", images);
        read(w, "conv2d", "w", kernel);
        read(windows, "conv2d", strides, padding);
        check_conv2d(x, w, windows, result);
        return compute(result, convolution_work(result, w), [&] { run_conv2d(x, w, windows, result); });
      },
      arg("x"), arg("w"), arg("strides"), arg("padding"),
      "The convolution of images (N, H, W, I) by a kernel (kh, kw, I, O); padding top, bottom, left, right.");
  m.def(
      "conv2d_input",
      [](handle cotangent, handle kernel, handle strides, handle padding, handle image) {
        View g, w, result;
        Windows windows;
        Shape size;
        read(g, "conv2d_input", "g", cotangent);
        read(w, "conv2d_input", "w", kernel);
        read(windows, "conv2d_input", strides, padding);
        read(size, "conv2d_input", "size", image);
        check_conv2d_input(g, w, windows, size, result);
        return compute(result, convolution_work(g, w), [&] { run_conv2d_input(g, w, windows, result); });
      },
      arg("g"), arg("w"), arg("strides"), arg("padding"), arg("size"),
      "The transpose of conv2d with respect to its images, of size (H, W).");
  m.def(
      "conv2d_weight",
      [](handle images, handle cotangent, handle strides, handle padding, handle kernel) {
        View x, g, result;
        Windows windows;
        Shape size;
        read(x, "conv2d_weight", "x", images);
        read(g, "conv2d_weight", "g", cotangent);
        read(windows, "conv2d_weight", strides, padding);
        read(size, "conv2d_weight", "size", kernel);
        check_conv2d_weight(x, g, windows, size, result);
        return compute(result, convolution_work(g, result), [&] { run_conv2d_weight(x, g, windows, result); });
      },
      arg("x"), arg("g"), arg("strides"), arg("padding"), arg("size"),
      "The transpose of conv2d with respect to its kernel, of size (kh, kw).");
}

void read(Pooling& pooling, const char* operation, py::handle window, py::handle strides, py::handle padding) {
  read(pooling.window, operation, "window", window);
  read(pooling.strides, operation, "strides", strides);
  read(pooling.padding, operation, "padding", padding);
}

void define_pooling(py::module_& m) {
  using py::arg, py::handle;
  struct Row {
    const char* name;
    void (*check)(const View&, const Pooling&, View&);
    void (*run)(const View&, const Pooling&, const View&);
    const char* doc;
  };
  for (const Row& row : {
           Row{"max_cell", check_max_cell, run_max_cell,
               "Which cell, counted row by row, of each window of images (N, H, W, C) is the first maximum (or NaN)."},
           Row{"sum_pool", check_sum_pool, run_sum_pool, "The sum of each window of images (N, H, W, C)."},
       })
    m.def(
        row.name,
        [row](handle images, handle window, handle strides, handle padding) {
          View x, result;
          Pooling pooling;
          read(x, row.name, "x", images);
          read(pooling, row.name, window, strides, padding);
          row.check(x, pooling, result);
          return compute(result, count(x), [&] { row.run(x, pooling, result); });
        },
        arg("x"), arg("window"), arg("strides"), arg("padding"), row.doc);
  m.def(
      "pool_take",
      [](handle images, handle chosen, handle window, handle strides, handle padding) {
        View x, cell, result;
        Pooling pooling;
        read(x, "pool_take", "x", images);
        read(cell, "pool_take", "cell", chosen);
        read(pooling, "pool_take", window, strides, padding);
        check_pool_take(x, cell, pooling, result);
        return compute(result, count(x), [&] { run_pool_take(x, cell, pooling, result); });
      },
      arg("x"), arg("cell"), arg("window"), arg("strides"), arg("padding"),
      "The element at the chosen cell of each window of images (N, H, W, C); 0 on the padding.");
  m.def(
      "pool_put",
      [](handle elements, handle chosen, handle window, handle strides, handle padding, handle images) {
        View g, cell, result;
        Pooling pooling;
        Shape size;
        read(g, "pool_put", "g", elements);
        read(cell, "pool_put", "cell", chosen);
        read(pooling, "pool_put", window, strides, padding);
        read(size, "pool_put", "size", images);
        check_pool_put(g, cell, pooling, size, result);
        return compute(result, count(result), [&] { run_pool_put(g, cell, pooling, result); });
      },
      arg("g"), arg("cell"), arg("window"), arg("strides"), arg("padding"), arg("size"),
      "The transpose of pool_take: images of a size, each cell the sum over the windows that hold it and chose it.");
  m.def(
      "sum_pool_input",
      [](handle sums, handle window, handle strides, handle padding, handle images) {
        View g, result;
        Pooling pooling;
        Shape size;
        read(g, "sum_pool_input", "g", sums);
        read(pooling, "sum_pool_input", window, strides, padding);
        read(size, "sum_pool_input", "size", images);
        check_sum_pool_input(g, pooling, size, result);
        return compute(result, count(result), [&] { run_sum_pool_input(g, pooling, result); });
      },
      arg("g"), arg("window"), arg("strides"), arg("padding"), arg("size"),
      "The transpose of sum_pool: the sum over the windows that hold each cell of images of a size.");
}

void define_copies(py::module_& m) {
  using py::arg, py::handle;
  m.def(
      "copy",
      [](handle array) {
        View x, result;
        read(x, "copy", "x", array);
        describe(result, "copy", x.dtype, x);
        return compute(result, count(x), [&] { copy(x, result); });
      },
      arg("x"), "A contiguous copy.");
  m.def(
      "astype",
      [](handle array, const std::string& dtype) {
        View x, result;
        read(x, "astype", "x", array);
        describe(result, "astype", dtype_named("astype", dtype), x);
        return compute(result, count(x), [&] { convert(x, result); });
      },
      arg("x"), arg("dtype"), "A contiguous copy with another dtype.");
  m.def(
      "concatenate",
      [](const py::args& sequence, Index axis) {
        View result;
        const std::vector<View> arrays = read_all("concatenate", "an array", sequence);
        const Index n = static_cast<Index>(arrays.size());
        check_concatenate(arrays.data(), n, axis, result);
        return compute(result, count(result), [&] { run_concatenate(arrays.data(), n, axis, result); });
      },
      py::kw_only(), arg("axis"), "Arrays joined along an axis.");
  m.def(
      "pad",
      [](handle array, handle into, handle first, handle stride) {
        View x, result;
        Shape shape, starts, steps;
        read(x, "pad", "x", array);
        read(shape, "pad", "shape", into);
        read(starts, "pad", "starts", first);
        read(steps, "pad", "steps", stride);
        check_pad(x, shape, starts, steps, result);
        return compute(result, count(result), [&] { run_pad(x, starts, steps, result); });
      },
      arg("x"), arg("shape"), arg("starts"), arg("steps"), "Zeros of a shape with x at starts + i * steps of each axis.");
}

void define_views(py::module_& m) {
  using py::arg, py::handle;
  m.def(
      "broadcast_to",
      [](handle array, handle wanted) {
        View x, result;
        Shape shape;
        read(x, "broadcast_to", "x", array);
        read(shape, "broadcast_to", "shape", wanted);
        broadcast_view(x, shape, result);
        return view_of(result, array);
      },
      arg("x"), arg("shape"), "A read-only view with x repeated to a shape.");
  m.def(
      "transpose",
      [](handle array, handle order) {
        View x, result;
        Shape axes;
        read(x, "transpose", "x", array);
        read(axes, "transpose", "axes", order);
        transpose_view(x, axes, result);
        return view_of(result, array);
      },
      arg("x"), arg("axes"), "A read-only view with the axes in another order.");
  m.def(
      "slice",
      [](handle array, handle first, handle number, handle stride) {
        View x, result;
        Shape starts, sizes, steps;
        read(x, "slice", "x", array);
        read(starts, "slice", "starts", first);
        read(sizes, "slice", "sizes", number);
        read(steps, "slice", "steps", stride);
        slice_view(x, starts, sizes, steps, result);
        return view_of(result, array);
      },
      arg("x"), arg("starts"), arg("sizes"), arg("steps"), "A read-only view of starts + i * steps of each axis.");
  m.def(
      "reshape",
      [](handle array, handle wanted) {
        View x, result;
        Shape shape;
        read(x, "reshape", "x", array);
        read(shape, "reshape", "shape", wanted);
        if (reshape_view(x, shape, result)) return view_of(result, array);
        describe(result, "reshape", x.dtype, shape.ndim, shape.size);
        View flat = result;  // the copy is made in the shape of x, of the same size
        describe(flat, "reshape", x.dtype, x);
        return compute(result, count(x), [&] {
          flat.data = result.data;
          copy(x, flat);
        });
      },
      arg("x"), arg("shape"), "x with another shape: a read-only view where the strides allow one, else a copy.");
}

void define_machine(py::module_& m) {
  watch_for_forks();
  m.def("set_num_threads", set_max_threads, py::arg("n"), "At most n threads for one large operation.");
  m.def("get_num_threads", max_threads, "How many threads a large operation may use now.");
  m.def(
      "multiply_adds",
      [](const std::string& dtype, Index rounds) {
        const Dtype wanted = dtype_named("multiply_adds", dtype);
        if (!is_float(wanted)) throw DtypeError("multiply_adds: dtype must be float32 or float64, not " + dtype);
        return run_multiply_adds(wanted, rounds);
      },
      py::arg("dtype"), py::arg("rounds"), "Rounds of multiply-adds in registers alone, for benchmarks: how many.");
}

}  // namespace
}  // namespace minimeta

PYBIND11_MODULE(MINIMETA_MODULE, m) {
  using namespace minimeta;
  m.doc() = "The kernels of minimeta: numpy arrays in, fresh contiguous arrays (or read-only views) out.";
  py::register_local_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const DtypeError& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    }
  });
  py::options options;
  options.disable_function_signatures();  // the stub has the types
  define_elementwise(m);
  define_reductions(m);
  define_products_and_indexing(m);
  define_convolutions(m);
  define_pooling(m);
  define_copies(m);
  define_views(m);
  define_machine(m);
  define_programs(m);
}

// Where the memory of numpy arrays comes from.
//
// numpy asks a *handler* for the memory of a new array, the one that is set for the thread at that
// time, and gives it back to the handler that it came from, whichever is set then (NEP 49). So an
// array owns its block (blocks.hpp) as any other array owns its memory: it may be resized, pickled
// or handed to another thread, and the block is free when the last view of it is gone.
#pragma once

#include <pybind11/gil_safe_call_once.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>

#include "blocks.hpp"

namespace minimeta {

namespace py = pybind11;

constexpr Index kWorthAHandler = Index{1} << 20;  // bytes; a handler takes a quarter of a microsecond

// numpy's structure.
struct MemoryHandler {
  char name[127];
  std::uint8_t version;
  void* context;
  void* (*allocate)(void* context, std::size_t bytes);
  void* (*allocate_zeros)(void* context, std::size_t items, std::size_t bytes);
  void* (*resize)(void* context, void* memory, std::size_t bytes);
  void (*free)(void* context, void* memory, std::size_t bytes);
};

// Never destroyed, because arrays may outlive what is destroyed when a process ends.
inline KeptBlocks& kept_blocks() {
  static KeptBlocks* const blocks = new KeptBlocks;
  return *blocks;
}

inline void* take_block(void*, std::size_t bytes) noexcept {
  try {
    return kept_blocks().take(static_cast<Index>(bytes));
  } catch (const std::exception&) {
    return nullptr;
  }
}

inline void* take_zeros(void* context, std::size_t items, std::size_t bytes) noexcept {
  void* const memory = take_block(context, items * bytes);
  return memory ? std::memset(memory, 0, items * bytes) : nullptr;
}

inline void give_block(void*, void* memory, std::size_t) noexcept {
  if (memory) kept_blocks().give(static_cast<char*>(memory));
}

inline void* resize_block(void* context, void* memory, std::size_t bytes) noexcept {
  void* const other = take_block(context, bytes);
  if (!other || !memory) return other;
  const auto before = static_cast<std::size_t>(kept_blocks().bytes_of(static_cast<char*>(memory)));
  std::memcpy(other, memory, std::min(before, bytes));
  give_block(context, memory, before);
  return other;
}

// While it lives, new arrays of this thread lie in blocks, if that is wanted.
class InBlocks {
 public:
  explicit InBlocks(bool wanted = true) : before_(wanted ? set(blocks()) : py::object()) {}
  ~InBlocks() {
    if (before_) set(before_.ptr());
  }
  InBlocks(const InBlocks&) = delete;
  InBlocks& operator=(const InBlocks&) = delete;

 private:
  static PyObject* blocks() {
    static MemoryHandler handler{"minimeta", 1, nullptr, take_block, take_zeros, resize_block, give_block};
    static PyObject* const capsule = PyCapsule_New(&handler, "mem_handler", nullptr);
    return capsule;
  }

  using Set = PyObject* (*)(PyObject*);

  static Set from_numpy() {
    constexpr int place = 304;  // of PyDataMem_SetHandler, since numpy 1.22
    const py::object table = py::module_::import("numpy._core._multiarray_umath").attr("_ARRAY_API");
    return reinterpret_cast<Set>(static_cast<void**>(PyCapsule_GetPointer(table.ptr(), nullptr))[place]);
  }

  // Returns the handler that was set before.
  static py::object set(PyObject* handler) {
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<Set> found;
    return py::reinterpret_steal<py::object>(found.call_once_and_store_result(from_numpy).get_stored()(handler));
  }

  const py::object before_;
};

}  // namespace minimeta

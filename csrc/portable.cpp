// What a wheel for many Linux systems defines by itself instead of linking it (CMakeLists.txt:
// MINIMETA_PORTABLE).
//
// OpenMP. Loops run on our own threads (team.hpp), and OpenMP only says how many there may be,
// since OMP_NUM_THREADS and threadpoolctl are what people know. A wheel could carry a copy of
// OpenMP's library, but threadpoolctl would then limit two of them. So the system's library is
// looked up when the module is loaded; without one, the limit is OMP_NUM_THREADS or the number of
// processors that this process may use.
//
// glibc. A linker binds a name to its newest version, so a module that is linked on a system with
// glibc 2.36 asks for the pthread_once of 2.34, although that one only moved from libpthread to
// libc. Here each such name is defined once more, hidden, as a call of the version that every glibc
// on x86-64 has. With -static-libstdc++ the calls that the C++ library makes end here, too. Types
// are spelled out: pthread.h would declare the names with attributes of its own.
#include <sched.h>

#include <cstdlib>
#include <initializer_list>

#pragma GCC visibility push(hidden)
extern "C" {

#define MINIMETA_OLD(result, name, parameters, arguments)                       \
  __attribute__((visibility("default"))) result minimeta_old_##name parameters; \
  __asm__(".symver minimeta_old_" #name "," #name "@GLIBC_2.2.5");              \
  __asm__(".hidden " #name);                                                    \
  result name parameters { return minimeta_old_##name arguments; }

MINIMETA_OLD(void*, dlopen, (const char* name, int flags), (name, flags))
MINIMETA_OLD(void*, dlsym, (void* library, const char* name), (library, name))
MINIMETA_OLD(int, pthread_once, (int* once, void (*f)()), (once, f))
MINIMETA_OLD(int, pthread_create, (unsigned long* thread, const void* attributes, void* (*f)(void*), void* argument),
             (thread, attributes, f, argument))
MINIMETA_OLD(int, pthread_join, (unsigned long thread, void** result), (thread, result))
MINIMETA_OLD(int, pthread_detach, (unsigned long thread), (thread))
MINIMETA_OLD(int, pthread_mutex_trylock, (void* mutex), (mutex))
MINIMETA_OLD(int, __pthread_key_create, (unsigned* key, void (*f)(void*)), (key, f))
MINIMETA_OLD(int, pthread_key_create, (unsigned* key, void (*f)(void*)), (key, f))
MINIMETA_OLD(int, pthread_key_delete, (unsigned key), (key))
MINIMETA_OLD(void*, pthread_getspecific, (unsigned key), (key))
MINIMETA_OLD(int, pthread_setspecific, (unsigned key, const void* value), (key, value))
MINIMETA_OLD(double, pow, (double x, double y), (x, y))  // 2.29 only dropped the report of errors

// Since glibc 2.32 this says whether there is one thread, so that counts of shared pointers need
// not be atomic.
char __libc_single_threaded = 0;

}  // extern "C"

namespace {

struct OpenMP {
  int (*max_threads)();
  void (*set_num_threads)(int);
};

int everywhere() {
  const char* const wanted = std::getenv("OMP_NUM_THREADS");
  const int n = wanted ? std::atoi(wanted) : 0;  // of a list, "4,2", the outermost level
  cpu_set_t processors;
  if (n > 0) return n;
  return sched_getaffinity(0, sizeof(processors), &processors) ? 1 : CPU_COUNT(&processors);
}

thread_local int own = 0;  // OpenMP's limit belongs to the calling thread, too

OpenMP find() {
  constexpr int kLazy = 1;  // RTLD_LAZY
  for (const char* const name : {"libgomp.so.1", "libomp.so.5", "libomp.so"})
    if (void* const library = dlopen(name, kLazy)) {
      const auto max_threads = reinterpret_cast<int (*)()>(dlsym(library, "omp_get_max_threads"));
      const auto set_num_threads = reinterpret_cast<void (*)(int)>(dlsym(library, "omp_set_num_threads"));
      if (max_threads && set_num_threads) return {max_threads, set_num_threads};
    }
  static const int limit = everywhere();
  return {[] { return own ? own : limit; }, [](int n) { own = n; }};
}

const OpenMP openmp = find();

}  // namespace

extern "C" int omp_get_max_threads() { return openmp.max_threads(); }
extern "C" void omp_set_num_threads(int n) { openmp.set_num_threads(n); }
#pragma GCC visibility pop

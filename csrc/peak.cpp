// Multiply-adds in registers and nothing else: see peak.hpp.
//
// A unit takes a new vector each cycle and answers some four or five cycles later, and there are
// two of them: a dozen independent chains keep both busy.
#include "peak.hpp"

#include "simd.hpp"

namespace minimeta {

Index run_multiply_adds(Dtype dtype, Index rounds) {
  constexpr int chains = 12;
  Index done = 0;
  with_float(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using Vec = simd::Vec<T>;
    Vec x[chains];
  MINIMETA_UNROLL
    for (int i = 0; i < chains; ++i) x[i] = simd::broadcast<Vec>(static_cast<T>(i));
    // GCC cannot compute in advance what it loads from memory that may change.
    volatile T half = T(0.5);
    const Vec scale = simd::broadcast<Vec>(T(half)), shift = simd::broadcast<Vec>(T(half));
    for (Index r = 0; r < rounds; ++r) {
      MINIMETA_UNROLL
      for (int i = 0; i < chains; ++i) x[i] = simd::fma(x[i], scale, shift);
    }
    Vec sum = x[0];
    MINIMETA_UNROLL
    for (int i = 1; i < chains; ++i) sum += x[i];
    half = sum[0];  // GCC cannot leave out a store to it
    done = rounds * chains * simd::kLanes<T>;
  });
  return done;
}

}  // namespace minimeta

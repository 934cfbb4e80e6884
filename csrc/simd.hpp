// Vectors: what a register of this level holds, and the few operations that C++ does not write with
// + - * /.
//
// A Vec<T> is GCC's own kind of vector, so arithmetic and comparisons are ordinary expressions. A
// comparison gives a vector of integers, whose bits are all set where it holds, and `mask ? x : y`
// selects. The extension is compiled once per level, and levels differ only in the width of their
// vectors. Every operation here acts on each lane by itself and rounds once, so no result shows the
// width. A sum over lanes would show it, so there is none.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// GCC keeps an array of vectors in registers only if every loop over it is unrolled.
#define MINIMETA_UNROLL _Pragma("GCC unroll 32")

// For functions of vectors that take hardly longer than a call: a call saves every vector register.
#define MINIMETA_INLINE __attribute__((always_inline)) inline

namespace minimeta::simd {

#if defined(__AVX512F__)
constexpr int kBytes = 64, kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kBytes = 32, kRegisters = 16;
#else
constexpr int kBytes = 16, kRegisters = 32;
#endif

template <class T> constexpr int kLanes = kBytes / sizeof(T);

template <class T, int Lanes> struct VectorOf {
  typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
};
template <class T> struct VectorOf<T, 1> {
  using type = T;
};
template <class T, int Lanes = kLanes<T>> using Vec = typename VectorOf<T, Lanes>::type;

template <class V> using Element = std::remove_reference_t<decltype(std::declval<V&>()[0])>;
template <class V> constexpr int kLanesOf = sizeof(V) / sizeof(Element<V>);

template <std::size_t Bytes> using Unsigned = std::conditional_t<
    Bytes == 1, std::uint8_t,
    std::conditional_t<Bytes == 2, std::uint16_t, std::conditional_t<Bytes == 4, std::uint32_t, std::uint64_t>>>;

// The unsigned integer with as many bits as a lane.
template <class V> using Bits = Vec<Unsigned<sizeof(Element<V>)>, kLanesOf<V>>;

// Memory needs no more alignment than its elements.
template <class V, class T> V load(const T* from) {
  V x;
  std::memcpy(&x, from, sizeof(V));
  return x;
}
template <class V, class T> void store(T* to, V x) { std::memcpy(to, &x, sizeof(V)); }

// The same bits as another type of vector.
template <class To, class From> To bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  std::memcpy(&y, &x, sizeof(To));
  return y;
}

// The first n elements, then zeros; the memory may end after them.
template <class V, class T> V load_first(const T* from, std::ptrdiff_t n) {
#if defined(__AVX2__)
  if constexpr (sizeof(V) == 32) {
    static constexpr std::int32_t kMask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    const __m256i mask = load<__m256i>(kMask + 8 - n * static_cast<std::ptrdiff_t>(sizeof(T) / 4));
    return bits<V>(_mm256_maskload_ps(reinterpret_cast<const float*>(from), mask));
  }
#endif
  T first[sizeof(V) / sizeof(T)] = {};
  std::memcpy(first, from, static_cast<std::size_t>(n) * sizeof(T));
  return load<V>(first);
}

// Stores past the caches, so that the old contents are not read first. The memory must be aligned
// to the vector, and other threads see the new contents after `streamed`.
template <class V, class T> void stream(T* to, V x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) return _mm512_stream_si512(reinterpret_cast<__m512i*>(to), bits<__m512i>(x));
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(V) == 32) return _mm256_stream_si256(reinterpret_cast<__m256i*>(to), bits<__m256i>(x));
#endif
  store(to, x);
}
inline void streamed() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

// The same value in every lane. Not V{} + s, which is an addition (and turns -0 into 0).
template <class V, class T> inline V broadcast(T s) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<V, Vec<float, 16>>) return _mm512_set1_ps(s);
  if constexpr (std::is_same_v<V, Vec<double, 8>>) return _mm512_set1_pd(s);
#endif
#if defined(__AVX2__)
  if constexpr (std::is_same_v<V, Vec<float, 8>>) return _mm256_set1_ps(s);
  if constexpr (std::is_same_v<V, Vec<double, 4>>) return _mm256_set1_pd(s);
  if constexpr (std::is_same_v<V, Vec<float, 4>>) return _mm_set1_ps(s);
  if constexpr (std::is_same_v<V, Vec<double, 2>>) return _mm_set1_pd(s);
#endif
  if constexpr (std::is_same_v<V, T>) {
    return s;
  } else {
    V x;
    for (std::size_t i = 0; i < sizeof(V) / sizeof(T); ++i) x[i] = s;
    return x;
  }
}

// a b + c with one rounding, in one instruction.
template <class V> inline V fma(V a, V b, V c) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<V, Vec<float, 16>>) return _mm512_fmadd_ps(a, b, c);
  if constexpr (std::is_same_v<V, Vec<double, 8>>) return _mm512_fmadd_pd(a, b, c);
#endif
#if defined(__AVX2__)
  if constexpr (std::is_same_v<V, Vec<float, 8>>) return _mm256_fmadd_ps(a, b, c);
  if constexpr (std::is_same_v<V, Vec<double, 4>>) return _mm256_fmadd_pd(a, b, c);
  if constexpr (std::is_same_v<V, Vec<float, 4>>) return _mm_fmadd_ps(a, b, c);
  if constexpr (std::is_same_v<V, Vec<double, 2>>) return _mm_fmadd_pd(a, b, c);
#elif defined(__aarch64__)
  if constexpr (std::is_same_v<V, Vec<float, 4>>) return vfmaq_f32(c, a, b);
  if constexpr (std::is_same_v<V, Vec<double, 2>>) return vfmaq_f64(c, a, b);
#endif
  if constexpr (std::is_arithmetic_v<V>) {
    return std::fma(a, b, c);
  } else {
    V x;
    for (std::size_t i = 0; i < sizeof(V) / sizeof(a[0]); ++i) x[i] = std::fma(a[i], b[i], c[i]);
    return x;
  }
}

// A part of a vector, repeated. (GCC warns about its own header if no lane is masked.)
template <class V, class Part> inline V repeat(Part x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(Part) == 16)
    return bits<V>(_mm512_maskz_broadcast_f32x4(-1, bits<__m128>(x)));
  if constexpr (sizeof(V) == 64 && sizeof(Part) == 32)
    return bits<V>(_mm512_maskz_broadcast_f64x4(-1, bits<__m256d>(x)));
#endif
  V y;
  for (int i = 0; i < kLanesOf<V>; ++i) y[i] = x[i % kLanesOf<Part>];
  return y;
}

// The lanes of x before the n-th, then those of y.
template <class V> inline V blend(V x, V y, int n) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<V, Vec<float, 16>>) return _mm512_mask_mov_ps(x, static_cast<__mmask16>(0xffff << n), y);
  if constexpr (std::is_same_v<V, Vec<double, 8>>) return _mm512_mask_mov_pd(x, static_cast<__mmask8>(0xff << n), y);
#endif
  for (int i = n; i < kLanesOf<V>; ++i) x[i] = y[i];
  return x;
}

// x 2^n with one rounding, for an integer n stored as a floating-point number. Only levels with an
// instruction for it have it. (GCC warns about its own header if no lane is masked.)
#if defined(__AVX512F__) && defined(__AVX512VL__)
template <class V> constexpr bool kScales = sizeof(V) >= 16;
template <class V> inline V scale(V x, V n) {
  if constexpr (std::is_same_v<V, Vec<float, 16>>) return _mm512_maskz_scalef_ps(-1, x, n);
  if constexpr (std::is_same_v<V, Vec<double, 8>>) return _mm512_maskz_scalef_pd(-1, x, n);
  if constexpr (std::is_same_v<V, Vec<float, 8>>) return _mm256_scalef_ps(x, n);
  if constexpr (std::is_same_v<V, Vec<double, 4>>) return _mm256_scalef_pd(x, n);
  if constexpr (std::is_same_v<V, Vec<float, 4>>) return _mm_scalef_ps(x, n);
  if constexpr (std::is_same_v<V, Vec<double, 2>>) return _mm_scalef_pd(x, n);
}
#else
template <class V> constexpr bool kScales = false;
template <class V> V scale(V x, V n);
#endif

// Unsigned integers, or one, converted to another width. Vectors go in steps of twice or half the
// width, because GCC converts lane by lane if the step is larger.
template <class To, class V> auto resize(V x) {
  if constexpr (std::is_arithmetic_v<V>) {
    return static_cast<To>(x);
  } else {
    constexpr std::size_t from = sizeof(Element<V>), to = sizeof(To);
    if constexpr (from == to)
      return x;
    else
      return resize<To>(__builtin_convertvector(x, Vec<Unsigned<(from < to ? 2 * from : from / 2)>, kLanesOf<V>>));
  }
}

// Whether a comparison holds in some lane.
template <class Mask> bool any(Mask mask) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Mask) == 64) {
    const __m512i x = bits<__m512i>(mask);
    return _mm512_test_epi64_mask(x, x) != 0;
  }
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(Mask) == 32) {
    const __m256i x = bits<__m256i>(mask);
    return !_mm256_testz_si256(x, x);
  }
#endif
  std::uint64_t words[sizeof(Mask) / 8], some = 0;
  std::memcpy(words, &mask, sizeof(Mask));
  for (const std::uint64_t word : words) some |= word;
  return some != 0;
}

// The lower and the upper half of a vector, and the vector of two halves.
template <class V> struct Halves {
  V low, high;
};
template <class V, int... I> auto halves(V x, std::integer_sequence<int, I...>) {
  const auto low = __builtin_shufflevector(x, x, I...);
  return Halves<std::decay_t<decltype(low)>>{low, __builtin_shufflevector(x, x, (int{sizeof...(I)} + I)...)};
}
template <class V> auto halves(V x) { return halves(x, std::make_integer_sequence<int, kLanesOf<V> / 2>{}); }

// The n-th part of a vector.
template <class Part, class V> Part part(V x, int n) {
  if constexpr (sizeof(Part) == sizeof(V)) {
    return x;
  } else {
    constexpr int half = sizeof(V) / sizeof(Part) / 2;
    const auto [low, high] = halves(x);
    return n < half ? part<Part>(low, n) : part<Part>(high, n - half);
  }
}

template <class V, int... I> auto joined(V low, V high, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(low, high, I...);
}
template <class V> auto joined(V low, V high) {
  // GCC would shuffle two registers; these intrinsics can take the upper half straight from memory.
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 32)
    return bits<Vec<Element<V>, 2 * kLanesOf<V>>>(
        _mm512_maskz_insertf64x4(-1, _mm512_castpd256_pd512(bits<__m256d>(low)), bits<__m256d>(high), 1));
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(V) == 16)
    return bits<Vec<Element<V>, 2 * kLanesOf<V>>>(
        _mm256_insertf128_ps(_mm256_castps128_ps256(bits<__m128>(low)), bits<__m128>(high), 1));
#endif
  return joined(low, high, std::make_integer_sequence<int, 2 * kLanesOf<V>>{});
}

// f of a vector of floats: computes in two vectors of doubles, and rounds once.
template <class V, class F> V in_double(V x, F f) {
  const auto [low, high] = halves(x);
  using Half = std::decay_t<decltype(low)>;
  using Wide = Vec<double, kLanesOf<Half>>;
  return joined(__builtin_convertvector(f(__builtin_convertvector(low, Wide)), Half),
                __builtin_convertvector(f(__builtin_convertvector(high, Wide)), Half));
}

}  // namespace minimeta::simd

// The constants of the elementary functions. Written by fit_coefficients.py, which says how; do not edit.
//
//   exp      (e^t - 1 - t) / t^2 for |t| <= log(2) / 2
//   log      (2 atanh(s) - 2 s) / s^3, t = s^2, for s = f / (2 + f) and 1 + f between sqrt(1/2) and sqrt(2)
//   tanh     (tanh(x) - x) / x^3, t = x^2, for |x| <= 1
//   erf      (erf(x) - x) / x, t = x^2, for |x| <= 1
//   log_erfc log(1 - erf(1 + t)), whose error counts as that of erf, for 0 <= t <= 5
//   sin      (sin(x) - x) / x^3, t = x^2, for |x| <= pi / 4
//   cos      (cos(x) - 1 + x^2 / 2) / x^4, t = x^2, for |x| <= pi / 4
#pragma once

#include <cstdint>

namespace minimeta::functions {

template <class T> struct Coefficients;

template <> struct Coefficients<float> {
  static constexpr float log2_e = 0x1.715476p+0f;
  static constexpr float log_2_high = 0x1.62e4p-1f;
  static constexpr float log_2_low = 0x1.7f7d1cp-20f;
  static constexpr float exp_infinite = 0x1.64p+6f;
  static constexpr float exp_zero = -0x1.a4p+6f;
  static constexpr float expm1_minus_one = -0x1.3p+4f;
  static constexpr std::uint32_t root_half_bits = 0x3f3504f3u;
  static constexpr float exp[6] = {
      0x1p-1f,
      0x1.555556p-3f,
      0x1.5554e8p-5f,
      0x1.1110ep-7f,
      0x1.6d43acp-10f,
      0x1.a1256ap-13f,
  };
  static constexpr float log[3] = {
      0x1.55555cp-1f,
      0x1.997c12p-2f,
      0x1.2eeb6p-2f,
  };
  static constexpr float tanh[7] = {
      -0x1.555554p-2f,
      0x1.110ffep-3f,
      -0x1.b9d574p-5f,
      0x1.62e11cp-6f,
      -0x1.0d515p-7f,
      0x1.490d0ap-9f,
      -0x1.b92196p-12f,
  };
  static constexpr float erf[7] = {
      0x1.06eba8p-3f,
      -0x1.81273ep-2f,
      0x1.ce2d1p-4f,
      -0x1.b7fabap-6f,
      0x1.54127p-8f,
      -0x1.a45088p-11f,
      0x1.4a569p-14f,
  };
  static constexpr float log_erfc[10] = {
      -0x1.d97fcp+0f,
      -0x1.51c99ep+1f,
      -0x1.afad3p-1f,
      -0x1.545f34p-5f,
      0x1.49963p-7f,
      -0x1.0d31ecp-9f,
      0x1.57730ap-12f,
      -0x1.37cd1ep-15f,
      0x1.5eeba2p-19f,
      -0x1.6ad772p-24f,
  };
  static constexpr double sin[3] = {
      -0x1.555552a09bfe9p-3,
      0x1.110c23c24c08dp-7,
      -0x1.9ac70c093a53dp-13,
  };
  static constexpr double cos[3] = {
      0x1.5555543fdaadep-5,
      -0x1.6c12cf02a9d17p-10,
      0x1.9bd67da954dcp-16,
  };
};

template <> struct Coefficients<double> {
  static constexpr double log2_e = 0x1.71547652b82fep+0;
  static constexpr double log_2_high = 0x1.62e42fefa38p-1;
  static constexpr double log_2_low = 0x1.ef35793c7673p-45;
  static constexpr double exp_infinite = 0x1.63p+9;
  static constexpr double exp_zero = -0x1.758p+9;
  static constexpr double expm1_minus_one = -0x1.38p+5;
  static constexpr std::uint64_t root_half_bits = 0x3fe6a09e667f3bcdu;
  static constexpr double exp[11] = {
      0x1p-1,
      0x1.5555555555557p-3,
      0x1.5555555555556p-5,
      0x1.11111111100bep-7,
      0x1.6c16c16c162c3p-10,
      0x1.a01a01abf7ed6p-13,
      0x1.a01a01a6e1a43p-16,
      0x1.71de01ff19a6bp-19,
      0x1.27e4db47938d1p-22,
      0x1.af4e5274a366cp-26,
      0x1.1f733f411b727p-29,
  };
  static constexpr double log[7] = {
      0x1.5555555555558p-1,
      0x1.9999999995209p-2,
      0x1.2492492e0940dp-2,
      0x1.c71c62c6f64bcp-3,
      0x1.7462bd59fb06dp-3,
      0x1.39fd400fdb1bfp-3,
      0x1.2b663322a9c32p-3,
  };
  static constexpr double tanh[16] = {
      -0x1.5555555555555p-2,
      0x1.11111111110b9p-3,
      -0x1.ba1ba1ba1453ep-5,
      0x1.664f4880d2a47p-6,
      -0x1.226e3519865dfp-7,
      0x1.d6d3c538d0bbep-9,
      -0x1.7da2bdc3daa27p-10,
      0x1.3551ae34bdfffp-11,
      -0x1.f5211730ee038p-13,
      0x1.94981e5bdbe6fp-14,
      -0x1.42090e21d3d28p-15,
      0x1.ea19b73b128d8p-17,
      -0x1.4eb911dcd9788p-18,
      0x1.7238a0a7e22b6p-20,
      -0x1.1ab979c0ab58cp-22,
      0x1.b028f6cb72ebfp-26,
  };
  static constexpr double erf[13] = {
      0x1.06eba8214db69p-3,
      -0x1.812746b0379e6p-2,
      0x1.ce2f21a042b3p-4,
      -0x1.b82ce31284ep-6,
      0x1.565bcd0dbaa38p-8,
      -0x1.c02db3dac435fp-11,
      0x1.f9a321d5b8e1ep-14,
      -0x1.f4d1e3183f7aep-17,
      0x1.b9df224ca4b97p-20,
      -0x1.5f1ecb6f0764cp-23,
      0x1.f7b4bf3b13964p-27,
      -0x1.389d4f2641625p-30,
      0x1.05ffd737fb32ep-34,
  };
  static constexpr double log_erfc[27] = {
      -0x1.d97fbf27aa2a1p+0,
      -0x1.51c9b0006c242p+1,
      -0x1.afabc11a28b13p-1,
      -0x1.5477f09cfa66fp-5,
      0x1.48c9d4194b383p-7,
      -0x1.033f6aec3ac8p-9,
      0x1.f1b519c4ff3a8p-13,
      0x1.b8b514f2f1861p-16,
      -0x1.c744226d30d1fp-16,
      0x1.410c6283e6f88p-17,
      -0x1.0d26aa48e72ffp-19,
      0x1.78bc622d7ab2ap-24,
      0x1.2d84a6e053635p-23,
      -0x1.4d7b3d9a06932p-24,
      0x1.ca06235214803p-26,
      -0x1.dfae1d7eb4d56p-28,
      0x1.90a766e5e11bp-30,
      -0x1.0aceda9cf8f69p-32,
      0x1.120fc8d84d86cp-35,
      -0x1.897dcf417e689p-39,
      0x1.f3805d0ad7bf5p-44,
      0x1.cf7d4444229eep-47,
      -0x1.aaa4bf0d2961p-49,
      0x1.575a677df65f3p-52,
      -0x1.4d0755386b53dp-56,
      0x1.798ebcf80b7e1p-61,
      -0x1.848be07d00c7ep-67,
  };
  static constexpr double sin[6] = {
      -0x1.5555555555555p-3,
      0x1.1111111110ba5p-7,
      -0x1.a01a019e807cdp-13,
      0x1.71de37926b606p-19,
      -0x1.ae6006b8b80f8p-26,
      0x1.5e098ed3c85fep-33,
  };
  static constexpr double cos[6] = {
      0x1.5555555555555p-5,
      -0x1.6c16c16c1696p-10,
      0x1.a01a019f4d18ap-16,
      -0x1.27e4fa15ca346p-22,
      0x1.1eeb66c3b8406p-29,
      -0x1.907c17e2f080fp-37,
  };
};

// pi / 2 as a sum.
inline constexpr double half_pi[3] = {
    0x1.921fb54442d18p+0,
    0x1.1a62633145c07p-54,
    -0x1.f1976b7ed8fbcp-110,
};

inline constexpr double two_over_pi_rounded = 0x1.45f306dc9c883p-1;

// 2 / pi = sum_j two_over_pi[j] 2^(-64 j): enough for the largest double.
inline constexpr std::uint64_t two_over_pi[20] = {
    0x0000000000000000u,
    0xa2f9836e4e441529u,
    0xfc2757d1f534ddc0u,
    0xdb6295993c439041u,
    0xfe5163abdebbc561u,
    0xb7246e3a424dd2e0u,
    0x06492eea09d1921cu,
    0xfe1deb1cb129a73eu,
    0xe88235f52ebb4484u,
    0xe99c7026b45f7e41u,
    0x3991d639835339f4u,
    0x9c845f8bbdf9283bu,
    0x1ff897ffde05980fu,
    0xef2f118b5a0a6d1fu,
    0x6d367ecf27cb09b7u,
    0x4f463f669e5fea2du,
    0x7527bac7ebe5f17bu,
    0x3d0739f78a5292eau,
    0x6bfb5fb11f8d5d08u,
    0x56033046fc7b6babu,
};

}  // namespace minimeta::functions

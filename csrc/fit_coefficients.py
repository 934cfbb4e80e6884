"""Fit the constants of the elementary functions: prints ``coefficients.hpp``, and with ``--errors`` what they reach.

    python csrc/fit_coefficients.py > csrc/coefficients.hpp

Each function is brought to a small interval (see transcendental.hpp and trigonometric.hpp) and written there as exact
leading terms plus ``remainder``, a smooth function of ``t`` that a polynomial approximates. The polynomial is
Chebyshev's, fitted in 60 digits: within a small factor of the minimax one, whose error a further term would beat
anyway. Its coefficients are rounded to the type. They multiply what is small against the leading terms, so that costs
little (most for tanh in float, a quarter ulp), and the printed errors include it.

Errors are in units in the last place (ulp) of the function's value, by exact arithmetic on the rounded coefficients:
what is left for a kernel to lose is its own rounding. Needs mpmath.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mpmath import mp, mpf

mp.dps = 60

Number = Any  # mpmath has no types

DIGITS = {"float": 24, "double": 53}
WORD = {"float": 32, "double": 64}
MAX_EXPONENT = {"float": 128, "double": 1024}


def rounded(value: Number, digits: int) -> Number:
    """The nearest number with a significand of so many bits."""
    with mp.workprec(digits):
        return +value


def truncated(value: Number, digits: int) -> Number:
    """The first bits of a positive number."""
    shift = digits - int(mp.floor(mp.log(value, 2))) - 1
    return mp.ldexp(mp.floor(mp.ldexp(value, shift)), -shift)


@dataclass(frozen=True)
class Fit:
    """``value(x) = leading(x) + factor(x) * remainder(t)`` with ``t = argument(x)``, for x up to the ends."""

    name: str
    doc: str
    remainder: Callable[[Number], Number]
    ends: tuple[Number, Number]  # of t
    terms: dict[str, int]
    point: Callable[[Number], Number]  # an x whose argument is t
    value: Callable[[Number], Number]
    factor: Callable[[Number], Number]
    wide: bool = False  # float's own polynomial is evaluated in double

    def coefficients(self, kind: str) -> list[Number]:
        """The polynomial's, lowest power first, rounded to the type that evaluates it."""
        digits = DIGITS["double" if self.wide else kind]
        fitted = mp.chebyfit(self.remainder, self.ends, self.terms[kind])
        return [rounded(c, digits) for c in reversed(fitted)]

    def error(self, kind: str) -> Number:
        """The largest error in ulp of the value, at 1000 points of the interval."""
        coefficients = self.coefficients(kind)[::-1]
        worst = mpf(0)
        for i in range(1, 1001):
            t = self.ends[0] + (self.ends[1] - self.ends[0]) * i / 1001
            x = self.point(t)
            ulp = mp.ldexp(1, int(mp.floor(mp.log(abs(self.value(x)), 2))) + 1 - DIGITS[kind])
            difference = self.factor(x) * (mp.polyval(coefficients, t) - self.remainder(t))
            worst = max(worst, abs(difference) / ulp)
        return worst


def log_point(t: Number) -> Number:
    """The f with (f / (2 + f))^2 = t."""
    s = mp.sqrt(t)
    return 2 * s / (1 - s)


HALF_LOG2 = mp.log(2) / 2 * (1 + mpf(2) ** -10)
LARGEST_S = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) * (1 + mpf(2) ** -10)
EIGHTH_TURN = mp.pi / 4 * (1 + mpf(2) ** -10)

FITS = [
    Fit(
        "exp",
        "(e^t - 1 - t) / t^2 for |t| <= log(2) / 2",
        lambda t: mp.hyp1f1(1, 3, t) / 2,  # the same, and defined at 0
        (-HALF_LOG2, HALF_LOG2),
        {"float": 6, "double": 11},
        lambda t: t,
        mp.exp,
        lambda x: x**2,
    ),
    Fit(
        "log",
        "(2 atanh(s) - 2 s) / s^3, t = s^2, for s = f / (2 + f) and 1 + f between sqrt(1/2) and sqrt(2)",
        lambda t: 2 * (mp.atanh(mp.sqrt(t)) - mp.sqrt(t)) / mp.sqrt(t) ** 3,
        (mpf(0), LARGEST_S**2),
        {"float": 3, "double": 7},
        log_point,
        mp.log1p,
        lambda x: (x / (2 + x)) ** 3,
    ),
    Fit(
        "tanh",
        "(tanh(x) - x) / x^3, t = x^2, for |x| <= 1",
        lambda t: (mp.tanh(mp.sqrt(t)) - mp.sqrt(t)) / mp.sqrt(t) ** 3,
        (mpf(0), mpf(1)),
        {"float": 7, "double": 16},
        mp.sqrt,
        mp.tanh,
        lambda x: x**3,
    ),
    Fit(
        "erf",
        "(erf(x) - x) / x, t = x^2, for |x| <= 1",
        lambda t: mp.erf(mp.sqrt(t)) / mp.sqrt(t) - 1,
        (mpf(2) ** -80, mpf(1)),
        {"float": 7, "double": 13},
        mp.sqrt,
        mp.erf,
        lambda x: x,
    ),
    Fit(
        "log_erfc",
        "log(1 - erf(1 + t)), whose error counts as that of erf, for 0 <= t <= 5",
        lambda t: mp.log(mp.erfc(1 + t)),
        (mpf(0), mpf(5)),
        {"float": 10, "double": 27},
        lambda t: 1 + t,
        mp.erf,
        mp.erfc,
    ),
    Fit(
        "sin",
        "(sin(x) - x) / x^3, t = x^2, for |x| <= pi / 4",
        lambda t: (mp.sin(mp.sqrt(t)) - mp.sqrt(t)) / mp.sqrt(t) ** 3,
        (mpf(0), EIGHTH_TURN**2),
        {"float": 3, "double": 6},
        mp.sqrt,
        mp.sin,
        lambda x: x**3,
        wide=True,
    ),
    Fit(
        "cos",
        "(cos(x) - 1 + x^2 / 2) / x^4, t = x^2, for |x| <= pi / 4",
        lambda t: (mp.cos(mp.sqrt(t)) - 1 + t / 2) / t**2,
        (mpf(0), EIGHTH_TURN**2),
        {"float": 3, "double": 6},
        mp.sqrt,
        mp.cos,
        lambda x: x**4,
        wide=True,
    ),
]


def literal(value: Number, kind: str) -> str:
    """A hexadecimal literal: the very bits."""
    return re.sub(r"\.?0*p", "p", float(value).hex()) + ("f" if kind == "float" else "")


def bits(value: Number, kind: str) -> str:
    """The number as a positive floating-point number is stored: exponent, then fraction."""
    digits = DIGITS[kind]
    exponent = int(mp.floor(mp.log(value, 2)))
    fraction = int(mp.ldexp(rounded(value, digits), digits - 1 - exponent)) - (1 << (digits - 1))
    return f"0x{(exponent + MAX_EXPONENT[kind] - 1 << digits - 1) + fraction:x}u"


def array(kind: str, name: str, values: list[Number]) -> list[str]:
    """The lines of an array."""
    rows = [f"      {literal(value, kind)}," for value in values]
    return [f"  static constexpr {kind} {name}[{len(values)}] = {{", *rows, "  };"]


def constants(kind: str) -> list[str]:
    """What does not depend on a fit: log 2 as a sum whose first part may be multiplied by any exponent exactly."""
    digits = DIGITS[kind]
    exponent_bits = MAX_EXPONENT[kind].bit_length()
    high = truncated(mp.log(2), digits - exponent_bits)
    largest = mp.ldexp(1 - mpf(2) ** -digits, MAX_EXPONENT[kind])
    smallest = mp.ldexp(1, 3 - MAX_EXPONENT[kind] - digits)
    values = {
        "log2_e": 1 / mp.log(2),
        "log_2_high": high,
        "log_2_low": mp.log(2) - high,
        "exp_infinite": mp.ceil(mp.log(largest)),
        "exp_zero": mp.floor(mp.log(smallest / 2)) - 1,
        "expm1_minus_one": mp.floor(mp.log(mpf(2) ** -(digits + 1))) - 1,
    }
    lines = [f"  static constexpr {kind} {name} = {literal(rounded(v, digits), kind)};" for name, v in values.items()]
    return [*lines, f"  static constexpr std::uint{WORD[kind]}_t root_half_bits = {bits(mp.sqrt(mpf(1) / 2), kind)};"]


def turn() -> list[str]:
    """pi / 2 in three parts of 53 bits, and the bits of 2 / pi after a word of zeros."""
    parts = []
    rest = mp.pi / 2
    for _ in range(3):
        parts.append(rounded(rest, 53))
        rest -= parts[-1]
    words = 20
    with mp.workprec(64 * words + 64):
        fraction = int(mp.floor(mp.ldexp(2 / mp.pi, 64 * (words - 1))))
    split = [fraction >> (64 * (words - 1 - i)) & (2**64 - 1) for i in range(words)]
    return [
        "// pi / 2 as a sum.",
        f"inline constexpr double half_pi[{len(parts)}] = {{",
        *(f"    {literal(part, 'double')}," for part in parts),
        "};",
        "",
        f"inline constexpr double two_over_pi_rounded = {literal(rounded(2 / mp.pi, 53), 'double')};",
        "",
        "// 2 / pi = sum_j two_over_pi[j] 2^(-64 j): enough for the largest double.",
        f"inline constexpr std::uint64_t two_over_pi[{words}] = {{",
        *(f"    0x{word:016x}u," for word in split),
        "};",
    ]


def header() -> str:
    """The text of coefficients.hpp."""
    lines = [
        "// The constants of the elementary functions. Written by fit_coefficients.py, which says how; do not edit.",
        "//",
        *(f"//   {fit.name:8} {fit.doc}" for fit in FITS),
        "#pragma once",
        "",
        "#include <cstdint>",
        "",
        "namespace minimeta::functions {",
        "",
        "template <class T> struct Coefficients;",
    ]
    for kind in DIGITS:
        lines += ["", f"template <> struct Coefficients<{kind}> {{", *constants(kind)]
        for fit in FITS:
            lines += array("double" if fit.wide else kind, fit.name, fit.coefficients(kind))
        lines += ["};"]
    return "\n".join([*lines, "", *turn(), "", "}  // namespace minimeta::functions", ""])


def main() -> None:
    """Print the header, or the errors."""
    if sys.argv[1:] == ["--errors"]:
        for fit in FITS:
            print(f"{fit.name:8}", "  ".join(f"{kind} {mp.nstr(fit.error(kind), 3)} ulp" for kind in DIGITS))
    else:
        print(header(), end="")


if __name__ == "__main__":
    main()

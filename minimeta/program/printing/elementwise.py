"""The table of elementwise operations: what each is in C, and in JavaScript.

A row holds an expression of the operands ``{x}``, ``{y}``, ``{z}``. The two languages share their
operators, so most rows have one text for both:

    {x}           an element of an operand: a name, or an array at an index
    $exp(...)     a function of C's <math.h> (``expf`` of floats), and of JavaScript's ``Math``
    $T            in C a conversion to the operands' type, which keeps a constant from widening a float

The expressions are those of the primitives' references, in whatever order of evaluation. Rows of
``f`` are for floats, of ``i`` for integers, of ``b`` for truth values. Sums and products of
integers wrap around, as numpy's do; in C, that is defined for unsigned numbers alone.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """An expression in C and in JavaScript; one text may be both."""

    c: str
    javascript: str = ""

    def text(self, language: str) -> str:
        """Return the expression in a language, ``c`` or ``javascript``."""
        return self.c if language == "c" else self.javascript or self.c


def _all(**rows: str) -> dict[str, Row]:
    return {name: Row(text) for name, text in rows.items()}


_LARGER = "({x} >= {y} || {x} != {x} ? {x} : {y})"
_DECAY = "$exp(-$fabs({x}))"
_SLOPE = f"({_DECAY} / ((1 + {_DECAY}) * (1 + {_DECAY})))"
_SLOPE_OF_TWICE = _SLOPE.replace("{x}", "2 * {x}")

#: Comparisons and choices, which are the same for every kind of operand.
_CHOICES = _all(
    equal="{x} == {y}",
    not_equal="{x} != {y}",
    greater="{x} > {y}",
    greater_equal="{x} >= {y}",
    less="{x} < {y}",
    less_equal="{x} <= {y}",
    maximum="{x} >= {y} || {x} != {x} ? {x} : {y}",
    minimum="{x} <= {y} || {x} != {x} ? {x} : {y}",
    clip=f"{_LARGER} <= {{z}} || {_LARGER} != {_LARGER} ? {_LARGER} : {{z}}",
    where="{x} ? {y} : {z}",
)

_FUNCTIONS = "sqrt exp expm1 log log1p log2 log10 cbrt sin cos tan sinh cosh tanh"

_FLOATS = _all(
    **{name: f"${name}({{x}})" for name in _FUNCTIONS.split()},
    **{f"arc{name}": f"$a{name}({{x}})" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    add="{x} + {y}",
    subtract="{x} - {y}",
    multiply="{x} * {y}",
    divide="{x} / {y}",
    negative="-{x}",
    reciprocal="1 / {x}",
    square="{x} * {x}",
    absolute="$fabs({x})",
    sign="{x} != {x} ? {x} : {x} > 0 ? 1 : {x} < 0 ? -1 : 0",
    relu="{x} > 0 || {x} != {x} ? {x} : 0",
    relu_slope="{x} > 0 ? {y} : 0",
    floor="$floor({x})",
    ceil="$ceil({x})",
    trunc="$trunc({x})",
    arctan2="$atan2({x}, {y})",
    hypot="$hypot({x}, {y})",
    tanh_slope=f"{{y}} * (4 * {_SLOPE_OF_TWICE})",
    sigmoid="{x} >= 0 ? 1 / (1 + $exp(-{x})) : $exp({x}) / (1 + $exp({x}))",
    sigmoid_slope=f"{{y}} * {_SLOPE}",
    softplus=f"({{x}} > 0 ? {{x}} : 0) + $log1p({_DECAY})",
    logaddexp="{x} == {y} ? {x} + $T0.69314718055994531 : {x} > {y} ? {x} + $log1p($exp({y} - {x})) : "
    "{x} < {y} ? {y} + $log1p($exp({x} - {y})) : {x} - {y}",
) | {
    "exp2": Row("$exp2({x})", "Math.pow(2, {x})"),
    "logaddexp2": Row(
        "{x} == {y} ? {x} + 1 : {x} > {y} ? {x} + $log2(1 + $exp2({y} - {x})) : "
        "{x} < {y} ? {y} + $log2(1 + $exp2({x} - {y})) : {x} - {y}",
        "{x} == {y} ? {x} + 1 : {x} > {y} ? {x} + Math.log1p(Math.pow(2, {y} - {x})) / Math.LN2 : "
        "{x} < {y} ? {y} + Math.log1p(Math.pow(2, {x} - {y})) / Math.LN2 : {x} - {y}",
    ),
    # In JavaScript of two whole numbers that are as near the even one: twice the nearest of half of it.
    "rint": Row("$rint({x})", "Math.abs({x} % 1) == 0.5 ? 2 * Math.round({x} / 2) : Math.round({x})"),
    "fmod": Row("$fmod({x}, {y})", "{x} % {y}"),
    "power": Row("$pow({x}, {y})", "{x} == 1 || {x} * {x} == 1 && 1 / {y} == 0 ? 1 : Math.pow({x}, {y})"),
    "remainder": Row(
        "$fmod({x}, {y}) != 0 && ($fmod({x}, {y}) < 0) != ({y} < 0) ? $fmod({x}, {y}) + {y} : $fmod({x}, {y})",
        "{x} % {y} != 0 && ({x} % {y} < 0) != ({y} < 0) ? {x} % {y} + {y} : {x} % {y}",
    ),
    # The quotient without its remainder is a whole number up to rounding.
    "floor_divide": Row(
        "{y} == 0 ? {x} / {y} : $floor(($rint(({x} - $fmod({x}, {y})) / {y})) - "
        "($fmod({x}, {y}) != 0 && ($fmod({x}, {y}) < 0) != ({y} < 0) ? 1 : 0))",
        "{y} == 0 ? {x} / {y} : Math.round(({x} - {x} % {y}) / {y}) - "
        "({x} % {y} != 0 && ({x} % {y} < 0) != ({y} < 0) ? 1 : 0)",
    ),
    "ldexp": Row(
        "$ldexp({y}, (int){x})", "{y} * Math.pow(2, Math.trunc({x} / 2)) * Math.pow(2, {x} - Math.trunc({x} / 2))"
    ),
}

_INTEGERS = {
    "add": Row("$T((uint64_t){x} + (uint64_t){y})", "{x} + {y}"),
    "subtract": Row("$T((uint64_t){x} - (uint64_t){y})", "{x} - {y}"),
    "multiply": Row("$T((uint64_t){x} * (uint64_t){y})", "$times({x}, {y})"),
    "negative": Row("$T(0 - (uint64_t){x})", "0 - {x}"),
    "square": Row("$T((uint64_t){x} * (uint64_t){x})", "$times({x}, {x})"),
    "absolute": Row("{x} < 0 ? $T(0 - (uint64_t){x}) : {x}", "Math.abs({x})"),
    "sign": Row("({x} > 0) - ({x} < 0)"),
    "maximum": Row("{x} >= {y} ? {x} : {y}"),
    "minimum": Row("{x} <= {y} ? {x} : {y}"),
    "clip": Row("({x} >= {y} ? {x} : {y}) <= {z} ? ({x} >= {y} ? {x} : {y}) : {z}"),
    "bitwise_and": Row("{x} & {y}", "Number(BigInt({x}) & BigInt({y}))"),
    "bitwise_or": Row("{x} | {y}", "Number(BigInt({x}) | BigInt({y}))"),
    "bitwise_xor": Row("{x} ^ {y}", "Number(BigInt({x}) ^ BigInt({y}))"),
}

_TRUTHS = _all(
    add="{x} || {y}",
    multiply="{x} && {y}",
    maximum="{x} || {y}",
    minimum="{x} && {y}",
    logical_and="{x} && {y}",
    logical_or="{x} || {y}",
    logical_not="!{x}",
)

#: By the kind of the operands (of the last, where they differ): the rows by name.
ROWS: dict[str, dict[str, Row]] = {
    "f": _CHOICES | _FLOATS,
    "i": _CHOICES | _INTEGERS,
    "u": _CHOICES | _INTEGERS | _all(absolute="{x}", sign="{x} > 0"),
    "b": _CHOICES | _TRUTHS,
}

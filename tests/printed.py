"""Read a printed program: the values it defines and the values it uses."""

import re
from collections.abc import Iterator
from typing import NamedTuple

NUMBER = r"%\d+(?::\d+)*(?:\.\d+)?"


class Printed(NamedTuple):
    """One row: the value that it defines, the operation, what it is computed of, and the heading above it."""

    name: str
    operation: str
    uses: list[str]
    heading: str


def arguments_of(text: str) -> list[str]:
    """The names of the arguments."""
    head = text[: text.index("):\n")]
    return re.findall(r"([\w/%]+): (?:float|int|bool|uint)\d*\[", head)


def rows_of(text: str) -> Iterator[Printed]:
    """What the rows below the arguments say, the constants included."""
    heading = ""
    for row in text[text.index("):\n") + 3 :].splitlines():
        row = row.strip()  # noqa: PLW2901
        if row.startswith("# "):
            heading = row[2:]
        elif match := re.fullmatch(rf"({NUMBER}) = (stack|sum) of (.+) over \w: .*", row):
            yield Printed(match[1], match[2], [match[3]], heading)
        elif match := re.fullmatch(rf"({NUMBER}) = (\w+)(?:, for each \w of \d+)?:", row):
            yield Printed("", match[2], [], heading)
        elif heading == "constants" and (
            match := re.fullmatch(rf"({NUMBER}) = (?:constant|\[.*\]): \w+\[[\d, ]*\]", row)
        ):
            yield Printed(match[1], "constant", [], heading)
        elif match := re.fullmatch(rf"({NUMBER}) = (\w+)\((.*)\): \w+\[[\d, ]*\]", row):
            yield Printed(match[1], match[2], operands_of(match[3]), heading)
        elif not re.fullmatch(r"return.*|[\w/%]+: .*|: .*", row):
            raise AssertionError(f"not a row: {row!r}")


def operands_of(text: str) -> list[str]:
    """What is between the parentheses and is no parameter and no number."""
    parts, depth, part = [], 0, ""
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += character
    parts.append(part.strip())
    number = r"-?(?:\d+\.?\d*(?:e[+-]?\d+)?|nan|inf)|True|False"
    flag = "transpose_[xy]|keepdims|reverse|inverse|lower|upper"  # A parameter that is true is its name alone.
    typed = rf"\w+\[[\d, ]*\]\((?:{number})\)"
    return [x for x in parts if x and not re.fullmatch(rf"{number}|{typed}|\w+=.*|{flag}", x)]


def returned(text: str) -> list[str]:
    """The names of what is returned."""
    one = re.search(r"\n  return (\S+)$", text)
    if one:
        return [one[1]]
    return [row.rpartition(": ")[2] for row in text[text.rindex("\n  return\n") + 10 :].splitlines()]

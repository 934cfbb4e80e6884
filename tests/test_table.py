"""What the table of speed says of times that were measured: ratios, ranks and limits."""

from pathlib import Path

import numpy as np
import pytest
import table
from contest import Found, difference
from rows import ROWS


@pytest.fixture
def machine() -> table.Machine:
    """A machine of round numbers, as none was measured."""
    machine = object.__new__(table.Machine)
    machine.operations, machine.bandwidth = {"float32": 1e12, "float64": 5e11}, 1e10
    return machine


def found(name: str, *times: float, difference: float = 0.0) -> Found:
    return Found(name, times=list(times), memory=10**8, difference=difference)


def test_a_ratio_is_to_the_best_of_those_that_agree(machine: table.Machine) -> None:
    wrong, early, steady = found("fast", 1e-3, difference=0.1), found("early", 4e-3, 9e-3, 9e-3), found("steady", 6e-3)
    said = table.cells(ROWS["W1"], [found("minimeta", 2e-3, 3e-3, 6e-3), wrong, early, steady], machine)
    assert (said["best peer"], said["ratio"], said["medians"]) == ("early", "0.50", "0.50")
    assert "not ranked" in table.details([wrong])


def test_an_older_build_is_no_peer(machine: table.Machine) -> None:
    said = table.cells(ROWS["import"], [found("minimeta", 0.3), found("before", 0.2), found("jax", 0.6)], machine)
    assert (said["ratio"], said["goal"]) == ("0.50", "1.00 of before: 1.50")


def test_the_limit_is_what_takes_longer(machine: table.Machine) -> None:
    product = table.cells(ROWS["product-2048-float64"], [found("minimeta", 0.1)], machine)
    assert product["limit"] == "34.4 ms (arithmetic)"  # 2 x 2048^3 operations
    assert product["of it"] == "34 %"
    rows = table.cells(ROWS["sum-axis-0"], [found("minimeta", 8e-3)], machine)
    assert (rows["limit"], rows["of it"]) == ("4 ms (memory)", "50 %")  # 40 MB
    assert "limit" not in table.cells(ROWS["sort"], [found("minimeta", 1.0)], machine)


def test_a_goal_of_memory_and_one_of_processor_seconds_are_said(machine: table.Machine) -> None:
    assert table.cells(ROWS["W3"], [found("minimeta", 0.3)], machine)["MB"] == "100 (goal 400)"
    assert table.cells(ROWS["build"], [found("minimeta", 90.0)], machine)["goal"] == "120 s"
    assert table.cells(ROWS["W3"], [found("jax", 1.0)], machine) == {}


def test_a_page_keeps_what_is_around_the_table(machine: table.Machine, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Above.\n<!-- benchmarks/table.py -->\nold\n<!-- its end -->\nBelow.")
    said = {"machine": "a machine", "sort": {"cells": table.cells(ROWS["sort"], [found("minimeta", 1.5)], machine)}}
    for _ in range(2):
        table.put(table.whole(said), page)
    above, _, machine_said, empty, heads, _, row, _, below = page.read_text().splitlines()
    assert (above, machine_said, empty, below) == ("Above.", "a machine", "", "Below.")
    assert heads.count("|") == row.count("|") and "1.5 s" in row


def test_results_differ_by_the_worst_array() -> None:
    one, other = np.array([3.0, 4.0]), np.array([3.0, 4.5])
    assert difference([one, other], [one, one]) == pytest.approx(0.1)
    assert difference([np.array([np.nan])], [np.ones(1)]) == np.inf
    assert difference([], []) == 0
    assert difference([np.zeros(2)], [np.zeros(2)]) == 0
    assert difference([one], [np.zeros(2)]) == np.inf

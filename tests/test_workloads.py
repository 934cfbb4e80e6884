"""The benchmarks' workloads: minimeta's own models, tasks that can be compared, and operations counted twice."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from by_hand import ByHand
from minimeta_steps import MinimetaStep, batch_of, learner_of, model_of
from numpy.testing import assert_allclose, assert_array_equal
from workloads import WORKLOADS, Convolutions, Workload, draw, leaves, named, probe, with_leaves

import minimeta as mm
from minimeta.autodiff.steps import Step, by_reference
from minimeta.program import PASSES, optimise, trace
from minimeta.program.passes import GROUPING

each_workload = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
each_maml = pytest.mark.parametrize(
    "name", [name for name, w in WORKLOADS.items() if w.learner == "maml" and w.by == "learner"]
)


def small(workload: Workload) -> Workload:
    """Shrink a workload to one task, and images to a few filters on small ones."""
    model: Any = workload.model
    if isinstance(model, Convolutions):
        side = 16 if model.input_shape[2] == 1 else 36
        model = replace(model, input_shape=(side, side, model.input_shape[2]), filters=3)
        return replace(workload, model=model, meta_batch=1, query=5)
    return replace(workload, meta_batch=1)


@each_workload
def test_parameters_are_those_of_the_model(workload: Workload) -> None:
    drawn, _ = draw(workload)
    network = drawn["initial"] if workload.learner == "lstm" else drawn
    found, structure = mm.tree.flatten(network)
    expected = mm.tree.leaves_like(structure, model_of(workload).init(np.random.default_rng(0)))
    assert [(leaf.shape, leaf.dtype) for leaf in found] == [(leaf.shape, leaf.dtype) for leaf in expected]
    assert {leaf.dtype for leaf in leaves(drawn)} == {np.dtype(np.float32)}


@each_workload
def test_tasks_have_the_sizes_that_are_stated(workload: Workload) -> None:
    _, tasks = draw(workload)
    for inputs, targets, examples in (
        (tasks.support_inputs, tasks.support_targets, workload.support),
        (tasks.query_inputs, tasks.query_targets, workload.query),
    ):
        assert inputs.shape == (workload.meta_batch, examples, *workload.model.input_shape)
        assert inputs.dtype == np.float32
        if workload.classifies:
            counts = [np.bincount(labels, minlength=workload.model.outputs) for labels in targets]
            assert np.ptp(counts) <= (examples % workload.model.outputs > 0)
        else:
            assert targets.shape == inputs.shape and targets.dtype == np.float32


def test_draws_and_probes_follow_from_their_number() -> None:
    workload = WORKLOADS["W1"]
    for one, other in ((draw(workload, 3), draw(workload, 3)), (probe(workload, 0), draw(workload, 0))):
        for a, b in zip(leaves(one), leaves(other), strict=True):
            assert_array_equal(a, b)
    parameters, tasks = probe(workload, 27)
    expected, whole = draw(workload, 27)
    assert_array_equal(parameters[0]["weight"], expected[0]["weight"])
    for array, full in zip(tasks, whole, strict=True):
        assert_array_equal(array[2], full[2])
        assert np.count_nonzero(array) == np.count_nonzero(full[2]) > 0


def test_leaves_and_back() -> None:
    tree = ({"b": 1, "a": (2, 3)}, 4)
    assert leaves(tree) == [2, 3, 1, 4]
    assert with_leaves(tree, "wxyz") == ({"a": ("w", "x"), "b": "y"}, "z")


def test_operations_counted_by_hand() -> None:
    # 1-40-40-1 on 10 + 10 points: products of 40, 1600 and 40 multiply-adds a point.
    outputs, weights, inputs = 40 + 1600 + 40, 40 + 1600 + 40, 1600 + 40
    first_order = outputs + weights + inputs
    # Each of these products is differentiated in both factors, except for the points, which are not variables.
    second_order = (40 + 2 * 1600 + 2 * 40) + (40 + 2 * 1600 + 2 * 40) + (2 * 1600 + 2 * 40)
    assert WORKLOADS["W1"].operations() == 2 * 25 * (10 * (first_order + second_order) + 10 * first_order)
    assert WORKLOADS["W1b"].operations() == 2 * 25 * (50 * (first_order + second_order) + 10 * first_order)
    assert WORKLOADS["W1c"].operations() == 2 * 25 * 20 * first_order
    wide = 64 * 64 + 64
    assert WORKLOADS["W1d"].operations() == 2 * 320 * (3 * wide + 2 * 64)
    # Four strided convolutions with 3 x 3 weights leave 14, 7, 4 and 2 pixels a side; then 64 features, 5 classes. An
    # even side has one pixel of zeros at its end, and 7 has one at each: of 42, 21, 12 and 6 pixels, 41, 20, 10 and 5.
    first, rest = 41**2 * 64, (20**2 + 10**2 + 5**2) * 64 * 64 + 64 * 5
    assert WORKLOADS["W2d"].operations() == 2 * 32 * 10 * (3 * rest + 2 * first)
    # One LSTM cell: 4 inputs and 20 hidden units to 4 gates of 20, then 22 inputs to 2 gates. The 4 are constants.
    cell = 2 * (4 + 20) * 80 + 20 * 80 + 3 * 2 * 22
    learner = 20 * first_order + 70 * first_order
    assert WORKLOADS["W4"].operations() == 2 * (learner + 8 * (40 + 40 + 1600 + 40 + 40 + 1) * cell)
    # Plain training is the gradient of one batch.
    assert WORKLOADS["mlp"].operations() == 2 * 128 * (3 * (256 * 128 + 128 * 10) + 2 * 784 * 256)


@each_maml
def test_operations_are_the_multiply_adds_of_the_traced_meta_gradient(name: str) -> None:
    workload = small(WORKLOADS[name])
    parameters, tasks = draw(workload)
    task = batch_of(workload, tasks)[0]
    traced = trace(learner_of(workload).meta_gradient, parameters, task)
    program = optimise(traced, [name for name in PASSES if name not in GROUPING])
    multiply_adds = 0

    def count(step: Step, *operands: Any) -> tuple[Any, ...]:
        nonlocal multiply_adds
        if step.primitive.name == "matmul" or step.primitive.name.startswith("conv2d"):
            (ones,) = by_reference(step, *map(np.ones_like, operands))
            multiply_adds += int(ones.sum(dtype=np.float64))
        return by_reference(step, *operands)

    program.run(count, parameters, task)
    assert 2 * multiply_adds == workload.operations()


@pytest.mark.parametrize("name", ["W1", "W2d"])
def test_our_contender_computes_the_mean_over_tasks_and_moves(name: str) -> None:
    workload = replace(small(WORKLOADS[name]), meta_batch=3)
    parameters, tasks = draw(workload)
    contender = MinimetaStep(workload, parameters, tasks)
    loss, gradient = contender.meta_gradient(parameters, tasks)
    alone = [learner_of(workload).meta_gradient(parameters, batch_of(workload, tasks)[task]) for task in range(3)]
    assert_allclose(loss, np.mean([result.loss for result in alone]), rtol=1e-6)
    for found, *parts in zip(*(leaves(tree) for tree in (gradient, *(r.gradient for r in alone))), strict=True):
        assert_allclose(found, np.mean(parts, 0), rtol=1e-4, atol=1e-6)
    contender.step()
    moved = contender.parameters
    contender.step()
    for before, once, twice in zip(*map(leaves, (parameters, moved, contender.parameters)), strict=True):
        # The first step of Adam is of the learning rate's size wherever there is a gradient.
        assert_allclose(np.max(np.abs(once - before)), 1e-3, rtol=1e-2)
        assert not np.array_equal(once, twice)


def test_the_lstm_by_hand_has_the_gradient_of_the_learner() -> None:
    workload = WORKLOADS["W4-hand"]
    parameters, tasks = draw(workload)
    loss, gradient = ByHand(workload, parameters, tasks).meta_gradient(parameters, tasks)
    expected_loss, expected = MinimetaStep(workload, parameters, tasks).meta_gradient(parameters, tasks)
    assert_allclose(loss, expected_loss, rtol=1e-5)
    for found, other in zip(leaves(gradient), leaves(expected), strict=True):
        assert np.linalg.norm(found - other) < 1e-4 * np.linalg.norm(other)


def test_workloads_of_other_sizes() -> None:
    larger = named("W2 meta_batch=2 filters=128 side=56")
    assert (larger.meta_batch, larger.query) == (2, WORKLOADS["W2"].query)
    assert larger.model.input_shape == (56, 56, 1)
    assert [layer.weight for layer in larger.model.layers()] == [(3, 3, 1, 128), *[(3, 3, 128, 128)] * 3, (128, 5)]
    assert named("W1 inner_steps=5").operations() == WORKLOADS["W1b"].operations()

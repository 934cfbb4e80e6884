import numpy as np
import pytest

from minimeta.autodiff import tree
from minimeta.tasks import Examples, FewShot, Sinusoid, Task, unstack


def test_a_batch_is_its_tasks_in_order() -> None:
    inputs, targets = np.arange(24.0).reshape(2, 3, 4), np.arange(6).reshape(2, 3)
    batch = Task(Examples(inputs, targets), Examples(inputs + 100, targets + 100))

    tasks = list(unstack(batch))

    assert len(tasks) == 2
    for index, task in enumerate(tasks):
        np.testing.assert_array_equal(task.support.inputs, np.arange(12.0).reshape(3, 4) + 12 * index)
        np.testing.assert_array_equal(task.support.targets, np.arange(3) + 3 * index)
        np.testing.assert_array_equal(task.query.inputs, task.support.inputs + 100)
        np.testing.assert_array_equal(task.query.targets, task.support.targets + 100)


def test_a_task_is_a_tree_of_four_arrays() -> None:
    task = Sinusoid().sample(np.random.default_rng(0), 3)

    assert tree.paths(task) == ["support/inputs", "support/targets", "query/inputs", "query/targets"]


def test_noise_is_a_tree_of_the_task() -> None:
    points = Examples(np.zeros((2, 3, 1)), np.zeros((2, 3, 1)))
    batch = Task(
        points,
        points,
        noise={"kept": np.array([[True, False], [False, False]]), "scale": np.array([1.0, 2.0])},
    )

    tasks = list(unstack(batch))

    assert [task.noise["kept"].tolist() for task in tasks] == [[True, False], [False, False]]
    assert [float(task.noise["scale"]) for task in tasks] == [1.0, 2.0]
    assert tree.paths(batch)[4:] == ["noise/kept", "noise/scale"]
    assert next(unstack(Task(points, points))).noise is None


@pytest.mark.parametrize(
    "tasks",
    [Sinusoid.maml(), FewShot(np.random.default_rng(0).integers(0, 226, (9, 6, 4, 4), np.uint8))],
    ids=["sinusoid", "few-shot"],
)
def test_equal_generators_draw_equal_tasks(tasks: Sinusoid | FewShot) -> None:
    first, second, other = (tasks.sample(np.random.default_rng([7, step]), 4) for step in (3, 3, 4))

    for a, b in zip(tree.flatten(first)[0], tree.flatten(second)[0], strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.shares_memory(a, b)
        assert a.flags.c_contiguous and a.flags.writeable
    assert not np.array_equal(first.query.inputs, other.query.inputs)

import io
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes
from mutations import bounded, mutations
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.errors import CheckpointError
from minimeta.training import TrainingState, checkpoint

FINGERPRINT: Mapping[str, Any] = {"learner": "maml", "rate": 0.01, "hidden": (40, 40), "seed": 3}


class Moments(NamedTuple):
    first: Any
    second: Any


def a_state() -> TrainingState:
    rng = np.random.default_rng(0)
    layers = [{"weight": rng.standard_normal((2, 3)).astype(np.float32), "bias": np.zeros(3)} for _ in range(2)]
    return TrainingState(17, layers, {"step": np.array(17), "moments": Moments(layers, None)})


def assert_equal(first: TrainingState, second: TrainingState) -> None:
    trees = [(state.step, state.meta_parameters, state.optimiser_state) for state in (first, second)]
    (leaves, structure), (other_leaves, other_structure) = (tree.flatten(each) for each in trees)
    assert structure == other_structure
    for leaf, other in zip(leaves, other_leaves, strict=True):
        assert isinstance(other, type(leaf))
        if isinstance(leaf, np.ndarray):
            assert (leaf.dtype, leaf.shape, leaf.tobytes()) == (other.dtype, other.shape, other.tobytes())
        else:
            assert leaf == other


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "checkpoint.npz"
    checkpoint.save(path, a_state(), FINGERPRINT)
    return path


def test_round_trip(saved: Path) -> None:
    assert_equal(a_state(), checkpoint.load(saved, a_state(), FINGERPRINT))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    leaves=st.lists(
        arrays(
            scalar_dtypes().filter(lambda dtype: dtype.kind in "biufc"),
            st.just(()) | array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3),
        ),
        max_size=4,
    ),
    step=st.integers(0, 2**40),
)
def test_round_trip_of_any_arrays(tmp_path: Path, leaves: list[NDArray[Any]], step: int) -> None:
    state = TrainingState(step, tuple(leaves), {"fortran": [leaf.T for leaf in leaves]})

    checkpoint.save(tmp_path / "any.npz", state, {})

    assert_equal(state, checkpoint.load(tmp_path / "any.npz", state, {}))


def test_the_file_is_an_ordinary_npz_named_by_path(saved: Path) -> None:
    with np.load(saved, allow_pickle=False) as file:
        assert set(file.files) == {"header"} | {
            f"{part}{layer}/{leaf}"
            for part in ("meta_parameters/", "optimiser_state/moments/first/")
            for layer in (0, 1)
            for leaf in ("weight", "bias")
        } | {"optimiser_state/step"}
        header = json.loads(str(file["header"]))
        np.testing.assert_array_equal(file["meta_parameters/1/weight"], a_state().meta_parameters[1]["weight"])
    assert header["format"] == 1 and header["step"] == 17
    assert header["fingerprint"] == dict(FINGERPRINT) | {"hidden": [40, 40]}


def test_saving_is_deterministic(saved: Path, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "again.npz", a_state(), FINGERPRINT)

    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    small = TrainingState(17, [np.arange(3.0)], {"step": np.array(17)})
    checkpoint.save(path, small, {"seed": 3})
    content = path.read_bytes()
    assert_equal(small, checkpoint.load(path, small, {"seed": 3}))
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="truncated or damaged"):
            checkpoint.load(path, small, {"seed": 3})


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_refused_or_harmless(saved: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(saved.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "damaged.npz"
    path.write_bytes(content)

    try:
        loaded = checkpoint.load(path, a_state(), FINGERPRINT)
    except CheckpointError as error:
        assert str(path) in str(error)
    else:  # a date in the archive, say
        assert_equal(a_state(), loaded)


def test_files_made_by_nobody_are_refused_or_harmless(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    for content in mutations(saved.read_bytes(), 1000):
        path.write_bytes(content)
        with bounded(1 << 22):
            try:
                loaded = checkpoint.load(path, a_state(), FINGERPRINT)
            except CheckpointError as error:
                assert str(path) in str(error)
            else:
                assert_equal(a_state(), loaded)


def test_records_come_back_and_no_state_depends_on_them(saved: Path, tmp_path: Path) -> None:
    records = {"lines": 3, "hash": "ab", "judged": [[1, 0.1], [2, None]]}
    checkpoint.save(tmp_path / "checkpoint.npz", a_state(), FINGERPRINT, records)

    assert checkpoint.read_header(tmp_path / "checkpoint.npz").records == records
    assert_equal(a_state(), checkpoint.load(tmp_path / "checkpoint.npz", a_state(), FINGERPRINT))
    header = checkpoint.read_header(saved)
    assert (header.step, header.records) == (17, {}) and header.fingerprint["rate"] == 0.01


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(CheckpointError, match=re.escape(f"there is no checkpoint {path}")):
        checkpoint.load(path, a_state(), FINGERPRINT)

    array = io.BytesIO()
    np.save(array, np.zeros(3))
    for content in (b"", b"PK", b"not a checkpoint", array.getvalue()):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is not a checkpoint of minimeta, or is truncated or damaged"):
            checkpoint.load(path, a_state(), FINGERPRINT)
    for header in (
        "[]",
        "{}",
        "nonsense",
        "[" * 100_000,
        '{"format": 1, "step": "1", "fingerprint": {}, "entries": []}',
        '{"format": 1, "step": 1, "fingerprint": 3, "entries": []}',
        '{"format": 1, "step": 1, "fingerprint": {}, "entries": ["absent"]}',
    ):
        np.savez(path, header=np.array(header))
        with pytest.raises(CheckpointError, match="is not a checkpoint of minimeta, or is truncated or damaged"):
            checkpoint.load(path, a_state(), {})


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    header = {"format": 1, "step": 1, "fingerprint": {}, "entries": ["meta_parameters"]}
    np.savez(path, header=np.array(json.dumps(header)), meta_parameters=np.array([{}]))

    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path, TrainingState(0, np.zeros(1), None), {})


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    np.savez(path, header=np.array(json.dumps({"format": 2})))

    with pytest.raises(CheckpointError, match=r"is of format 2, and this version of minimeta reads format 1"):
        checkpoint.load(path, a_state(), FINGERPRINT)


def test_another_run_is_refused_by_the_fields_that_differ(saved: Path) -> None:
    other = {"learner": "maml", "rate": 0.02, "hidden": (40, 40), "ways": 5}

    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(saved, a_state(), other)

    lines = str(caught.value).splitlines()
    assert lines[0] == f"{saved} belongs to another run:"
    assert set(lines[1:]) == {
        "  rate is 0.01 there and 0.02 here",
        "  seed is 3 there and None here",
        "  ways is None there and 5 here",
    }


def test_other_parameters_are_refused(saved: Path) -> None:
    state = a_state()
    fewer = TrainingState(0, state.meta_parameters[:1], state.optimiser_state)
    wider = tree.map(lambda leaf: np.zeros((*leaf.shape, 2)), state.meta_parameters)
    double = tree.map(lambda leaf: leaf.astype(np.float64), state.meta_parameters)

    with pytest.raises(CheckpointError, match=r"adds \['meta_parameters/1/bias', 'meta_parameters/1/weight'\]"):
        checkpoint.load(saved, fewer, FINGERPRINT)
    with pytest.raises(
        CheckpointError, match=r"0/weight is float32 of shape \(2, 3\), .* float64 of shape \(2, 3, 2\)"
    ):
        checkpoint.load(saved, TrainingState(0, wider, state.optimiser_state), FINGERPRINT)
    with pytest.raises(CheckpointError, match=r"0/weight is float32 .* float64"):
        checkpoint.load(saved, TrainingState(0, double, state.optimiser_state), FINGERPRINT)


@pytest.mark.parametrize("leaf", ["text", 3, np.array([{}]), np.array(["text"])], ids=str)
def test_only_numbers_are_saved(tmp_path: Path, leaf: Any) -> None:
    with pytest.raises(CheckpointError, match="meta_parameters/bad cannot be saved"):
        checkpoint.save(tmp_path / "checkpoint.npz", TrainingState(0, {"bad": leaf}, None), {})
    assert list(tmp_path.iterdir()) == []


def test_two_parameters_of_one_path_are_refused(tmp_path: Path) -> None:
    state = TrainingState(0, {"a/b": np.zeros(1), "a": {"b": np.ones(1)}}, None)

    with pytest.raises(CheckpointError, match="same path"):
        checkpoint.save(tmp_path / "checkpoint.npz", state, {})


def test_a_failed_save_keeps_the_old_checkpoint(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    shutil.copy(saved, path)

    with pytest.raises(CheckpointError):
        checkpoint.save(path, TrainingState(18, {"bad": "text"}, None), FINGERPRINT)

    assert_equal(a_state(), checkpoint.load(path, a_state(), FINGERPRINT))

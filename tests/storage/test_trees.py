"""A tree comes back bit for bit, from a file that is whole, or is refused."""

import contextlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mutations import bounded, mutations

import minimeta as mm
from minimeta import nn, optim
from minimeta.errors import ConfigurationError, DataError, MissingDataError

leaves = st.sampled_from(["f4", "f8", "i8", "u1", "?", "c16"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
trees = st.recursive(
    leaves | st.none(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.lists(children, max_size=3).map(tuple)
        | st.dictionaries(st.text("ab/é.", max_size=3) | st.integers(0, 9), children, max_size=3)
    ),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    (found, structure), (expected, of) = mm.tree.flatten(one), mm.tree.flatten(other)
    return structure == of and all(
        (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()) for x, y in zip(found, expected, strict=True)
    )


@given(trees)
def test_any_tree_comes_back(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "tree.npz"
    if len(set(mm.tree.paths(tree))) < len(mm.tree.paths(tree)):
        with pytest.raises(ConfigurationError, match="two leaves have the path"):
            mm.save(path, tree)
        return
    mm.save(path, tree)
    assert same(mm.load(path), tree)
    assert same(mm.load(path, like=tree), tree)


class Pair(NamedTuple):
    weight: Any
    bias: Any


STATE = Pair(np.arange(3.0), {"step": np.array(2), "moments": [np.eye(2, dtype=np.float32), None]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    mm.save(tmp_path / "state.npz", STATE)
    return tmp_path / "state.npz"


def test_a_class_comes_back_by_a_tree_like_it(path: Path) -> None:
    assert mm.load(path)["weight"].tolist() == [0, 1, 2]
    assert same(mm.load(path, like=STATE), STATE)
    with pytest.raises(DataError, match=r"it lacks \['leaves/other'\] and adds"):
        mm.load(path, like={"other": np.zeros(1)})
    with pytest.raises(DataError, match=r"leaves/weight is float64 of shape \(3,\), and not float64 of shape \(2,\)"):
        mm.load(path, like=STATE._replace(weight=np.zeros(2)))


def test_a_file_that_is_cut_short_or_changed_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 17):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match="truncated or damaged"):
            mm.load(path)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 150):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with contextlib.suppress(DataError):
            assert same(mm.load(path, like=STATE), STATE)  # some bytes of a zip say nothing, such as its time


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    found = dict(np.load(path))
    said = json.loads(str(found["tree"]))
    change(said)
    np.savez(path, **{**found, "tree": np.array(json.dumps(said))})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said.update(format=2), "is of format 2, and this version of minimeta reads format 1"),
        (lambda said: said["entries"].pop(), "its arrays are not those that were written"),
        (lambda said: said.update(tree={"set": []}), "is no tree of minimeta"),
        (lambda said: said.update(tree=9), "is no tree of minimeta"),
        (lambda said: said.pop("tree"), "is no tree of minimeta"),
    ],
)
def test_what_was_written_by_another_is_refused(path: Path, change: Any, message: str) -> None:
    rewritten(path, change)
    with pytest.raises(DataError, match=message):
        mm.load(path)


def test_arrays_without_a_tree_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", X=np.zeros(1))
    with pytest.raises(DataError, match=r"x.npz is no tree of minimeta.save, .* it has no array 'tree'"):
        mm.load(tmp_path / "x.npz")


def test_bad_leaves_and_names_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="leaves/a should be an array of numbers, and is 'text'"):
        mm.save(tmp_path / "x.npz", {"a": "text"})
    with pytest.raises(ConfigurationError, match="keys of a dict should be texts or integers"):
        mm.save(tmp_path / "x.npz", {1.5: np.zeros(1)})
    with pytest.raises(ConfigurationError, match=r"should end in .npz or .safetensors"):
        mm.save(tmp_path / "x.pickle", np.zeros(1))
    with pytest.raises(MissingDataError, match="there is no file"):
        mm.load(tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("tree.npy", b"\x93NUMPY")
    with pytest.raises(DataError, match="truncated or damaged"):
        mm.load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "model", [nn.conv4((16, 16, 3), 2, filters=2, scale=True), nn.conv4((16, 16, 1), filters=3), nn.mlp((2, 3, 1))]
)
def test_parameters_go_to_torch_and_back(tmp_path: Path, model: nn.Model) -> None:
    pytest.importorskip("safetensors")
    parameters = model.init(np.random.default_rng(0))
    mm.save(tmp_path / "model.safetensors", parameters)
    assert same(mm.load(tmp_path / "model.safetensors", like=parameters), parameters)
    named = mm.load(tmp_path / "model.safetensors")
    assert set(named) <= {
        f"{n}.{part}" for n in range(5) for part in ("conv.weight", "norm.weight", "norm.bias", "weight", "bias")
    }
    first = parameters[0]["weight"]
    turned = named.get("0.conv.weight", named.get("0.weight"))
    assert turned.shape == first.transpose().shape if first.ndim == 2 else (first.shape[3], first.shape[2], 3, 3)


def test_safetensors_keep_scalars_and_hold_real_numbers_alone(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path, parameters = tmp_path / "model.safetensors", {"half": np.float32(0.5), "count": np.array(2)}
    mm.save(path, parameters)
    assert mm.load(path)["half"].shape == ()
    assert same(mm.load(path, like=parameters), parameters)
    with pytest.raises(ConfigurationError, match=r"leaves/0 should be an array of numbers, and is 'x'"):
        mm.save(path, ["x"])
    with pytest.raises(ConfigurationError, match=r"leaves/0 is complex, and safetensors are not"):
        mm.save(path, [np.ones(2) * 1j])


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_files_made_by_nobody_are_refused_by_name_or_read(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("safetensors")
    path, refused = tmp_path / f"model.{ending}", 0
    mm.save(path, {"weight": np.arange(6.0).reshape(2, 3), "bias": [np.ones(4, np.float32), np.zeros((0, 2))]})
    mm.load(path)
    for content in mutations(path.read_bytes(), 200):
        path.write_bytes(content)
        with bounded(1 << 20):
            try:
                mm.load(path)
            except DataError as error:
                assert path.name in str(error)
                refused += 1
    assert refused > 150


def test_what_does_not_fit_the_model_is_named(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "model.safetensors"
    scaled = nn.conv4((16, 16, 1), filters=2, scale=True).init(np.random.default_rng(0))
    scaled[0]["scale"][0] = 2
    mm.save(path, scaled)
    with pytest.raises(DataError, match=r"no parameter '0.norm.weight'; a model with scale=True has factors"):
        mm.load(path, like=nn.conv4((16, 16, 1), filters=2).init(np.random.default_rng(0)))
    with pytest.raises(DataError, match=r"0.conv.weight has shape \(2, 1, 3, 3\), and the model needs \(4, 1, 3, 3\)"):
        mm.load(path, like=nn.conv4((16, 16, 1), filters=4).init(np.random.default_rng(0)))
    with pytest.raises(DataError, match=r"there is no '0\.weight'; there are 0\.conv"):
        mm.load(path, like=nn.mlp((2, 1)).init(np.random.default_rng(0)))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="truncated or damaged"):
        mm.load(path)


def test_the_state_of_an_optimiser_comes_back(tmp_path: Path) -> None:
    state = optim.adam().init(nn.mlp((2, 3, 1)).init(np.random.default_rng(0)))
    mm.save(tmp_path / "adam.npz", state)
    assert same(mm.load(tmp_path / "adam.npz"), state)

"""Checkpoints: what is saved comes back; what is damaged is told, and never executed."""

from __future__ import annotations

import json
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmft_core.engine import checkpoint
from mmft_core.errors import CheckpointError, StorageError

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    values = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    return (values * 10).to(draw(st.sampled_from(DTYPES)))


KEYS = st.text(max_size=5) | st.integers(-5, 5)
LEAVES = st.one_of(
    tensors(),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
TREES = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3),
    max_leaves=12,
)


def equal(a: object, b: object) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


def round_trip(state: dict) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), 1, state)
        return checkpoint.load_latest(Path(folder))[0]


@given(st.dictionaries(KEYS, TREES, max_size=3))
def test_any_tree_comes_back_as_it_was(state: dict) -> None:
    assert equal(round_trip(state), state)


def test_tied_and_strided_tensors() -> None:
    weight = torch.arange(12.0).reshape(3, 4)
    state = {"a": weight, "b": weight, "view": weight[:, 1], "turned": weight.T}
    again = round_trip(state)
    assert equal(again, state)
    pictures = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert equal(round_trip({"p": pictures}), {"p": pictures})


def test_the_state_of_a_real_training() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    state = {"task": dict(net.state_dict()), "optimizer": optimizer.state_dict()}
    again = round_trip(state)
    assert list(again["optimizer"]["state"]) == [0, 1, 2, 3]
    fresh = torch.optim.AdamW(net.parameters())
    fresh.load_state_dict(again["optimizer"])
    assert equal(fresh.state_dict()["state"], optimizer.state_dict()["state"])


@pytest.mark.parametrize(
    "state",
    [
        {0: torch.zeros(1), "0": torch.ones(1)},
        {"a/b": torch.zeros(1), "a": {"b": torch.ones(1)}},
        {"": torch.zeros(1), "x": {"": torch.ones(1)}},
        {},
    ],
)
def test_keys_that_look_alike(state: dict) -> None:
    assert equal(round_trip(state), state)


def save_three(folder: Path) -> None:
    for step in (9, 10, 11):
        checkpoint.save(folder, step, {"step": step, "w": torch.full((1000,), float(step))})


def test_the_newest_by_number_is_used_and_old_ones_go(tmp_path: Path) -> None:
    save_three(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-10", "step-11"]
    state, remarks = checkpoint.load_latest(tmp_path)
    assert (state["step"], remarks) == (11, [])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)


def garbage(path: Path) -> None:
    path.write_bytes(b"\x80\x04garbage" * 20)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def rewrite(**changes: object):
    def damage(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


DAMAGES = [
    *(
        (file, damage)
        for file in ("tensors.safetensors", "state.json")
        for damage in (truncate, flip_a_bit, garbage, empty, Path.unlink)
        if (file, damage) != ("state.json", flip_a_bit)
    ),
    ("state.json", rewrite(format=99)),
    ("state.json", rewrite(state=["dict", [["w", {"$tensor": "no such"}]]])),
    ("state.json", rewrite(state=["dict", [["w"]]])),
    ("state.json", rewrite(state=3)),
    (
        "state.json",
        lambda path: path.write_text(path.read_text().replace('"step", 1', '"step", 2')),
    ),
    ("state.json", lambda path: path.write_text("[]")),
    ("state.json", lambda path: path.write_text("[" * 100_000)),
]


@pytest.mark.parametrize("file, damage", DAMAGES)
def test_a_damaged_one_is_told_and_the_one_before_it_used(tmp_path: Path, file, damage) -> None:
    save_three(tmp_path)
    damage(tmp_path / "step-11" / file)
    state, remarks = checkpoint.load_latest(tmp_path)
    assert (state["step"], state["w"][0]) == (10, 10.0)
    (remark,) = remarks
    assert "The checkpoint of step 11 is damaged" in remark


@pytest.mark.parametrize("file, damage", DAMAGES)
def test_without_a_sound_one_there_is_one_clear_error(tmp_path: Path, file, damage) -> None:
    save_three(tmp_path)
    for step in (10, 11):
        damage(tmp_path / f"step-{step}" / file)
    with pytest.raises(CheckpointError, match=r"step 11 is damaged.*step 10 is damaged"):
        checkpoint.load_latest(tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_none_at_all(tmp_path: Path, there: bool) -> None:
    folder = tmp_path if there else tmp_path / "missing"
    with pytest.raises(CheckpointError, match="None was written yet"):
        checkpoint.load_latest(folder)


def test_leftovers_of_a_killed_process_are_passed_over(tmp_path: Path) -> None:
    save_three(tmp_path)
    for name in (".step-12.abcdefgh", "step-12.tmp", "step-x"):
        (tmp_path / name).mkdir()
    assert checkpoint.load_latest(tmp_path)[0]["step"] == 11


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json"])
def test_a_pickle_in_its_place_is_not_executed(tmp_path: Path, file: str) -> None:
    mark = tmp_path / "executed"
    folder = tmp_path / "checkpoints"
    save_three(folder)
    (folder / "step-11" / file).write_bytes(pickle.dumps(Bomb(mark)))
    assert checkpoint.load_latest(folder)[0]["step"] == 10
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists(), "the bomb of this test does not work"


@given(st.binary(max_size=200), st.sampled_from(["tensors.safetensors", "state.json"]))
def test_any_bytes_are_refused_quietly(content: bytes, file: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_three(folder)
        (folder / "step-11" / file).write_bytes(content)
        assert checkpoint.load_latest(folder)[0]["step"] == 10


def test_what_cannot_be_written_leaves_earlier_ones(tmp_path: Path, monkeypatch) -> None:
    save_three(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(StorageError, match="No space is left"):
        checkpoint.save(tmp_path, 12, {"x": torch.zeros(1)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-10", "step-11"]


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    for value in (1, 2):
        checkpoint.save(tmp_path, 5, {"value": value})
    assert checkpoint.load_latest(tmp_path)[0] == {"value": 2}

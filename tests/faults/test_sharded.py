"""Checkpoints in parts, as several processes write them: damaged ones are found out, and nothing
of them is executed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmft_core.engine import sharded_checkpoint
from mmft_core.errors import CheckpointError
from tests.faults.garbage import CHANGES, bombs, changed

FUZZ = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"task/weight": torch.full((4, 3), float(step)), "optimizer/weight": torch.ones(5)}


def state(step: int) -> dict[str, object]:
    return {"progress": {"step": step, "best": 0.5}, "moments": {"weight": {"step": step}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints of steps 1 and 2."""
    for step in (1, 2):
        sharded_checkpoint.save(tmp_path / "checkpoints", step, tensors(step), state(step))
    return tmp_path / "checkpoints"


def go_on(folder: Path) -> tuple[int, list[str]]:
    """Read what training would go on from; check that it is what was written.

    Returns:
        its step, and what is said of newer ones.
    """
    path, found, remarks = sharded_checkpoint.load_latest(folder)
    step = int(path.name.removeprefix("step-"))
    assert found == state(step)
    empty = {name: torch.zeros_like(tensor) for name, tensor in tensors(step).items()}
    sharded_checkpoint.read(path, empty)
    assert all(torch.equal(empty[name], wanted) for name, wanted in tensors(step).items())
    return step, remarks


def test_the_newest_is_read_where_all_are_sound(folder: Path) -> None:
    assert go_on(folder) == (2, [])


@FUZZ
@given(data=st.data())
def test_the_one_before_a_damaged_one_is_read_and_this_is_said(
    folder: Path, data: st.DataObject
) -> None:
    file = data.draw(st.sampled_from(sorted((folder / "step-2").iterdir())))
    before = file.read_bytes()
    with changed(file, data.draw(CHANGES)):
        step, remarks = go_on(folder)
        if step == 1:
            assert len(remarks) == 1 and "The checkpoint of step 2 is damaged" in remarks[0]
        else:  # The change made the same file of it, or the same JSON in other words.
            assert file.suffix == ".json" or file.read_bytes() == before


@pytest.mark.parametrize("name", ["*.safetensors", "state.json", "*"])
def test_files_that_are_missing(folder: Path, name: str) -> None:
    for file in (folder / "step-2").glob(name):
        file.unlink()
    step, remarks = go_on(folder)
    assert step == 1 and "step 2 is damaged" in remarks[0]


def test_a_part_that_is_of_another_checkpoint(folder: Path) -> None:
    (other,) = (folder / "step-1").glob("*.safetensors")
    shutil.copy(other, folder / "step-2" / "shard-00002-model-00001-of-00001.safetensors")
    assert go_on(folder)[0] == 1


@pytest.mark.parametrize("number", range(5))
def test_nothing_is_ever_unpickled(folder: Path, tmp_path: Path, number: int) -> None:
    """Torch's own format has a pickle, `.metadata`, and more of them in `.distcp` files."""
    mark = tmp_path / "executed"
    bomb = bombs(mark)[number]
    for name in (".metadata", "__0_0.distcp", "model.safetensors.index.json"):
        (folder / "step-2" / name).write_bytes(bomb)
    assert go_on(folder) == (2, []), "they are none of its files"
    names = {file.name for file in (folder / "step-2").iterdir()}
    for name in (names | {"shard-00002-model-00001-of-00001.safetensors"}) - {".metadata"}:
        file = folder / "step-2" / name
        file.touch()
        with changed(file, lambda _: bomb):
            go_on(folder)
    assert not mark.exists()


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"\x80")])
def test_where_nothing_is_sound_the_error_says_what_each_has(
    folder: Path, damage: Callable[[Path], object]
) -> None:
    for file in folder.glob("step-*/*.safetensors"):
        damage(file)
    with pytest.raises(CheckpointError, match="no usable checkpoint") as caught:
        go_on(folder)
    assert "step 2 is damaged" in str(caught.value) and "step 1 is damaged" in str(caught.value)


def test_one_of_another_model_is_refused(folder: Path) -> None:
    path, _, _ = sharded_checkpoint.load_latest(folder)
    for other in (
        {"task/weight": torch.zeros(3, 4)},
        {"task/weight": torch.zeros(4, 4)},
        {"task/bias": torch.zeros(3)},
    ):
        with pytest.raises(CheckpointError, match="to another model"):
            sharded_checkpoint.read(path, other)

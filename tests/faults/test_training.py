"""What happens to a run while it trains, and to its files while it does not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.faults.conftest import refused, resumes
from tests.faults.processes import Cli, new_run

Call = Callable[..., Cli]


@pytest.mark.slow
def test_a_process_that_loads_data_dies(call: Call, tmp_path: Path, whole: bytes) -> None:
    run = tmp_path / "run"
    process = call(*new_run(run, engine__workers=1))
    process.wait_for(run / "checkpoints" / "step-6")
    for pid in process.children:
        os.kill(pid, signal.SIGKILL)
    refused(process, "A process that loads data died", "engine.workers=0", "--resume")
    resumes(call("run", "--resume", run), run, whole)


def write_pictures(folder: Path) -> Path:
    bunch = load_digits(n_class=2)
    for k, (picture, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((picture * 15).astype(np.uint8)).save(place / f"{k:03}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_of_the_data_vanishes(call: Call, tmp_path: Path, workers: int) -> None:
    pictures, run = write_pictures(tmp_path / "pictures"), tmp_path / "run"
    arguments = new_run(
        run,
        dataset__name="image-folder",
        dataset__path=pictures,
        engine__steps=60,
        engine__eval_every=60,
        engine__workers=workers,
    )
    away = tmp_path / "away"
    process = call(*arguments)
    process.wait_for(run / "checkpoints" / "step-2")
    pictures.rename(away)
    refused(process, str(pictures), "there is no such file")
    refused(call("run", "--resume", run), str(pictures))
    away.rename(pictures)
    one = next(pictures.rglob("*.png"))
    one.rename(tmp_path / "one.png")
    refused(call("run", "--resume", run), "have changed", "Bring the data back")
    (tmp_path / "one.png").rename(one)
    process = call("run", "--resume", run)
    assert process.wait() == 0, process.text
    assert "resuming at step" in process.text


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content), 997):
        content[place] ^= 0xFF
    path.write_bytes(content)


def newest(run: Path) -> Path:
    return max((run / "checkpoints").glob("step-*"), key=lambda p: int(p.name[5:]))


@pytest.mark.slow
@pytest.mark.parametrize("file, damage", [("tensors.safetensors", truncate), ("state.json", flip)])
def test_the_checkpoint_before_a_damaged_one_is_used(
    call: Call, killed: Path, whole: bytes, file: str, damage: Callable[[Path], None]
) -> None:
    step = newest(killed).name.removeprefix("step-")
    damage(newest(killed) / file)
    text = resumes(call("run", "--resume", killed), killed, whole)
    assert f"The checkpoint of step {step} is damaged" in text
    assert "The one before it is used." in text


@pytest.mark.slow
def test_the_weights_of_the_best_step_are_damaged(call: Call, tmp_path: Path) -> None:
    """Which are needed at the end, if no later step is better."""
    run = tmp_path / "run"
    process = call(*new_run(run, engine__monitor="accuracy", engine__lr=1e-9))
    process.wait_for(run / "checkpoints" / "step-7")
    assert process.kill() == -9
    truncate(run / "checkpoints" / "best.safetensors")
    refused(call("run", "--resume", run), "best.safetensors, are damaged", "config.toml")


@pytest.mark.slow
@pytest.mark.parametrize(
    "file, content",
    [("data.json", b"[" * 100_000), ("data.json", b"{}"), ("config.toml", b"\xff")],
)
def test_what_is_damaged_beyond_use_is_named(
    call: Call, killed: Path, file: str, content: bytes
) -> None:
    before = (killed / file).read_bytes()
    (killed / file).write_bytes(content)
    refused(call("run", "--resume", killed), str(killed / file))
    (killed / file).write_bytes(before)
    assert call("runs", killed).wait() == 0


@pytest.mark.slow
def test_without_a_sound_checkpoint_the_hint_says_how_to_repeat(call: Call, killed: Path) -> None:
    for path in (killed / "checkpoints").glob("step-*/state.json"):
        flip(path)
    refused(call("run", "--resume", killed), "There is no usable checkpoint", "config.toml")
    assert (killed / "config.toml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("content", [b'{"step": 1, "ep', b"\xff\xfe", b"[]\n3\n"])
def test_metrics_that_are_none_are_written_anew(
    call: Call, killed: Path, whole: bytes, content: bytes
) -> None:
    metrics = killed / "metrics.jsonl"
    metrics.write_bytes(content)
    resumes(call("run", "--resume", killed), killed, whole)
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert lines[-1]["split"] == "test"

"""Runs with packed chats that are killed in the middle of an epoch, and go on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mmft_core import discover
from mmft_core.config.resolving import resolve
from mmft_core.config.trees import read_toml
from mmft_core.contracts.callbacks import TrainStep
from mmft_core.run import runner
from tests.chat.networks import built, narrow, picture, saved, sound
from tests.conftest import Finished
from tests.engine.toy import Recorder
from tests.faults.processes import Cli

__all__ = ["narrow"]

READS = {
    "vision-chat": ("image", ("red.png", "blue.png")),
    "audio-chat": ("audio", ("red.wav", "blue.wav")),
}

SETTINGS = {
    "engine.steps": 6,
    "engine.batch_size": 4,
    "engine.eval_every": 6,
    "engine.checkpoint_every": 2,
    "engine.lr": 0.005,
    "engine.workers": 0,
    "task.packing": "true",
    "task.max_new_tokens": 2,
}


class Kill(Recorder):
    """Ends the process as `kill -9` does, after the third step, of which there is no checkpoint."""

    def on_step(self, event: TrainStep) -> None:
        if event.step == 3:
            os.kill(os.getpid(), signal.SIGKILL)


def train_until_killed(config: Path, output: Path) -> None:
    runner.train(resolve(read_toml(config), discover()), output, [Kill()])


def chats(folder: Path, kind: str) -> Path:
    """20 chats of one or two turns, 16 of which are learned: four batches an epoch."""
    rows = []
    for k in range(20):
        reads, files = READS.get(kind, ("", ()))
        media = [{"type": reads, reads: name} for name in files[: 1 + k % 2]]
        asked: dict[str, Any] = {"role": "user", "content": media}
        asked["content"].append({"type": "text", "text": f"What is number {k}?"})
        turns = [asked, {"role": "assistant", "content": "a red seven " * (1 + k % 3)}]
        split = "val" if k % 5 == 4 else "train"
        rows.append({"messages": turns, "split": split})
    table = folder / "chats.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for seed, name in enumerate(("red", "blue")):
        (folder / f"{name}.png").write_bytes(picture(20, 20 + 10 * seed, seed))
        (folder / f"{name}.wav").write_bytes(sound(0.4 + 0.6 * seed, seed))
    return table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "family"),
    [("chat-lm", "qwen3"), ("vision-chat", "qwen2.5-vl"), ("audio-chat", "qwen2-audio")],
)
def test_a_killed_run_ends_in_equal_weights(
    kind: str, family: str, tmp_path: Path, mmft: Callable[..., Finished]
) -> None:
    torch.manual_seed(0)
    weights, table = saved(built(family), tmp_path / "weights"), chats(tmp_path, kind)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    sets = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    names = ["--task", "chat", "--backbone", kind, "--weights", weights, "--dataset", table]
    ended = mmft("run", *names, *sets, "--output", whole)
    assert ended.code == 0, ended.err
    killed = Cli([], tmp_path / "log", partial(train_until_killed, whole / "config.toml", cut))
    assert killed.wait() == -signal.SIGKILL, killed.text
    assert not (cut / "results.json").exists()
    assert mmft("run", "--resume", cut).code == 0
    one, other = ((r / "model" / "model.safetensors").read_bytes() for r in (whole, cut))
    assert one == other

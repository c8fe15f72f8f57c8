"""Memory that runs out ends in a sentence that names what fits, in runs and elsewhere."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmft_core.utils.memory_errors import out_of_memory
from tests.conftest import Finished

Mmft = Callable[..., Finished]

RUN = (
    *("run", "--task", "image-cls", "--backbone", "tiny", "--weights", "none"),
    *("--set", "backbone.image_size=32", "--set", "engine.steps=3", "--set", "engine.workers=0"),
)


@pytest.fixture
def memory_for(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let forward passes of more than so many pictures fail as torch's CPU allocator does."""

    def limit(most: int, training: bool = True) -> None:
        from torch import nn

        convolve = nn.Conv2d.forward

        def forward(self: nn.Conv2d, pictures: torch.Tensor) -> torch.Tensor:
            if self.training == training and len(pictures) > most:
                raise RuntimeError(
                    "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate "
                    "memory: you tried to allocate 411041792 bytes. Error code 12"
                )
            return convolve(self, pictures)

        monkeypatch.setattr(nn.Conv2d, "forward", forward)

    return limit


@pytest.mark.parametrize(
    ("most", "settings"),
    [
        (30, "--batch-size 16 --set engine.gradient_accumulation_steps=4"),
        (9, "--batch-size 8 --set engine.gradient_accumulation_steps=8"),
    ],
)
def test_a_run_says_which_batch_fits_and_that_one_does(
    tmp_path: Path,
    mmft: Mmft,
    tiny_backbone: None,
    memory_for: Callable[[int], None],
    most: int,
    settings: str,
) -> None:
    memory_for(most)
    ended = mmft(*RUN, "--batch-size", "64", "-o", tmp_path / "run")
    assert ended.code == 2
    assert "Memory ran out at step 1, with 62 samples in a batch." in ended.err
    assert settings in ended.err and "Traceback" not in ended.err
    told = ended.err[ended.err.index("--batch-size") : ended.err.index(" fits;")].split()
    ended = mmft(*RUN, *told, "-o", tmp_path / "second")
    assert ended.code == 0, ended.err


def test_a_sample_that_does_not_fit_is_told(
    tmp_path: Path, mmft: Mmft, tiny_backbone: None, memory_for: Callable[[int], None]
) -> None:
    memory_for(0)
    ended = mmft(*RUN, "--batch-size", "3", "-o", tmp_path / "run")
    assert ended.code == 2 and "Not even one sample fits." in ended.err


@pytest.mark.parametrize("steps", [("--set", "engine.steps=none", "--epochs", "0"), ()])
def test_an_evaluation_says_so_too(
    tmp_path: Path,
    mmft: Mmft,
    tiny_backbone: None,
    memory_for: Callable[..., None],
    steps: tuple[str, ...],
) -> None:
    memory_for(2, training=False)  # As many as are rehearsed.
    ended = mmft(*RUN, *steps, "-o", tmp_path / "run")
    assert ended.code == 2 and "(val)" in ended.err and "Traceback" not in ended.err, ended.err
    assert ended.err.startswith("error: Memory ran out while evaluating ")


def test_other_commands_say_so_too(
    tmp_path: Path, mmft: Mmft, tiny_backbone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert mmft(*RUN, "-o", run).code == 0

    def fail(*arguments: Any, **named: Any) -> Any:
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr("torch.nn.Conv2d.forward", fail)
    ended = mmft("eval", run, "--batch-size", "16")
    assert ended.code == 2 and ended.err.startswith("error: Memory ran out: std::bad_alloc.")

    def lack(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("mmft_core.engine.kept_weights.read", lack)
    ended = mmft("eval", run)
    assert ended.code == 2 and ended.err.startswith("error: Memory ran out: "), ended.err


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_memory_that_ran_out(error: Exception, short: bool) -> None:
    assert out_of_memory(error) is short

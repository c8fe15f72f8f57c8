"""The error of a training that ran out of memory, with the batch size that would fit."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

import torch

from mmft_core.distributed import comm
from mmft_core.errors import OutOfMemoryError
from mmft_core.utils.memory_errors import out_of_memory
from mmft_core.utils.numbers import counted

if TYPE_CHECKING:
    from mmft_core.engine.loop import Engine
    from mmft_core.loading.batch_sampler import Key


def out_of_memory_error(engine: Engine) -> OutOfMemoryError:
    """The error to end a training with, after what held the memory was freed.

    Smaller parts of the same batch are tried, so that the hint names settings that work.
    """
    progress, config = engine.state.progress, engine.config
    keys = max(
        engine.batch_sampler.micro_batches(progress.step % max(1, engine.total_steps)), key=len
    )
    samples = counted(len(keys), "sample")
    message = f"Memory ran out at step {progress.step + 1}, with {samples} in a batch."
    parts = _fitting_parts(engine, keys)
    if parts is None:
        return OutOfMemoryError(message, hint=f"Give a smaller --batch-size.{_savings(engine)}")
    if not parts:
        return OutOfMemoryError(
            f"{message} Not even one sample fits.",
            hint=f"Use smaller inputs or a smaller backbone.{_savings(engine)}",
        )
    if config.batch_total is None:
        size = f"--batch-size {-(-config.batch_size // parts)}"
    else:
        size = f"--set engine.batch_total={config.batch_total / parts:g}"
    passes = parts * config.gradient_accumulation_steps
    return OutOfMemoryError(
        message,
        hint=f"{size} --set engine.gradient_accumulation_steps={passes} fits; each optimizer step "
        f"still sees as many samples.{_savings(engine)}",
    )


def _savings(engine: Engine) -> str:
    if engine.config.gradient_checkpointing:
        return " --tune lora or --tune head also saves memory."
    return " --set engine.gradient_checkpointing=true or --tune lora also saves memory."


def _fitting_parts(engine: Engine, keys: list[Key]) -> int | None:
    """Into how many parts (2, 4, 8, ...) a batch has to be divided so that each can be trained on.

    Returns:
        0 if not even one sample fits; None with several ranks, which would have to try together, or
        where trying fails for another reason.
    """
    if comm.count() > 1:
        return None
    parts = 2
    while parts < 2 * len(keys):
        fits = _fits(engine, keys[: -(-len(keys) // parts)])
        if fits is None:
            return None
        if fits:
            return parts
        parts *= 2
    return 0


def _fits(engine: Engine, keys: list[Key]) -> bool | None:
    """Whether a forward and a backward pass and the optimizer's state fit; None if unknown."""
    state = engine.state
    try:
        state.train(engine.batch_sampler.epoch_of(state.progress.step))
        trained = [p for p in state.trained.parameters() if p.requires_grad]
        known = state.raw_optimizer.state
        moments = [torch.empty_like(p) for p in trained if p not in known for _ in range(2)]
        batch = engine.train.collate([engine.train[key] for key in keys]).batch
        if batch is None:
            return None
        engine.accelerator.backward(state.parallel.loss(batch.to(engine.accelerator.device)))
        del moments
        return True
    except Exception as error:
        return False if out_of_memory(error) else None
    finally:
        with contextlib.suppress(Exception):
            state.optimizer.zero_grad()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

"""Does several runs, one after the other, in as many processes as it is started in.

Nothing is drawn at random within networks, for each process draws for its own samples.

What is done is a list of (arguments of `mmft`, ending). An ending is (step, signal, rank): the
process of that rank sends itself the signal when the checkpoint of that step is written, or raises
an error if it is 0. A call that ends in "refused" ends in an error of all processes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional
from torchvision.ops import StochasticDepth

from mmft_core.cli.command_line import cli, fail
from mmft_core.distributed import comm, failure_propagation
from mmft_core.distributed.failure_propagation import fail_together
from mmft_core.engine.state import TrainingState
from mmft_core.errors import DataError, ElsewhereError, MmftError


def without_dropout() -> None:
    attention = functional.scaled_dot_product_attention

    def certain(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        *more: Any,
        **named: Any,
    ) -> Tensor:
        return attention(query, key, value, attn_mask, 0.0, *more, **named)

    functional.dropout = lambda input, *_, **__: input
    StochasticDepth.forward = lambda self, input: input  # type: ignore[method-assign]
    functional.scaled_dot_product_attention = certain


def end_after(step: int, number: int, rank: int) -> None:
    save = TrainingState.save

    def save_and_end(state: TrainingState, folder: Path) -> None:
        save(state, folder)
        if state.progress.step == step and comm.rank() == rank:
            TrainingState.save = save  # type: ignore[method-assign]
            if not number:
                raise DataError(f"Process {rank} alone has failed.")
            os.kill(os.getpid(), number)

    if number == signal.SIGKILL:
        failure_propagation._LAST_WORDS = 1.0  # Nobody will say anything.
    TrainingState.save = save_and_end  # type: ignore[method-assign]


def do(call: Sequence[str], ending: Any) -> None:
    if isinstance(ending, tuple):
        end_after(*ending)
    try:
        cli.main(list(call), standalone_mode=False)
    except SystemExit:  # Of one that was interrupted.
        pass
    except MmftError as error:
        if ending != "refused":
            raise
        if comm.is_main():
            print(f"refused: {error.message}", flush=True)


def main(calls: Sequence[tuple[Sequence[str], Any]]) -> None:
    without_dropout()
    try:
        with fail_together():
            for call, ending in calls:
                do(call, ending)
        comm.leave()
    except ElsewhereError:
        sys.exit(2)
    except MmftError as error:
        fail(error.message, error.hint)

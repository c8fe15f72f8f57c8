"""Does several runs, one after the other, in as many processes as it is started in.

Imports take longer than a tiny run, so all runs of a test share them. Nothing is drawn at random
within networks, for each process draws for its own samples.

    torchrun --nproc-per-node 2 -m tests.processes.program CALLS.json

CALLS.json holds a list of lists of arguments of `mmft`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional

from mmft_core import processes
from mmft_core.cli import cli


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
    functional.scaled_dot_product_attention = certain


if __name__ == "__main__":
    without_dropout()
    for call in json.loads(Path(sys.argv[1]).read_text()):
        cli.main(call, standalone_mode=False)
    processes.leave()

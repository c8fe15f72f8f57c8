"""The reference of preferences: the model that training starts from."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmft_chat.backbone import ChatBackbone
from mmft_core.errors import CheckpointError

_FILE = "reference.safetensors"


class Reference:
    """What is known of the reference: log-probabilities of answers, and the model where needed.

    It is no module, for its weights are neither trained nor part of what is trained; and one object
    for all copies of a task, such as the average of its weights.

    Attributes:
        model: a frozen copy; None where there is none.
        trained: whether the task's own weights may be others than the reference's by now.
    """

    def __init__(self, *, trained: bool) -> None:
        self.model: ChatBackbone | None = None
        self.trained = trained
        self._keys = torch.zeros(0, dtype=torch.int64)
        self._logps = torch.zeros(0)

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    # --- log-probabilities ----------------------------------------------------------------------

    def known(self, keys: Tensor) -> Tensor:
        """The log-probabilities of answers by their keys, of any shape; NaN for others."""
        if not len(self._keys):
            return torch.full(keys.shape, torch.nan, device=keys.device)
        self._keys, self._logps = self._keys.to(keys.device), self._logps.to(keys.device)
        at = torch.searchsorted(self._keys, keys).clamp(max=len(self._keys) - 1)
        return self._logps[at].masked_fill(self._keys[at] != keys, torch.nan)

    def remember(self, keys: Tensor, logps: Tensor) -> None:
        """Keep log-probabilities of answers, both of any shape, but for those that are NaN."""
        there = ~logps.isnan()
        keys, logps = keys[there], logps[there]
        held = dict(zip(self._keys.tolist(), self._logps.tolist(), strict=True))
        held |= zip(keys.tolist(), logps.tolist(), strict=True)
        order = sorted(held)
        self._keys = torch.tensor(order, dtype=torch.int64)
        self._logps = torch.tensor([held[key] for key in order], dtype=torch.float32)

    def save(self, folder: Path) -> None:
        save_file({"keys": self._keys.cpu(), "logps": self._logps.cpu()}, folder / _FILE)

    def load(self, folder: Path) -> None:
        """Raises:
        OSError, KeyError, SafetensorError: the file is missing or damaged.
        """
        found = load_file(folder / _FILE)
        self._keys, self._logps = found["keys"], found["logps"]

    # --- the model ------------------------------------------------------------------------------

    def copy(self, model: ChatBackbone) -> ChatBackbone:
        """A frozen copy of the model as it is now, made once."""
        if self.model is None:
            self.model = copy.deepcopy(model).eval().requires_grad_(False)
        return self.model

    @contextlib.contextmanager
    def of(self, model: ChatBackbone, *, training: bool) -> Iterator[ChatBackbone | None]:
        """What computes the reference's log-probabilities; None if nothing here can.

        Args:
            model: of the task, whose adapters are off meanwhile.

        Raises:
            CheckpointError: it is needed for training, which has begun without it.
        """
        if has_adapters(model):
            with _without_adapters(model):
                yield model
        elif self.model is not None:
            yield self.model.to(next(model.parameters()).device)
        elif training and not self.trained:
            yield self.copy(model)
        elif training:
            raise CheckpointError(
                "The reference model of this training is missing from its checkpoints.",
                hint="Start the run again in a new folder, with -c and its config.toml.",
            )
        else:
            yield None


def has_adapters(model: nn.Module) -> bool:
    return any(".lora_" in name for name, _ in model.named_parameters())


@contextlib.contextmanager
def _without_adapters(model: nn.Module) -> Iterator[None]:
    """In eval mode and with its adapters off, as it was before it was trained."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    modes = {module: module.training for module in model.modules()}
    model.eval()
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        for module, training in modes.items():
            module.training = training

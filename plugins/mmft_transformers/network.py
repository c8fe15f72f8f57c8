"""What backbones that are networks of transformers have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from mmft_core.contracts import AdapterBase, Backbone, Task, find_roles
from mmft_transformers.depth import depth_order
from mmft_transformers.published_models import Described, TransformersModel, loading


class TransformersBackbone(Backbone):
    """A network of transformers, with all that can be told from it alone.

    Attributes:
        loaded_by: the Auto class of transformers that loads the published network.
        task_type: what PEFT calls its use; None for what it has no name for.
    """

    network: Any
    published = "network"
    loaded_by = "AutoModel"
    task_type: str | None = None
    base_model_prefix = "network"
    """Asked for by transformers where PEFT adapts a network that it has renamed layers of."""

    @property
    def config(self) -> PreTrainedConfig:
        config: PreTrainedConfig = self.network.config
        return config

    def layers(self) -> Sequence[nn.Module]:
        return depth_order(self.network)

    def roles(self) -> Mapping[str, Sequence[str]]:
        output = self.network.get_output_embeddings()  # It names words, and is no layer of its own.
        found = find_roles(self, (nn.Linear, Conv1D))  # GPT-2 calls its linear layers so.
        kept = {
            role: [n for n in names if self.get_submodule(n) is not output and not self._fused(n)]
            for role, names in found.items()
        }
        return {role: names for role, names in kept.items() if names}

    def _fused(self, name: str) -> bool:
        """Whether a layer is one of Mamba's whose weight a fused kernel reads; PEFT refuses it."""
        parent, _, child = name.rpartition(".")
        mixes = hasattr(self.get_submodule(parent), "A_log")
        return mixes and child in ("out_proj", "conv1d")

    def enable_checkpointing(self) -> None:
        network = self.network
        if not network.supports_gradient_checkpointing:
            super().enable_checkpointing()
        network.config.use_cache = False  # Of training; writing has its own setting.
        # transformers has renamed it.
        new = getattr(network, "activation_checkpointing_enable", None)
        (new or network.gradient_checkpointing_enable)({"use_reentrant": False})

    def save_assets(self, folder: Path) -> None:
        # What the network is here, whatever its weights once belonged to.
        self.config.architectures = [type(self.network).__name__]
        self.config.save_pretrained(folder)

    def adapter_base(self) -> AdapterBase:
        kind, source = type(self.get_submodule(self.published)), Path(self.loaded.source)
        code = f"from transformers import {self.loaded_by}\n\nbase = {self.loaded_by}"
        known = not source.exists() or (source / "config.json").is_file()  # Not a run of mmft.
        return AdapterBase(
            code=f"{code}.from_pretrained({{weights!r}})" if known else "",
            network=f"{kind.__module__}:{kind.__name__}",
            task_type=self.task_type,
        )

    def published_model(self, task: Task) -> TransformersModel:
        return TransformersModel(self, Described(code=loading(self.loaded_by)))


def fix_parameter(module: nn.Module, name: str) -> None:
    """Keep a parameter out of what is trained, under the name that it has; none is left alone.

    What no loss reaches must not want a gradient, for several processes wait for all of them.
    """
    parameter = getattr(module, name, None)
    if isinstance(parameter, nn.Parameter):
        delattr(module, name)
        module.register_buffer(name, parameter.detach())

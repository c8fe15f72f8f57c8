"""What backbones that are networks of transformers have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from mmft_core.contracts import Backbone
from mmft_core.roles import find_roles
from mmft_transformers.depth import depth_order


class TransformersBackbone(Backbone):
    """A network of transformers, with all that can be told from it alone."""

    network: Any
    published = "network"
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
        return {
            role: [name for name in names if self.get_submodule(name) is not output]
            for role, names in found.items()
        }

    def enable_checkpointing(self) -> None:
        network = self.network
        if not network.supports_gradient_checkpointing:
            super().enable_checkpointing()
        network.config.use_cache = False  # Of training; writing has its own setting.
        # transformers has renamed it.
        new = getattr(network, "activation_checkpointing_enable", None)
        (new or network.gradient_checkpointing_enable)({"use_reentrant": False})

    def save_assets(self, folder: Path) -> None:
        self.config.save_pretrained(folder)


def fix_parameter(module: nn.Module, name: str) -> None:
    """Keep a parameter out of what is trained, under the name that it has; none is left alone.

    What no loss reaches must not want a gradient, for several processes wait for all of them.
    """
    parameter = getattr(module, name, None)
    if isinstance(parameter, nn.Parameter):
        delattr(module, name)
        module.register_buffer(name, parameter.detach())

"""A backbone's network as other software loads it, for adapters and exports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_model
from torch import nn

from mmft_core.contracts.data import Tensors

if TYPE_CHECKING:
    from mmft_core.contracts.backbones import Backbone

WEIGHTS = "model.safetensors"
"""The file of a published model that holds its weights."""


@dataclass(frozen=True, kw_only=True)
class AdapterBase:
    """How the network that adapters belong to is loaded without mmft.

    Attributes:
        code: Python code that creates it as `base`; "{weights!r}" stands for the place of the
            weights. Empty if unknown.
        network: its class as "module:Class"; empty if unknown.
        task_type: PEFT's task type, such as "CAUSAL_LM"; None if there is none.
    """

    code: str = ""
    network: str = ""
    task_type: str | None = None


class PublishedModel:
    """A network with its library's names for weights, in its own folder.

    Attributes:
        tensors: its weights by these names. They share memory with the weights of backbone and
            task, so loading into them loads into the task.
        former: weights by their names in exports of mmft 0.1.
        note: what users of the folder must know, in whole sentences; empty for nothing.
    """

    note: str = ""

    def __init__(self, backbone: Backbone, network: nn.Module) -> None:
        self.backbone, self.network = backbone, network
        self.tensors: Tensors = dict(network.state_dict())
        self.former = self.tensors

    def save(self, folder: Path) -> None:
        """Write `WEIGHTS` and everything else that belongs to the network to an existing folder.

        Raises:
            ExportError: the library does not load what was written.
        """
        self.backbone.save_assets(folder)
        save_model(self.network, str(folder / WEIGHTS), metadata={"format": "pt"})

    def read(self, folder: Path) -> Tensors:
        """The weights that `save` wrote, by the names of `tensors` or `former`."""
        return load_file(folder / WEIGHTS)

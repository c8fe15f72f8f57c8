"""A backbone's network as other software knows it: where adapters belong, what is exported."""

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
        code: Python that makes it, as `base`; "{weights!r}" in it stands for where the weights are.
            Empty where nothing can be said.
        network: its class as "module:Class"; empty where it is not known.
        task_type: what PEFT calls its use, such as "CAUSAL_LM"; None for none that PEFT knows.
    """

    code: str = ""
    network: str = ""
    task_type: str | None = None


class PublishedModel:
    """A network under the names that its library gives it, in a folder of its own.

    Attributes:
        tensors: its weights by these names. They share memory with those of backbone and task, so
            that what is read into them is read into the task.
        former: weights by the names that exports of mmft 0.1 have.
        note: what users of the folder must know, in whole sentences; empty for nothing.
    """

    note: str = ""

    def __init__(self, backbone: Backbone, network: nn.Module) -> None:
        self.backbone, self.network = backbone, network
        self.tensors: Tensors = dict(network.state_dict())
        self.former = self.tensors

    def save(self, folder: Path) -> None:
        """Write `WEIGHTS` and what else belongs to the network into a folder that is there.

        Raises:
            ExportError: the library does not load what was written.
        """
        self.backbone.save_assets(folder)
        save_model(self.network, str(folder / WEIGHTS), metadata={"format": "pt"})

    def read(self, folder: Path) -> Tensors:
        """The weights that `save` wrote, by the names of `tensors` or `former`."""
        return load_file(folder / WEIGHTS)

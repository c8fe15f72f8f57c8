"""LoRA adapters of several runs as those of one, by PEFT.

The differences that adapters make are joined, not the matrices whose products these are. Their sum
is exact: the merged adapters have the ranks of all together. What TIES and DARE make of them is no
product of small matrices any more; the nearest one of that rank is kept (PEFT's "svd" ways).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmft_core.engine import lora
from mmft_core.run import LoadedModel

if TYPE_CHECKING:
    from mmft_merge.merging import Way

_WAYS = {
    "linear": "cat",
    "ties": "ties_svd",
    "dare": "dare_linear_svd",
    "dare-ties": "dare_ties_svd",
}
"""Our ways by PEFT's names."""


def join_adapters(model: LoadedModel, states: Sequence[Mapping[str, Tensor]], way: Way) -> None:
    """Leave one set of adapters of those in a model. What was trained whole is averaged.

    Args:
        model: with the adapters of all runs, in their order.
        states: of the runs' models, their adapters merged into the weights where these can be.
    """
    for modality in model.parts:
        _join(model.task.backbone(modality), way)
    averaged = {}
    for name, tensor in model.task.state_dict().items():
        theirs = [state[name] for state in states if name in state]
        whole = theirs and tensor.is_floating_point() and not lora.is_adapter(name)
        if whole and any(not torch.equal(one, theirs[0]) for one in theirs):
            mean = torch.stack([one.float() for one in theirs]).mean(0)
            averaged[name] = mean.to(tensor.dtype)
    # Quantized layers keep more than tensors in their state, which stays as it is.
    model.task.load_state_dict(averaged, strict=False)


def _join(backbone: Any, way: Way) -> None:
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    given = dict(backbone.peft_config)
    names = list(given)
    ranks = sum(given[name].r for name in names)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="peft")  # Of adapters that are there already.
        # A set that is not used, for PEFT's model begins with one.
        layers = "|".join(f"({given[name].target_modules})" for name in names)
        tuner: Any = LoraModel(
            backbone, {**given, "new": LoraConfig(r=1, target_modules=layers)}, "new"
        )
        tuner.add_weighted_adapter(
            names,
            list(way.weights),
            "joined",
            combination_type=_WAYS[way.method],
            density=None if way.method == "linear" else way.density,
            svd_rank=ranks,
            svd_full_matrices=False,
        )
        for name in (*names, "new"):
            tuner.delete_adapter(name)
        # By the name that a run's adapters have.
        tuner.add_weighted_adapter(["joined"], [1.0], "default", combination_type="cat")
        tuner.delete_adapter("joined")
    lora.choose(backbone, "default")

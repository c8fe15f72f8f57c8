"""A backbone's network as a model of transformers: a folder that its Auto classes load.

The folder claims the class that its weights fill, and no other: `config.json` names it, and what
was written is loaded again by it and compared. What a class has and mmft does not train (BERT's
pooler) is filled with what changes least, so that nothing is initialized at random.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmft_core.contracts import PublishedModel, Tensors
from mmft_core.errors import ExportError
from mmft_core.weights import hub_id
from mmft_transformers.quiet import quietly

_WHOLE = "100TB"
"""Weights are one file, however large."""

_POOLER = "pooler."

_POOLED = "Its pooler is not trained: `pooler_output` is the tanh of the first token's state."

_README = """\
---
{head}---
# {kind}

A network of transformers, exported by mmft. {note}

```python
{code}
```
"""


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a folder says of itself.

    Attributes:
        code: Python that loads it from the folder "."; it stands in README.md.
        note: what users must know, in whole sentences.
        pipeline: the pipeline of transformers that answers as mmft does; empty for none.
        library: the one that the code uses.
    """

    code: str
    note: str = ""
    pipeline: str = ""
    library: str = "transformers"


class TransformersModel(PublishedModel):
    """A network with all that transformers needs to load it."""

    def __init__(
        self,
        backbone: Any,
        described: Described,
        *,
        kind: Any = None,
        tensors: Mapping[str, Tensor] | None = None,
        config: Mapping[str, Any] | None = None,
        more: Callable[[Path], object] | None = None,
        generation: Any = None,
    ) -> None:
        """Args:
        kind: the class; None for that of the published network.
        tensors: its weights by their names in that class; None for the published network's.
        config: settings that differ from the network's.
        more: writes what stands beside weights and configuration (tokenizer, preprocessing).
        generation: transformers' settings of generation; None for none.
        """
        super().__init__(backbone, backbone.get_submodule(backbone.published))
        self.described, self.more, self.note = described, more, described.note
        self.former = dict(backbone.network.state_dict())
        self.kind = kind or type(self.network)
        own = self.tensors if tensors is None else dict(tensors)
        self.model = _model(self.kind, _config(backbone.config, config or {}))
        self.tensors, self.pooler = _completed(self.model, own)
        if generation is not None:
            # Else transformers passes over settings of one network alone, as Whisper's.
            generation._from_model_config = False
            self.model.generation_config = generation

    def save(self, folder: Path) -> None:
        model = self.model
        model.load_state_dict(self.tensors, assign=True)
        with quietly():
            model.tie_weights()
            model.save_pretrained(folder, max_shard_size=_WHOLE)
        if self.more is not None:
            self.more(folder)
        (folder / "README.md").write_text(self._readme(), encoding="utf-8")
        self._check(folder)

    def read(self, folder: Path) -> Tensors:
        given, names = super().read(folder), {**self.former, **self.tensors}
        if given.keys() <= names.keys():
            there = {names[name].data_ptr() for name in given}
            own = (t for k, t in self.tensors.items() if not k.startswith(_POOLER))
            if all(tensor.data_ptr() in there for tensor in own):
                return given
        with quietly():  # transformers writes some weights under other names, or not at all.
            return dict(self.kind.from_pretrained(folder, dtype=torch.float32).state_dict())

    def _check(self, folder: Path) -> None:
        """Raises:
        ExportError: transformers does not load the weights that were written.
        """
        with quietly():
            loaded, told = self.kind.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
            )
        strange = [k for kind in ("missing_keys", "unexpected_keys") for k in sorted(told[kind])]
        state = loaded.state_dict()
        strange += [k for k, t in self.tensors.items() if not _same(state[k], t)]
        if strange:
            raise ExportError(
                f"transformers does not load the exported {self.kind.__name__} as it was: "
                f"'{strange[0]}' differs.",
                hint="Try another --format, and please report this, which should not happen.",
            )

    def _readme(self) -> str:
        base = hub_id(self.backbone.loaded)
        head = {
            "library_name": self.described.library,
            **({"pipeline_tag": self.described.pipeline} if self.described.pipeline else {}),
            **({"base_model": base} if base else {}),
        }
        return _README.format(
            head="".join(f"{key}: {json.dumps(value)}\n" for key, value in head.items()),
            kind=self.kind.__name__,
            note=f"{self.described.note} {_POOLED if self.pooler else ''}".strip(),
            code=self.described.code,
        ).replace("mmft. \n", "mmft.\n")


def loading(auto: str, **others: str) -> str:
    """Python that loads `network` by one of transformers' classes, and more by others."""
    names = {"network": auto, **others}
    imports = ", ".join(sorted(names.values()))
    lines = [f'{name} = {kind}.from_pretrained(".")' for name, kind in names.items()]
    return "\n".join([f"from transformers import {imports}", "", *lines])


def _config(config: Any, changes: Mapping[str, Any]) -> Any:
    """A network's configuration for a model that has no classes but those that are given."""
    config = copy.deepcopy(config)
    config.num_labels, config.problem_type = 2, None  # As they are by default.
    if hasattr(config, "use_cache"):
        config.use_cache = True  # Off where activations were computed again.
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def labelled(classes: Sequence[str]) -> dict[str, Any]:
    """The settings of a model that tells classes apart."""
    return {
        "id2label": dict(enumerate(classes)),
        "label2id": {name: i for i, name in enumerate(classes)},
    }


def _model(kind: Any, config: Any) -> nn.Module:
    """A model without values, to be given weights."""
    with torch.device("meta"), quietly():
        model: nn.Module = kind(config)
    return model.eval()


def _same(loaded: Tensor, own: Tensor) -> bool:
    return torch.equal(loaded.float(), own.float())


def _completed(model: nn.Module, tensors: Tensors) -> tuple[Tensors, bool]:
    """All weights of a model, and whether its pooler, which mmft drops, is one that does nothing.

    Raises:
        ExportError: the model has others.
    """
    wanted = model.state_dict()
    complete = {name: tensors[name] for name in wanted if name in tensors}
    missing = wanted.keys() - complete.keys()
    for name in missing:
        shape = wanted[name].shape
        if not name.startswith(_POOLER):
            raise ExportError(f"The network lacks '{name}' of a {type(model).__name__}.")
        complete[name] = torch.eye(*shape) if len(shape) == 2 else torch.zeros(shape)
    return complete, bool(missing)

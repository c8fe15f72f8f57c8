"""Adapters in PEFT's file format, so that PEFT can load them without mmft.

Layers have the names of the published network, to which `PeftModel.from_pretrained` adds the
adapters. The names that runs of mmft 0.1 used are read as well.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from mmft_core.contracts import Backbone
from mmft_core.engine import adapter_settings, lora
from mmft_core.weights import named_weights

_FILE, _PREFIX = "adapter_model.safetensors", "base_model.model."

_README = """\
---
library_name: peft
base_model: {weights!r}
---
# LoRA adapters

They belong to the weights `{weights}`. PEFT loads them, here from this folder:

```python
from peft import PeftModel
{code}
network = PeftModel.from_pretrained(base, ".")
```
"""


def save(backbone: Backbone, folder: Path) -> None:
    """Write adapters in PEFT's format, with the modules that were trained whole."""
    import peft

    settings: Any = copy.deepcopy(backbone.peft_config["default"])  # type: ignore[index]
    base, weights = backbone.adapter_base(), named_weights(backbone.loaded)
    settings.inference_mode = True
    settings.target_modules = _any_of(
        [backbone.published_name(name) for name in lora.adapted_layers(backbone)]
    )
    settings.modules_to_save = [backbone.published_name(name) for name in backbone.fresh] or None
    settings.base_model_name_or_path = weights
    settings.task_type = base.task_type
    if base.network and base.task_type is None:
        library, _, name = base.network.partition(":")
        settings.auto_mapping = {"base_model_class": name, "parent_library": library}
    folder.mkdir(parents=True)
    settings.save_pretrained(str(folder))
    # Without what PEFT adds of its own accord where a layer's name is that of an embedding.
    adapters = peft.get_peft_model_state_dict(backbone, save_embedding_layers=False)
    tensors = {**adapters, **_fresh(backbone)}
    named = {f"{_PREFIX}{backbone.published_name(k)}": _plain(t) for k, t in tensors.items()}
    save_file(named, folder / _FILE, metadata={"format": "pt"})
    if base.code:
        code = base.code.format(weights=weights)
        text = _README.format(weights=weights, code=code)
        (folder / "README.md").write_text(text, encoding="utf-8")


def load(backbone: Backbone, folder: Path, name: str = "default") -> None:
    """Load adapters that `save` wrote into a backbone.

    Args:
        name: name for these adapters, if the backbone has others already.

    Raises:
        RunDirectoryError: their settings are not ones that `save` writes.
        ValueError: they do not fit the backbone.
    """
    import peft

    tensors = load_file(folder / _FILE)
    state = {k.removeprefix(_PREFIX): tensor for k, tensor in tensors.items()}
    known = (n for names in backbone.roles().values() for n in names if not lora.is_adapter(n))
    plain = [name.removesuffix(".base_layer") for name in known]  # Others may be on it already.
    own = {backbone.published_name(name): name for name in plain}
    own |= {backbone.published_name(name): name for name in _fresh(backbone)}
    modules = dict(backbone.named_modules())
    placed: dict[str, Tensor] = {}
    layers: list[str] = []
    for key, tensor in state.items():
        layer, adapter, rest = key.partition(".lora_")
        place = own.get(layer, layer)
        if adapter and place not in modules:
            raise ValueError(f"{folder.name}: '{key}' does not fit")
        placed[place + adapter + rest] = tensor
        layers += [place] if adapter else []
    settings = adapter_settings.read(folder, _rank(placed))
    settings.target_modules = _any_of(dict.fromkeys(layers))
    lora.put(backbone, settings, name)
    result: Any = peft.set_peft_model_state_dict(backbone, placed, adapter_name=name)
    adapters = filter(lora.is_adapter, backbone.state_dict())
    wanted = {*_fresh(backbone), *(key for key in adapters if f".{name}." in key)}
    strange = [key for key in result.missing_keys if key in wanted] + result.unexpected_keys
    if strange:
        raise ValueError(f"{folder.name}: '{strange[0]}' does not fit")


def _rank(state: Mapping[str, Tensor]) -> int:
    """The rank of adapters, which is the first dimension of each matrix A."""
    ranks = {tensor.shape[0] for key, tensor in state.items() if ".lora_A." in key}
    if len(ranks) != 1:
        raise ValueError(f"its adapters have {len(ranks)} ranks and not one")
    return ranks.pop()


def _fresh(backbone: Backbone) -> dict[str, Tensor]:
    """The state of what is trained whole beside adapters."""
    return {k: t for k, t in backbone.state_dict().items() if lora.is_fresh(backbone, k)}


def _any_of(names: Sequence[str] | dict[str, None]) -> str:
    """A pattern of all of these. PEFT takes a list's names for endings, which fit other layers."""
    return "|".join(re.escape(name) for name in names)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()

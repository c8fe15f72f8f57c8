"""What a stranger's folder must not make transformers do: run code, or load what lies elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mmft_core.errors import WeightsError

_IMPLEMENTATIONS = {"eager", "sdpa", "flex_attention", "grouped_mm", "batched_mm"}
"""Of attention and experts, those within torch; transformers downloads others from the Hub."""

_OTHER_NETWORKS = re.compile(r"backbone|backbone_config|use_\w*backbone|timm_\w+")
"""Settings by which a network loads another one by name."""

_TOKENIZER = re.compile(r"(?!Auto)\w*(Tokenizer(Fast)?|TokenizersBackend|MistralCommonBackend)")
_LABELS = {"id2label", "label2id"}
"""Settings that hold names which are anybody's, and no settings."""

_LIBRARIES = {"mecab_kwargs", "sudachi_kwargs", "jumanpp_kwargs"}
"""Settings of tokenizers that are passed on to libraries, which may load plugins by path."""


def check_config(folder: Path, backbones: Collection[str] = ()) -> None:
    """Check config.json and tokenizer_config.json, before transformers reads them.

    Args:
        backbones: types of networks that may be built inside of it, from settings in config.json
            alone.

    Raises:
        OSError, ValueError: one names code or another network, or cannot be read.
    """
    for key, value in _settings(_read(folder / "config.json")):
        if key.endswith("_implementation"):
            for name in value.values() if isinstance(value, dict) else (value,):
                if name is not None and name not in _IMPLEMENTATIONS:
                    raise ValueError(f"{key} = '{name}' names code of the Hub")
        inside = key == "backbone_config" and isinstance(value, dict)
        if inside and value.get("model_type") in backbones:
            continue  # The settings in it are looked at as well.
        if value and _OTHER_NETWORKS.fullmatch(key):
            raise ValueError(f"{key} names another network")
        _check_tokenizer_class(key, value)
    file = folder / "tokenizer_config.json"
    if file.is_file():
        for key, value in _settings(_read(file)):
            if value and key in _LIBRARIES:
                raise ValueError(f"{key} in {file.name} is for a library that may load code")
            _check_tokenizer_class(key, value)


def check_weights(folder: Path) -> None:
    """Check that a folder's weights are complete in themselves.

    Raises:
        WeightsError: it holds adapters, which transformers would load with whatever they name.
    """
    if (folder / "adapter_config.json").exists():
        raise WeightsError(
            f"{folder} holds adapters: adapter_config.json.",
            hint="Merge them into the weights (`merge_and_unload` of PEFT) and save the network, "
            "or remove the file to load the weights without them.",
        )


def _check_tokenizer_class(key: str, value: Any) -> None:
    if key == "tokenizer_class" and value and not _TOKENIZER.fullmatch(str(value)):
        raise ValueError(f"tokenizer_class = '{value}' is not a tokenizer class")


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _settings(tree: Any) -> Iterator[tuple[str, Any]]:
    """All settings of a tree of JSON, with those below them."""
    pending = [tree]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            yield from part.items()
            pending += (value for key, value in part.items() if key not in _LABELS)
        elif isinstance(part, list):
            pending += part

"""Checkpoints of transformers: found, checked and loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.models.auto import modeling_auto

from mmft_core.contracts import BackboneContext
from mmft_core.errors import WeightsError, first_line
from mmft_core.weights import LoadedWeights, fill, read_weights
from mmft_text.downloads import fetch
from mmft_text.families import Family, Kind
from mmft_text.quantization import quantization
from mmft_text.quiet import quietly

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

_TRUSTING_NOBODY: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Checkpoint:
    """Where a network's configuration and tokenizer are, and its weights.

    Attributes:
        folder: of config.json and the tokenizer.
        run: the run directory that holds the weights; None where they are in the folder.
    """

    folder: Path
    run: Path | None = None

    def config(self) -> PreTrainedConfig:
        try:
            with quietly():
                return AutoConfig.from_pretrained(self.folder, **_TRUSTING_NOBODY)
        except (OSError, ValueError, KeyError, TypeError) as error:
            file = self.folder / "config.json"
            raise WeightsError(f"{file} cannot be read: {first_line(error)}.") from None

    def tokenizer(self) -> Any:
        try:
            with quietly():
                tokenizer = AutoTokenizer.from_pretrained(self.folder, **_TRUSTING_NOBODY)
        except Exception as error:  # Whatever comes of parsing files that were cut short.
            raise WeightsError(
                f"The tokenizer in {self.folder} cannot be loaded: {first_line(error)}.",
                hint="The folder must hold tokenizer.json, or what transformers makes it from.",
            ) from None
        if not tokenizer.is_fast:
            raise WeightsError(
                f"The tokenizer in {self.folder} is not one that the library tokenizers can run.",
                hint="Choose a network whose folder holds tokenizer.json.",
            )
        return tokenizer


def find_checkpoint(
    context: BackboneContext, family: Family
) -> tuple[Checkpoint | None, LoadedWeights]:
    """Find what the user asked for; None for random weights.

    Raises:
        WeightsError: it was insisted on and cannot be had.
    """
    hub_id = family.hub_id
    return context.weights.find(
        published=(lambda: (Checkpoint(fetch(hub_id)), hub_id)) if hub_id else None,
        local=lambda path: _local(path, context.weights.choice),
    )


def check_fits(
    checkpoint: Checkpoint, config: PreTrainedConfig, tokenizer: Any, family: Family, kind: Kind
) -> None:
    """Check what can be known before the weights are read.

    Raises:
        WeightsError: the checkpoint is of another architecture than the backbone, or of another
            kind, or its parts do not fit together.
    """
    found = _kind(config)
    if not family.any_architecture and config.model_type != family.model_type:
        raise WeightsError(
            f"{checkpoint.folder} holds a network of type {config.model_type}, "
            f"but the backbone is of type {family.model_type}.",
            hint=f"Choose {_ANY[found]}, which takes any of its kind.",
        )
    if found != kind:
        raise WeightsError(
            f"{checkpoint.folder} holds {_CALLED[found]} (of type {config.model_type}), "
            f"but the backbone is {_CALLED[kind]}.",
            hint=f"Choose {_ANY[found]}.",
        )
    if not isinstance(getattr(config, "hidden_size", None), int):
        raise WeightsError(
            f"{checkpoint.folder} holds a network of type {config.model_type}, "
            "which is not one of texts alone."
        )
    if len(tokenizer) > getattr(config, "vocab_size", len(tokenizer)):
        raise WeightsError(
            f"The tokenizer in {checkpoint.folder} has {len(tokenizer)} tokens, "
            f"and the network knows {config.vocab_size}.",
            hint="Give a folder whose tokenizer belongs to its weights.",
        )


_ANY: dict[Kind, str] = {
    "encoder": "text-encoder",
    "causal": "causal-lm",
    "seq2seq": "seq2seq-lm",
}
_CALLED: dict[Kind, str] = {
    "encoder": "an encoder",
    "causal": "a causal language model",
    "seq2seq": "an encoder-decoder",
}


def _kind(config: PreTrainedConfig) -> Kind:
    """The kind of a network; BERT counts as an encoder although it could decode as well."""
    halves = modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    if config.is_encoder_decoder or config.model_type in halves:
        return "seq2seq"
    masked = config.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    causal = config.model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    decodes = causal and (not masked or getattr(config, "is_decoder", False))
    return "causal" if decodes else "encoder"


def load_network(
    auto: Any, checkpoint: Checkpoint, config: PreTrainedConfig, bits: int | None = None
) -> torch.nn.Module:
    """Load a network.

    Args:
        auto: one of transformers' Auto classes.
        bits: 4 or 8 to load it in so many; None for 32.

    Raises:
        WeightsError: the weights are missing or do not fit.
    """
    try:
        with quietly():
            network, told = auto.from_pretrained(
                checkpoint.folder,
                config=config,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                quantization_config=quantization(bits),
                **_TRUSTING_NOBODY,
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise WeightsError(
            f"The weights in {checkpoint.folder} cannot be loaded: {first_line(error)}.",
            hint="They must be safetensors; nothing else is loaded.",
        ) from None
    missing = sorted(k for k in told["missing_keys"] if "pooler" not in k)
    if missing:
        raise WeightsError(
            f"The weights in {checkpoint.folder} do not fit a {config.model_type} network: "
            f"'{missing[0]}' is missing ({len(missing)} tensors in all)."
        )
    return network  # type: ignore[no-any-return]


def fill_from_run(backbone: torch.nn.Module, run: Path) -> None:
    """Give a text backbone the weights of an earlier run's.

    Raises:
        WeightsError: they do not fit.
    """
    given = dict(read_weights(run, "text"))
    own = backbone.state_dict()
    # Of weights that share memory, as those of embeddings and output, a run keeps one.
    kept = {tensor.data_ptr(): name for name, tensor in own.items() if name in given}
    for name in own.keys() - given.keys():
        if own[name].data_ptr() in kept:
            given[name] = given[kept[own[name].data_ptr()]]
    fill(backbone, given, str(run))


def make_network(auto: Any, config: PreTrainedConfig) -> torch.nn.Module:
    """Make a network with random weights."""
    with quietly():
        return auto.from_config(config, dtype=torch.float32, trust_remote_code=False)  # type: ignore[no-any-return]


def _local(path: Path, given: str) -> Checkpoint:
    """A folder of transformers, an earlier run, or a Hub id."""
    if (path / "config.json").is_file():
        return Checkpoint(path)
    for run in (path / "model", path):
        assets = run / "assets" / "text"
        if (assets / "config.json").is_file():
            return Checkpoint(assets, run)
    if not path.exists() and _HUB_ID.fullmatch(given):
        return Checkpoint(fetch(given))
    if path.exists():
        raise WeightsError(
            f"There is no config.json in {path}.",
            hint="Give a folder as transformers saves it, with config.json, safetensors and "
            "tokenizer, or a run directory.",
        )
    raise WeightsError(
        f"There are no weights at {path}.",
        hint="Give a folder, a run directory, a Hub id, or auto, pretrained, none.",
    )

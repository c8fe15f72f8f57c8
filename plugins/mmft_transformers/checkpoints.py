"""Checkpoints of transformers: found and loaded."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig

from mmft_core.contracts import BackboneContext
from mmft_core.errors import WeightsError, first_line
from mmft_core.weights import HUB_ID, LoadedWeights, WeightsRequest, fill, read_weights
from mmft_transformers.downloads import fetch
from mmft_transformers.narrowing import check_config, check_weights
from mmft_transformers.quiet import quietly

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

    def preprocessing(self) -> Mapping[str, Any]:
        """The settings of transformers' preprocessing; none where the folder has none."""
        for name in ("processor_config.json", "preprocessor_config.json"):
            file = self.folder / name
            if file.is_file():
                try:
                    content = json.loads(file.read_text(encoding="utf-8"))
                    return dict(content.get("feature_extractor", content))
                except (OSError, ValueError, TypeError, AttributeError) as error:
                    raise WeightsError(f"{file} cannot be read: {first_line(error)}.") from None
        return {}

    def config(self, backbones: Collection[str] = ()) -> PreTrainedConfig:
        """Args:
        backbones: types of networks that may be part of it; see `check_config`.
        """
        try:
            check_config(self.folder, backbones)
            with quietly():
                return AutoConfig.from_pretrained(self.folder, **_TRUSTING_NOBODY)
        except Exception as error:  # It may hold anything, and classes differ in what they check.
            file = self.folder / "config.json"
            raise WeightsError(f"{file} cannot be read: {first_line(error)}.") from None

    def tokenizer(self, *, fast: bool = True) -> Any:
        """Args:
        fast: refuse one that is written in Python, which is no hindrance to a few characters.

        Raises:
            WeightsError: it cannot be loaded.
        """
        try:
            check_config(self.folder)
            with quietly():
                tokenizer = AutoTokenizer.from_pretrained(self.folder, **_TRUSTING_NOBODY)
        except Exception as error:  # Whatever comes of parsing files that were cut short.
            raise WeightsError(
                f"The tokenizer in {self.folder} cannot be loaded: {first_line(error)}.",
                hint="The folder must hold tokenizer.json, or what transformers makes it from.",
            ) from None
        if fast and not tokenizer.is_fast:
            raise WeightsError(
                f"The tokenizer in {self.folder} is not one that the library tokenizers can run.",
                hint="Choose a network whose folder holds tokenizer.json.",
            )
        return tokenizer


def find_checkpoint(
    context: BackboneContext, hub_id: str | None, *, tokenizer: bool = True
) -> tuple[Checkpoint | None, LoadedWeights]:
    """Find what the user asked for; None for random weights.

    Args:
        hub_id: of the published weights; None where there are none.
        tokenizer: whether a download without one is incomplete.

    Raises:
        WeightsError: it was insisted on and cannot be had.
    """
    weights = context.weights
    return weights.find(
        published=(lambda: (Checkpoint(fetch(hub_id, tokenizer, weights.values)), hub_id))
        if hub_id
        else None,
        local=lambda path: _local(path, weights, tokenizer),
    )


def load_network(
    auto: Any,
    checkpoint: Checkpoint,
    config: PreTrainedConfig,
    quantization: Any = None,
    *,
    writes: bool = True,
) -> torch.nn.Module:
    """Load a network.

    Args:
        auto: a class of transformers with `from_pretrained`.
        quantization: transformers' settings for weights in few bits; None for 32.
        writes: whether its output layer is used; else it may be missing, and is filled with zeros.

    Raises:
        WeightsError: the weights are missing or do not fit.
    """
    check_weights(checkpoint.folder)
    try:
        with quietly():
            network, told = auto.from_pretrained(
                checkpoint.folder,
                config=config,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                quantization_config=quantization,
                **_TRUSTING_NOBODY,
            )
    except Exception as error:  # Whatever comes of files of any content.
        raise WeightsError(
            f"The weights in {checkpoint.folder} cannot be loaded: {first_line(error)}.",
            hint="They must be safetensors; nothing else is loaded.",
        ) from None
    missing = sorted(k for k in told["missing_keys"] if "pooler" not in k)
    if missing and not writes:
        missing = _without_output(network, missing)
    if missing:
        raise WeightsError(
            f"The weights in {checkpoint.folder} do not fit a {config.model_type} network: "
            f"'{missing[0]}' is missing ({len(missing)} tensors in all)."
        )
    _fix_what_is_fixed(network)
    return network  # type: ignore[no-any-return]


def _fix_what_is_fixed(network: Any) -> None:
    """Mark as fixed the parameters that networks of its class fix, such as sinusoids; loading marks
    all parameters as trained."""
    with torch.device("meta"), quietly():
        plain = type(network)(network.config)
    for name, parameter in plain.named_parameters():
        if not parameter.requires_grad:
            network.get_parameter(name).requires_grad_(False)


def _without_output(network: Any, missing: list[str]) -> list[str]:
    """Those that are not of the output layer, which is filled with zeros."""
    output = network.get_output_embeddings()
    own = {} if output is None else {id(p): p for p in output.parameters()}
    named = dict(network.named_parameters())
    with torch.no_grad():
        for name in missing:
            if id(named.get(name)) in own:
                named[name].zero_()
    return [name for name in missing if id(named.get(name)) not in own]


def fill_from_run(backbone: torch.nn.Module, run: Path, modality: str) -> None:
    """Give a backbone the weights of an earlier run's.

    Raises:
        WeightsError: they do not fit.
    """
    given = dict(read_weights(run, modality))
    own = backbone.state_dict()
    # Of weights that share memory, as those of embeddings and output, a run keeps one.
    kept = {tensor.data_ptr(): name for name, tensor in own.items() if name in given}
    for name in own.keys() - given.keys():
        if own[name].data_ptr() in kept:
            given[name] = given[kept[own[name].data_ptr()]]
    fill(backbone, given, str(run))


def make_network(auto: Any, config: PreTrainedConfig) -> torch.nn.Module:
    """Make a network with random weights.

    Args:
        auto: one of transformers' Auto classes.

    Raises:
        WeightsError: no network is of these settings.
    """
    try:
        with quietly():
            return auto.from_config(config, dtype=torch.float32, trust_remote_code=False)  # type: ignore[no-any-return]
    except Exception as error:  # Whatever comes of settings of any content.
        raise WeightsError(
            f"config.json describes no {config.model_type} network: {first_line(error)}."
        ) from None


def _local(path: Path, weights: WeightsRequest, tokenizer: bool) -> Checkpoint:
    """A folder of transformers, an earlier run, or a Hub id."""
    if (path / "config.json").is_file():
        return Checkpoint(path)
    for run in (path / "model", path):
        assets = run / "assets" / weights.modality
        if (assets / "config.json").is_file():
            return Checkpoint(assets, run)
    if not path.exists() and HUB_ID.fullmatch(weights.choice):
        return Checkpoint(fetch(weights.choice, tokenizer, weights.values))
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

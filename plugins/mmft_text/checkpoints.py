"""Checkpoints of transformers: found on the Hub, in a folder or in an earlier run, and loaded."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.utils import logging

from mmft_core.contracts import BackboneContext
from mmft_core.errors import ConfigError, WeightsError
from mmft_core.weights import LoadedWeights, ensure_reachable, fill, read_weights
from mmft_text.families import Family

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


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
                return AutoConfig.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"{self.folder / 'config.json'} cannot be read: {error}") from None

    def tokenizer(self) -> Any:
        try:
            with quietly():
                return AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(
                f"The tokenizer in {self.folder} cannot be loaded: {_line(error)}.",
                hint="The folder must hold tokenizer.json, or what transformers makes it from.",
            ) from None


def find_checkpoint(
    context: BackboneContext, family: Family
) -> tuple[Checkpoint | None, LoadedWeights]:
    """Find what the user asked for; None for random weights.

    Raises:
        WeightsError: it was insisted on and cannot be had.
    """
    hub_id = family.hub_id
    return context.weights.find(
        published=(lambda: (_fetch(hub_id), hub_id)) if hub_id else None,
        local=lambda path: _local(path, context.weights.choice),
    )


def check_architecture(checkpoint: Checkpoint, config: PreTrainedConfig, family: Family) -> None:
    """Raises:
    WeightsError: the checkpoint is of another architecture than the backbone.
    """
    if not family.any_architecture and config.model_type != family.model_type:
        raise WeightsError(
            f"{checkpoint.folder} holds a network of type {config.model_type}, "
            f"but the backbone is of type {family.model_type}.",
            hint="Choose text-encoder, causal-lm or seq2seq-lm, which take any of their kind.",
        )


def load_network(
    auto: Any, checkpoint: Checkpoint, config: PreTrainedConfig, bits: int | None = None
) -> torch.nn.Module:
    """Load a network.

    Args:
        auto: one of transformers' Auto classes.
        bits: 4 or 8 to load it in so many; None for 32.

    Raises:
        WeightsError: the weights are missing or do not fit.
        ConfigError: this machine has no network of so few bits.
    """
    if checkpoint.run is not None:
        network = make_network(auto, config)
        state = read_weights(checkpoint.run, "text")
        own = {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
        tied = {k: v for k, v in network.state_dict().items() if k not in own}
        shared = {v.data_ptr() for k, v in network.state_dict().items() if k in own}
        own |= {k: v for k, v in tied.items() if v.data_ptr() in shared}
        fill(network, own, str(checkpoint.run))
        return network
    try:
        with quietly():
            network, told = auto.from_pretrained(
                checkpoint.folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                quantization_config=_quantization(bits),
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise WeightsError(
            f"The weights in {checkpoint.folder} cannot be loaded: {_line(error)}.",
            hint="They must be safetensors; nothing else is loaded.",
        ) from None
    missing = sorted(k for k in told["missing_keys"] if "pooler" not in k)
    if missing:
        raise WeightsError(
            f"The weights in {checkpoint.folder} do not fit a {config.model_type} network: "
            f"'{missing[0]}' is missing ({len(missing)} tensors in all)."
        )
    return network  # type: ignore[no-any-return]


def make_network(auto: Any, config: PreTrainedConfig) -> torch.nn.Module:
    """Make a network with random weights."""
    with quietly():
        return auto.from_config(config, dtype=torch.float32)  # type: ignore[no-any-return]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without transformers' progress bars, and without its remarks about what we do on purpose."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _local(path: Path, given: str) -> Checkpoint:
    """A folder of transformers, an earlier run, or a Hub id."""
    if (path / "config.json").is_file():
        return Checkpoint(path)
    for run in (path / "model", path):
        assets = run / "assets" / "text"
        if (assets / "config.json").is_file():
            return Checkpoint(assets, run)
    if not path.exists() and _HUB_ID.fullmatch(given):
        return _fetch(given)
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


def _fetch(hub_id: str) -> Checkpoint:
    """Download from the Hub, or find in its cache.

    Raises:
        WeightsError: neither is possible.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    def download(local: bool) -> Checkpoint:
        folder = snapshot_download(
            hub_id, allow_patterns=list(_FILES), ignore_patterns=["*/*"], local_files_only=local
        )
        return Checkpoint(Path(folder))

    try:
        cached = download(local=True)
        if any(cached.folder.glob("*.safetensors")):
            return cached
    except LocalEntryNotFoundError:
        pass
    ensure_reachable(constants.ENDPOINT)
    try:
        with quietly():
            return download(local=False)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise WeightsError(f"{hub_id} cannot be downloaded: {_line(error)}.") from None


def _quantization(bits: int | None) -> Any:
    if bits is None:
        return None
    if not torch.cuda.is_available():
        raise ConfigError(
            f"backbone.text.load_bits = {bits} needs a CUDA GPU, which this machine does not have.",
            hint="Leave it out to load in 32 bits.",
        )
    if not transformers.utils.is_bitsandbytes_available():
        raise ConfigError(
            f"backbone.text.load_bits = {bits} needs bitsandbytes, which is not installed.",
            hint="Install it with: pip install 'mmft[quantize]'",
        )
    return transformers.BitsAndBytesConfig(load_in_4bit=bits == 4, load_in_8bit=bits == 8)


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")

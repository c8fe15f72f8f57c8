"""Networks of the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from mmft_core.errors import WeightsError, first_line
from mmft_core.weights import ensure_reachable
from mmft_transformers.quiet import quietly

_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
_WEIGHTS = "*.safetensors"
_NOT_THESE = ("*/*", "consolidated*")  # Other formats of the same weights.


def fetch(hub_id: str, tokenizer: bool = True, values: bool = True) -> Path:
    """Download a network from the Hub, or find it in the cache.

    Args:
        tokenizer: whether it has one.
        values: whether its weights are wanted, and not only what stands beside them.

    Returns:
        the folder of its config.json, tokenizer and safetensors.

    Raises:
        WeightsError: neither is possible.
    """

    def download(local: bool) -> Path:
        folder = snapshot_download(
            hub_id,
            allow_patterns=[*_FILES, *([_WEIGHTS] if values else [])],
            ignore_patterns=list(_NOT_THESE),
            local_files_only=local,
        )
        return Path(folder)

    with contextlib.suppress(LocalEntryNotFoundError):
        cached = download(local=True)
        if _is_whole(cached, tokenizer, values):
            return cached
    # Asked for is what is needed: a mirror need not have a front page.
    ensure_reachable(f"{constants.ENDPOINT}/{hub_id}/resolve/main/config.json")
    try:
        with quietly():
            return download(local=False)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise WeightsError(f"{hub_id} cannot be downloaded: {first_line(error)}.") from None


def _is_whole(folder: Path, tokenizer: bool, values: bool) -> bool:
    """Whether a folder of the cache holds all that is needed; a download may have been cut off."""
    index = folder / "model.safetensors.index.json"
    shards = {"model.safetensors"}
    if index.is_file():
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, LookupError, TypeError, AttributeError):
            return False
    tokenizers = ("tokenizer*", "vocab*", "spiece.model", "tekken.json")
    needed = {"config.json", *(shards if values else ())}
    there = all((folder / name).is_file() for name in needed)
    return there and (not tokenizer or any(any(folder.glob(name)) for name in tokenizers))

"""Requests for a backbone's weights, and errors if they are not available."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mmft_core.errors import WeightsError, first_line
from mmft_core.utils.digests import check_digests
from mmft_core.utils.files import user_path

StateDict = Mapping[str, Tensor]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """What a backbone's weights are; kept in results, report and model card.

    Attributes:
        source: "published", "random", "run" (reloaded by mmft), or a path.
        detail: which published weights, or why there are none.
        digest: SHA-256 of the weights, if models are kept without them (see
            `mmft_core.engine.kept_weights`).
    """

    source: str
    detail: str = ""
    fell_back: bool = False
    digest: str = ""


_NONE_PUBLISHED = "none are published for this backbone."

HUB_ID = re.compile(
    r"(?!.*(?:--|\.\.|\.(?:git|pt|pth|safetensors)$))\b[\w.-]{1,96}\b/\b[\w.-]{1,96}\b"
)
"""USER/NAME, as huggingface_hub checks it; what ends like a file of weights is a path."""


def hub_id(loaded: LoadedWeights) -> str:
    """The id that weights have on the Hugging Face Hub; empty for those from elsewhere."""
    named = loaded.source
    if named == "published":  # Then the detail begins with it.
        named = loaded.detail.partition(" ")[0]
    return named if HUB_ID.fullmatch(named) and not Path(named).exists() else ""


def named_weights(loaded: LoadedWeights) -> str:
    """The id of weights on the Hub, or their path, or another name of published ones."""
    return hub_id(loaded) or (loaded.detail if loaded.source == "published" else loaded.source)


@dataclass(frozen=True)
class WeightsRequest:
    """What the user asked for: "auto", "pretrained", "none", or a path.

    "run" is what a finished run's model is reloaded with: everything is in its own file.

    Attributes:
        values: whether the weights themselves are wanted; else only what stands beside them, such
            as a configuration and a tokenizer, for a network on the meta device.
    """

    choice: str = "auto"
    modality: str = ""
    values: bool = True

    def load(
        self,
        module: nn.Module,
        *,
        published: Callable[[], tuple[StateDict, str]] | None,
        head: tuple[str, ...] = (),
    ) -> LoadedWeights:
        """Fill `module` with the weights that were asked for.

        Args:
            published: fetches the published weights and a name for them; None if there are none,
                and "auto" starts from random ones without a notice.
            head: prefixes of the published classifier's keys, which the module does not have.

        Raises:
            WeightsError: they were explicitly requested and are not available, or do not fit the
                module.
        """
        if published is None and self.choice == "auto":
            return LoadedWeights(source="random", detail=_NONE_PUBLISHED)
        state, loaded = self.find(
            published=published, local=lambda path: read_weights(path, self.modality)
        )
        if state is not None:
            fill(module, state, loaded.detail or loaded.source, head)
        return loaded

    def find(
        self, *, published: Callable[[], tuple[T, str]] | None, local: Callable[[Path], T]
    ) -> tuple[T | None, LoadedWeights]:
        """Find what was asked for, in whatever form: a state dict, a folder of files.

        Args:
            published: fetches what is published, and a name for it; None if nothing is.
            local: loads from a path that the user gave.

        Returns:
            what was found, or None to start from random weights (or, with "run", to be filled
            by the run's own), and what to tell about it.

        Raises:
            WeightsError: it was explicitly requested and is not available.
        """
        if self.choice in ("none", "run"):
            return None, LoadedWeights(source="random" if self.choice == "none" else "run")
        if self.choice not in ("auto", "pretrained"):
            path = user_path(self.choice)
            return local(_published_model(path) or path), LoadedWeights(source=str(path))
        if published is None and self.choice == "auto":
            return None, LoadedWeights(source="random", detail=_NONE_PUBLISHED, fell_back=True)
        try:
            if published is None:
                raise WeightsError("No weights are published for this backbone.")
            found, name = published()
        except WeightsError as error:
            if self.choice == "pretrained":
                raise WeightsError(
                    error.message,
                    hint="Give --weights PATH for weights of your own, or --weights none to start "
                    "from random weights.",
                ) from None
            return None, LoadedWeights(source="random", detail=error.message, fell_back=True)
        return found, LoadedWeights(source="published", detail=name)


def _published_model(path: Path) -> Path | None:
    """The downloaded model that `mmft publish` pushed to the Hub, if the path is its id."""
    if path.exists() or not HUB_ID.fullmatch(str(path)):
        return None
    from mmft_core.weights.hub import download

    return download(str(path))


def fill(module: nn.Module, state: StateDict, source: str, head: tuple[str, ...] = ()) -> None:
    """Load a state dict that must have every key of the module and no others but its head's.

    Raises:
        WeightsError: it does not fit; names a key.
    """
    own = module.state_dict()
    given = {k: v for k, v in _unwrap(state, own).items() if not k.startswith(head or ("\0",))}
    missing, strange = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing or strange:
        kind, key = ("lacks", missing[0]) if missing else ("also holds", strange[0])
        raise WeightsError(
            f"{source} does not fit the backbone: it {kind} '{key}' "
            f"({len(missing)} tensors missing, {len(strange)} unknown).",
            hint="Choose the backbone that these weights belong to.",
        )
    for key, value in given.items():
        if value.shape != own[key].shape:
            raise WeightsError(
                f"{source} does not fit the backbone: '{key}' has shape {tuple(value.shape)}, "
                f"not {tuple(own[key].shape)}."
            )
    module.load_state_dict(given)


def _unwrap(state: StateDict, own: StateDict) -> StateDict:
    """Drop a prefix that all keys got because the network was saved inside another module."""
    if not own or own.keys() & state.keys():
        return state
    first = next(iter(own))
    prefixes = [key.removesuffix(first) for key in state if key.endswith("." + first)]
    for prefix in prefixes:
        if all(prefix + key in state for key in own):
            return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return state


def read_weights(path: Path, modality: str = "") -> StateDict:
    """Read a state dict from a safetensors file, a .pt file, or a run directory.

    Of a run directory (or its model folder), those of its backbone for `modality`. Nothing is
    unpickled but tensors.

    Raises:
        WeightsError: there is no such file or it holds something else.
    """
    if path.is_dir():
        return _run_weights(path, modality)
    if not path.is_file():
        raise WeightsError(
            f"There are no weights at {path}.",
            hint="Give a .safetensors or .pt file, a run directory, or auto, pretrained, none.",
        )
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # It would have executed code.
        raise WeightsError(
            f"{path} holds more than tensors and is not loaded: {first_line(error)}.",
            hint="Save only the state dict, best as safetensors.",
        ) from None
    except Exception as error:  # torch may raise anything if a file is something else.
        raise _unreadable(path, error) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"{path} is not a state dict: it does not map names to tensors.")
    return state


def check_finite(module: nn.Module) -> None:
    """Check that weights are finite numbers. Other buffers may hold infinities, as masks do.

    Raises:
        ValueError: some are not; names a tensor.
    """
    for name, tensor in module.state_dict(keep_vars=True).items():
        plain = tensor.is_floating_point() and tensor.element_size() > 1 and not tensor.is_meta
        # A sum, which takes a fraction of the time, is finite if all of its terms are.
        if not plain or tensor.sum(dtype=torch.float32).isfinite():
            continue
        if tensor.isnan().any():
            raise ValueError(f"'{name}' holds NaN")
        if isinstance(tensor, nn.Parameter) and tensor.isinf().any():
            raise ValueError(f"'{name}' holds infinite values")


def _read_safetensors(path: Path) -> StateDict:
    try:
        check_digests(path.parent, path.name)
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: BaseException) -> WeightsError:
    return WeightsError(f"{path} cannot be read as weights: {first_line(error)}.")


def _run_weights(path: Path, modality: str) -> StateDict:
    for file in (path / "model" / "model.safetensors", path / "model.safetensors"):
        if file.is_file():
            if (file.parent / "adapter" / modality).is_dir():
                raise WeightsError(
                    f"The model in {path} holds adapters without the weights below them.",
                    hint="Start from its base weights, or repeat the run with "
                    "engine.lora.save = merged.",
                )
            state, prefix = _read_safetensors(file), f"backbones.{modality}."
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            return own or state
    raise WeightsError(
        f"There are no weights in the folder {path}.",
        hint="Expected model/model.safetensors, as in a finished run's directory.",
    )

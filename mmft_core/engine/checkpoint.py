"""Checkpoints: the whole state of a training, written atomically and read without unpickling.

A checkpoint is a folder `step-N` with two files: `tensors.safetensors` and `state.json`, the tree
of plain values in which tensors are replaced by references. Everything random is a function of
the seed and the step (see `mmft_core.loading.prepared`), so no generator's state is needed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmft_core.errors import CheckpointError
from mmft_core.utils.files import replacing_folder

T = TypeVar("T")

FORMAT = 1
KEEP = 2
"""Checkpoints that are kept: if the newest is damaged, the one before it is used."""

_TENSORS, _STATE, _REFERENCE = "tensors.safetensors", "state.json", "$tensor"
_FOLDER = re.compile(r"step-(\d+)")
DAMAGE = (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError)


def save(folder: Path, step: int, state: Mapping[str, Any]) -> None:
    """Write a checkpoint and remove all but the last `KEEP`.

    Args:
        state: nested dicts and lists of tensors, numbers, strings, booleans and None. Integer
            keys are kept as such.

    Raises:
        StorageError: it cannot be written; earlier ones stay.
    """
    tensors: dict[str, Tensor] = {}
    tree = _detach(state, "", tensors)
    with replacing_folder(folder / f"step-{step}") as temporary:
        save_file(_unshare(tensors), temporary / _TENSORS)
        digest = _digest(temporary / _TENSORS, tree)
        content = {"format": FORMAT, "step": step, "sha256": digest, "state": tree}
        (temporary / _STATE).write_text(json.dumps(content), encoding="utf-8")
    for _, old in found(folder)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)


def load_latest(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Read the newest sound checkpoint.

    Returns:
        Its state, and a remark for each newer one that is damaged.

    Raises:
        CheckpointError: there is no sound one.
    """
    return newest_sound(folder, _load)


def newest_sound(folder: Path, load: Callable[[Path], T]) -> tuple[T, list[str]]:
    """Load the newest checkpoint that can be loaded, in any format.

    Args:
        load: raises any of `DAMAGE` if a checkpoint is not what was written.

    Returns:
        What `load` returned, and a remark for each newer checkpoint that is damaged.

    Raises:
        CheckpointError: there is no sound one.
    """
    remarks: list[str] = []
    for step, path in reversed(found(folder)):
        try:
            return load(path), remarks
        except DAMAGE as error:
            remarks.append(f"The checkpoint of step {step} is damaged ({error}).")
    raise no_usable(folder, remarks)


def no_usable(folder: Path, remarks: list[str]) -> CheckpointError:
    """The error for a folder without a usable checkpoint."""
    reason = " ".join(remarks) or "None was written yet."
    return CheckpointError(
        f"There is no usable checkpoint in {folder}. {reason}",
        hint="Repeat the run in a new folder, with -c and its config.toml.",
    )


def _load(path: Path) -> dict[str, Any]:
    content = json.loads((path / _STATE).read_text(encoding="utf-8"))
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']}, not {FORMAT}")
    if _digest(path / _TENSORS, content["state"]) != content["sha256"]:
        raise ValueError("its content does not match its checksum")
    state = _attach(content["state"], load_file(path / _TENSORS))
    if not isinstance(state, dict):
        raise ValueError("it holds no state")
    return state


def found(folder: Path) -> list[tuple[int, Path]]:
    """The checkpoints of a folder with their steps, the oldest first."""
    matches = ((_FOLDER.fullmatch(p.name), p) for p in folder.glob("step-*"))
    return sorted((int(match[1]), p) for match, p in matches if match)


def _detach(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Replace tensors by references to their names: a number, then the keys, for the reader."""
    if isinstance(value, Tensor):
        name = f"{len(tensors)}{name}"
        tensors[name] = value.detach().cpu().contiguous()
        return {_REFERENCE: name}
    if isinstance(value, Mapping):
        return [
            "dict",
            [[k, _detach(v, f"{name}/{k}", tensors)] for k, v in value.items()],
        ]
    if isinstance(value, list | tuple):
        return ["list", [_detach(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]]
    return value


def _attach(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        return tensors[value[_REFERENCE]]
    if isinstance(value, list):
        kind, items = value
        if kind == "dict":
            return {k: _attach(v, tensors) for k, v in items}
        return [_attach(v, tensors) for v in items]
    return value


def _unshare(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory with another, as tied weights do; safetensors refuses them."""
    uses = Counter(t.untyped_storage().data_ptr() for t in tensors.values())
    return {
        name: t.clone() if uses[t.untyped_storage().data_ptr()] > 1 else t
        for name, t in tensors.items()
    }


def _digest(path: Path, tree: Any) -> str:
    """The checksum of both files: the tensors' bytes, and the tree."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps(tree).encode())
    return digest.hexdigest()

"""Checkpoints that all processes write together and any number of processes can read.

They use torch's distributed checkpoints in safetensors: each file says which part of which tensor
it holds. Like other checkpoints they are a folder `step-N` with checksums, written under a
temporary name and renamed, and nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)

from mmft_core.distributed import comm
from mmft_core.engine.checkpoint import KEEP, found, newest_sound, no_usable
from mmft_core.utils.files import replacing_folder, sha256, storage_errors

FORMAT = 2
_STATE, _SUFFIX = "state.json", "*.safetensors"


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Any) -> None:
    """Write a checkpoint, on all processes together, and remove all but the last few.

    Args:
        tensors: plain ones, which are equal on all processes, and sharded ones.
        state: plain values for JSON, equal on all processes.

    Raises:
        StorageError: it cannot be written; earlier ones stay.
    """
    final = folder / f"step-{step}"
    with _begun(final) as temporary:
        with storage_errors(final), _causes():
            state_dict_saver.save(
                dict(tensors),
                storage_writer=HuggingFaceStorageWriter(str(temporary), save_distributed=True),
                no_dist=not comm.several(),
            )
        files = _digests(temporary)
        told = {"sha256": _digest(files, state), "files": files, "state": state}
        content = {"format": FORMAT, "step": step, **told}
        if comm.is_main():
            with storage_errors(final):
                (temporary / _STATE).write_text(json.dumps(content), encoding="utf-8")
    if comm.is_main():
        for _, old in found(folder)[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)


def load_latest(folder: Path) -> tuple[Path, Any, list[str]]:
    """Find the newest sound checkpoint.

    Returns:
        its folder, for `read`; its state; and a remark for each newer one that is damaged.

    Raises:
        CheckpointError: there is no sound one.
    """
    (path, state), remarks = newest_sound(folder, _sound)
    return path, state, remarks


def read(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill tensors from a checkpoint, however they are sharded now.

    Raises:
        CheckpointError: it has other tensors.
    """
    try:
        state_dict_loader.load(
            dict(tensors),
            storage_reader=HuggingFaceStorageReader(str(path)),
            no_dist=not comm.several(),
        )
    except (CheckpointException, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise no_usable(path, [f"It belongs to another model: {error}"]) from None


def _sound(path: Path) -> tuple[Path, Any]:
    """A checkpoint and its state, if both are undamaged."""
    content = json.loads((path / _STATE).read_text(encoding="utf-8"))
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']}, not {FORMAT}")
    files, state = content["files"], content["state"]
    if _digests(path) != files or _digest(files, state) != content["sha256"]:
        raise ValueError("its content does not match its checksums")
    return path, state


def _digest(files: Mapping[str, str], state: Any) -> str:
    """The checksum of a checkpoint's state."""
    return hashlib.sha256(json.dumps([files, state]).encode()).hexdigest()


def _digests(path: Path) -> dict[str, str]:
    """The checksum of each file; each process reads its share of them."""
    files = comm.from_main(lambda: sorted(file.name for file in path.glob(_SUFFIX)))
    own = {name: sha256(path / name) for name in comm.share(files)}
    return {name: digest for part in comm.gather(own) for name, digest in part.items()}


@contextlib.contextmanager
def _begun(final: Path) -> Iterator[Path]:
    """A folder that all processes write to; the main one renames it at the end."""
    if not comm.is_main():
        yield comm.from_main(lambda: final)
        comm.wait()
        return
    with replacing_folder(final) as temporary:
        yield comm.from_main(lambda: temporary)
    comm.wait()


@contextlib.contextmanager
def _causes() -> Iterator[None]:
    """Raise the underlying write error instead of torch's wrapper."""
    try:
        yield
    except CheckpointException as error:
        for cause, _ in error.failures.values():
            if isinstance(cause, OSError):
                raise cause from None
        raise

"""Features on disk: files that are written once, completely, and memory-mapped for reading.

A store is a folder of safetensors files with a few thousand samples each. A sample is found by its
key, a digest of its input. So different data sets and splits can share a store, and several
processes can add to it at once; what two of them compute is then stored twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmft_core.contracts import Features, Tensors
from mmft_core.data.splits import Indices
from mmft_core.features.identity import digest
from mmft_core.utils.digests import DamagedFileError, check_seal, seal
from mmft_core.utils.files import replacing, write_json

Keys: TypeAlias = np.ndarray[Any, np.dtype[np.bytes_]]
"""(n,) of 16 bytes each; `NO_KEY` for a sample that has no such input."""

KEY_BYTES = 16
NO_KEY = b""
MISSING = -1
_IDENTITY = "identity.json"


class FeatureStore:
    """The features of one backbone, by sample.

    Attributes:
        folder: holds them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reload()

    @classmethod
    def open(cls, root: Path, identity: Mapping[str, Any]) -> FeatureStore:
        """The store of a backbone below `root`, made if there is none.

        Raises:
            StorageError: it cannot be written.
        """
        folder = root / digest(identity)
        if not (folder / _IDENTITY).is_file():
            write_json(folder / _IDENTITY, identity)
        return cls(folder)

    @classmethod
    def find_folder(cls, root: Path, identity: Mapping[str, Any]) -> FeatureStore | None:
        """The store of a backbone, if there is one."""
        folder = root / digest(identity)
        return cls(folder) if (folder / _IDENTITY).is_file() else None

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Path]]:
        return type(self), (self.folder,)  # Another process maps the files itself.

    def reload(self) -> None:
        """Look for files anew."""
        self._files = [
            file for file in map(_read, sorted(self.folder.glob("*.safetensors"))) if file
        ]
        self._starts = np.cumsum([0, *(len(file["keys"]) for file in self._files)])
        found = [_as_keys(file["keys"]) for file in self._files]
        keys = np.concatenate(found) if found else np.empty(0, dtype=f"S{KEY_BYTES}")
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def clear(self) -> None:
        """Drop everything."""
        for file in self.folder.glob("*.safetensors"):
            file.unlink(missing_ok=True)
        self.reload()

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))

    def find(self, keys: Keys) -> Indices:
        """Where the samples are (n,), `MISSING` for those that are not stored."""
        if not len(self._keys):
            return np.full(len(keys), MISSING, dtype=np.int64)
        near = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return np.where(self._keys[near] == keys, self._order[near], MISSING)

    def __getitem__(self, place: int) -> Tensors:
        """The features of one sample: "pooled" (D,) and, if they are kept, "sequence" (T, D)."""
        number = int(np.searchsorted(self._starts, place, side="right")) - 1
        file, row = self._files[number], place - int(self._starts[number])
        features = {"pooled": file["pooled"][row]}
        if "sequence" in file:
            first = int(file["ends"][row - 1]) if row else 0
            features["sequence"] = file["sequence"][first : int(file["ends"][row])]
        return features

    def write(self, keys: Keys, features: Sequence[Features]) -> None:
        """Add samples as a file of their own; `reload` finds them.

        Args:
            features: in batches, one after the other; sequences are kept if they have any.

        Raises:
            StorageError: they cannot be written.
        """
        tensors = {
            "keys": torch.from_numpy(np.frombuffer(keys.tobytes(), np.uint8).copy()),
            "pooled": torch.cat([f.pooled for f in features]),
        }
        tensors["keys"] = tensors["keys"].reshape(len(keys), KEY_BYTES)
        if features[0].sequence is not None:
            rows = [row for f in features for row in _rows(f)]
            tensors["sequence"] = torch.cat(rows)
            tensors["ends"] = torch.tensor([len(row) for row in rows]).cumsum(0)
        file = self.folder / f"{secrets.token_hex(8)}.safetensors"
        with replacing(file) as temporary:
            save_file(tensors, temporary)
        seal(file)


def _rows(features: Features) -> list[torch.Tensor]:
    """Each sample's sequence (T, D), without padding."""
    assert features.sequence is not None
    if features.mask is None:
        return list(features.sequence)
    return [row[mask] for row, mask in zip(features.sequence, features.mask, strict=True)]


def _read(file: Path) -> Tensors | None:
    """Map a file; None if it is damaged or has just been removed, so it is computed again."""
    try:
        check_seal(file)
        tensors = load_file(file)
    except (OSError, DamagedFileError, SafetensorError):
        return None
    return tensors if _is_sound(tensors) else None


def _is_sound(tensors: Tensors) -> bool:
    """Whether a file holds what `write` puts there."""
    keys, pooled = tensors.get("keys"), tensors.get("pooled")
    if keys is None or pooled is None or keys.dtype != torch.uint8 or pooled.ndim != 2:
        return False
    sequence, ends = tensors.get("sequence"), tensors.get("ends")
    if sequence is not None and (
        ends is None or len(ends) != len(keys) or (len(ends) and int(ends[-1]) != len(sequence))
    ):
        return False
    return keys.shape == (len(pooled), KEY_BYTES)


def _as_keys(rows: torch.Tensor) -> Keys:
    return np.frombuffer(rows.numpy().tobytes(), dtype=f"S{KEY_BYTES}")

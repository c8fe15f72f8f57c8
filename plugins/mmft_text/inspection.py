"""What `mmft data check` learns of a text."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping

import numpy as np

from mmft_core.contracts import Bytes, Floats, Inspector, Preview, Traits

_HASHES = 128
_ROWS = 8
"""So many of a signature's hashes make a band; texts with a similarity of 0.8 share one of the 16
with a probability of 0.95."""

_SHINGLE = 3
_BUCKETS = 256
"""Of hashed words, for the check of labels."""

_PRIME = (1 << 31) - 1
_random = np.random.default_rng(20)
_FACTORS = _random.integers(1, _PRIME, _HASHES, dtype=np.uint64)
_OFFSETS = _random.integers(0, _PRIME, _HASHES, dtype=np.uint64)

_MOJIBAKE = re.compile("[ÃÂ][\x80-\xbf]|â€|ï»¿|Ð[\x80-\xbf]Ð")
"""UTF-8 that was read as Latin-1 or Windows-1252."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class TextInspector(Inspector):
    """Compares texts by their shingles of three words (Broder, 1997, "On the resemblance and
    containment of documents")."""

    unit = "words"
    least_long = 1000.0
    alike = 0.8

    def inspect(self, raw: str) -> Traits:
        words = re.findall(r"\w+", raw.lower())
        faults = {}
        if not raw.strip():
            faults["empty"] = "is empty"
        broken = _broken(raw)
        if broken:
            faults["encoding"] = broken
        signature = _signature(words)
        return Traits(
            digest=hashlib.blake2b(raw.strip().encode("utf-8", "replace"), digest_size=16).digest(),
            bands=_bands(signature) if len(words) >= 2 * _SHINGLE else (),
            profile=signature.view(np.uint8),
            features=_bag(words),
            size=float(len(words)),
            faults=faults,
        )

    def similarity(self, one: Bytes, others: Bytes) -> Floats:
        """Jaccard's similarity of the shingles, as MinHash estimates it."""
        mine, theirs = one.view(np.uint32), np.ascontiguousarray(others).view(np.uint32)
        found: Floats = (theirs == mine).mean(1, dtype=np.float32)
        return found

    def cells(self, raw: str) -> Mapping[str, str]:
        return {"text": raw}

    def preview(self, raw: str) -> Preview:
        return Preview("text/plain", raw[:2000].encode("utf-8", "replace"))


def _broken(raw: str) -> str:
    if "\ufffd" in raw:
        return "holds characters that could not be decoded (U+FFFD)"
    if _MOJIBAKE.search(raw):
        return "holds UTF-8 that was read as another encoding, such as Ã¤ for ä"
    return "holds control characters" if _CONTROL.search(raw) else ""


def _signature(words: list[str]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The MinHash of a text's shingles (128,)."""
    count = max(1, len(words) - _SHINGLE + 1)
    shingles = {" ".join(words[k : k + _SHINGLE]) for k in range(count)}
    hashes = np.array([zlib.crc32(s.encode()) for s in shingles], dtype=np.uint64)[:, None]
    mixed = (hashes * _FACTORS % _PRIME + _OFFSETS) % _PRIME
    found: np.ndarray[tuple[int], np.dtype[np.uint32]] = mixed.min(0).astype(np.uint32)
    return found


def _bands(signature: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> list[int]:
    return [zlib.crc32(part.tobytes()) for part in signature.reshape(-1, _ROWS)]


def _bag(words: list[str]) -> Floats:
    """Hashed counts of words (256,), damped and of length one."""
    places = [zlib.crc32(word.encode()) % _BUCKETS for word in words]
    counts = np.log1p(np.bincount(places, minlength=_BUCKETS)).astype(np.float32)
    found: Floats = counts / max(1e-6, float(np.linalg.norm(counts)))
    return found

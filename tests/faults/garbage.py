"""Files as they should not be: cut, overwritten, rewritten, or written to be executed."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from hypothesis import strategies as st
from safetensors.torch import save

Change: TypeAlias = Callable[[bytes], bytes]


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def bombs(mark: Path) -> list[bytes]:
    """Pickles, and what torch makes of them, old and new."""
    found = [pickle.dumps({"w": Bomb(mark)}, protocol) for protocol in (0, 2, 5)]
    for new in (False, True):
        file = io.BytesIO()
        torch.save({"w": torch.zeros(1), "x": Bomb(mark)}, file, _use_new_zipfile_serialization=new)
        found.append(file.getvalue())
    return found


SMALL = st.integers(0, 2**16)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["", "a/b"])),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.just("k"), below, max_size=1),
    max_leaves=3,
)


def _cut(place: int) -> Change:
    return lambda content: content[: place % (len(content) + 1)]


def _flip(place: int, bits: int) -> Change:
    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[place % len(content)] ^= bits
        return bytes(changed)

    return change


def _put(place: int, value: Any) -> Change:
    """Put a value somewhere into a tree of JSON; what is no JSON stays as it is."""

    def change(content: bytes) -> bytes:
        try:
            tree = json.loads(content)
        except ValueError:
            return content
        spots = list(_spots(tree))
        if not spots:
            return json.dumps(value).encode()
        holder, key = spots[place % len(spots)]
        holder[key] = value
        return json.dumps(tree).encode()

    return change


def _spots(tree: Any) -> Iterator[tuple[Any, Any]]:
    keys: Any = range(len(tree)) if isinstance(tree, list) else ()
    for key in list(tree) if isinstance(tree, dict) else keys:
        yield tree, key
        yield from _spots(tree[key])


def _replace(content: bytes) -> Change:
    return lambda _: content


CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(_cut, SMALL),
    st.builds(_flip, SMALL, st.integers(1, 255)),
    st.builds(_put, SMALL, VALUES),
    st.builds(_replace, st.binary(max_size=64)),
    VALUES.map(lambda value: _replace(json.dumps(value).encode())),
    st.sampled_from(["w", "keys", "backbones.image.first.0.weight"]).map(
        lambda name: _replace(save({name: torch.zeros(3, 2)}))
    ),
    st.just(_replace(b"[" * 100_000)),
)


@contextmanager
def changed(file: Path, change: Change) -> Iterator[None]:
    """Change a file for a while."""
    before = file.read_bytes()
    file.write_bytes(change(before))
    try:
        yield
    finally:
        file.write_bytes(before)

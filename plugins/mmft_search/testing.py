"""The conformance kit's checks of stores, with their default options and a few vectors.

A store that cannot do without an option, such as the address of a server, says so by a
`ConfigError`; nothing else of it is then checked.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmft_core import Component, Registry, StoreSpec
from mmft_core.contracts import Preview
from mmft_core.errors import ConfigError, RunDirectoryError
from mmft_search import opening
from mmft_search.items import Identity, Items, Vectors
from mmft_search.opening import StoreRequest
from mmft_search.store import Index, Writer
from mmft_testing.tools import skip_without_extras
from mmft_testing.workbench import Workbench

Spec = Component[StoreSpec]

IDENTITY = Identity(model="0123456789abcdef", run="a run", modality="image")
NUMBER, WIDTH, TOLERANCE = 40, 8, 1e-5


def finds_what_is_nearest(bench: Workbench, component: Spec) -> None:
    """A search finds what a comparison with every vector finds, with the same inner products."""
    with _store(component) as store:
        writer = store.begin()
        for half in (0, 1):
            writer.append(_items(slice(half * NUMBER // 2, (half + 1) * NUMBER // 2)))
        assert len(writer) == NUMBER, f"of {NUMBER} items it has {len(writer)}"
        quality = writer.finish(_silent)
        assert quality is not None, "finish() gave None, though there are items"
        for exact in (False, True):
            with contextlib.closing(store.index(exact)) as index:
                assert len(index) == NUMBER, f"the index has {len(index)} items, not {NUMBER}"
                assert index.identity == IDENTITY, f"its identity is {index.identity}"
                _compare(index)


def _compare(index: Index) -> None:
    everything = _vectors()
    for number, query in enumerate(everything[::5]):
        scores = everything @ query
        hits = index.search(query, 5)
        found, best = [hit.score for hit in hits], np.sort(scores)[::-1][:5]
        assert np.allclose(found, best, atol=TOLERANCE), f"scores are {found}, not {best.tolist()}"
        assert hits[0].id == _id(5 * number), f"{hits[0].id} is found for {_id(5 * number)}"
        item = index.item(hits[0].key)
        assert item is not None and item.id == hits[0].id, f"item() gives {item} for a hit"
        preview = Preview("text/plain", b"%d" % (5 * number)) if number % 2 else None
        assert item.preview == preview, "an item's preview is not what was appended"
    assert len(index.search(everything[0], NUMBER + 1)) == NUMBER, "more are asked for than found"
    assert index.item("../..") is None, "item() gives something for a key that no item has"


def keeps_what_is_not_dropped(bench: Workbench, component: Spec) -> None:
    """When a store is opened again, what was kept is there, and what was dropped is not."""
    with _store(component) as store:
        writer = store.begin()
        writer.append(_items(slice(0, NUMBER)))
        for part in writer.parts():
            writer.keep(part, np.array([_number(item) % 2 == 0 for item in part.ids]))
        writer.finish(_silent)
        again = store.open()
        kept = {
            (part.library, part.files, item, stamp)
            for part in again.parts()
            for item, stamp in zip(part.ids, part.stamps, strict=True)
        }
        wanted = {("", True, _id(n), f"stamp {n}") for n in range(0, NUMBER, 2)}
        assert kept == wanted, f"it has {sorted(kept ^ wanted)[:3]} too much or too little"
        assert len(again) == len(wanted), f"it says that it has {len(again)}, not {len(wanted)}"
        again.finish(_silent)
        with contextlib.closing(store.index()) as index:
            ids = {hit.id for hit in index.search(_vectors()[1], NUMBER)}
        assert ids == {_id(n) for n in range(0, NUMBER, 2)}, "a search finds what was dropped"


def is_made_anew(bench: Workbench, component: Spec) -> None:
    """Begun anew, it is empty; searching an empty index raises a `RunDirectoryError`."""
    with _store(component) as store:
        writer = store.begin()
        writer.append(_items(slice(0, 3)))
        writer.finish(_silent)
        writer = store.begin()
        assert len(writer) == 0, f"begun anew, it has {len(writer)} items"
        assert writer.finish(_silent) is None, "finish() gave a quality of nothing"
        with pytest.raises(RunDirectoryError):
            store.index()


class _Store:
    """The index of a folder, kept by the store that is checked."""

    def __init__(self, component: Spec, folder: Path) -> None:
        self.folder, self.registry = folder, Registry((component,))
        self.wanted = StoreRequest(store=component.qualified)

    def begin(self) -> Writer[Any]:
        return opening.begin(self.folder, IDENTITY, self.wanted, self.registry)

    def open(self) -> Writer[Any]:
        return opening.open_writer(self.folder, StoreRequest(), self.registry)

    def index(self, exact: bool = False) -> Index:
        return opening.open_index(self.folder, self.registry, exact=exact)


@contextlib.contextmanager
def _store(component: Spec) -> Iterator[_Store]:
    skip_without_extras(component)
    with tempfile.TemporaryDirectory() as folder:
        store = _Store(component, Path(folder) / "index")
        try:
            store.begin().finish(_silent)
        except ConfigError as error:
            pytest.skip(f"it needs options: {error}")
        yield store


def _vectors() -> Vectors:
    drawn: Vectors = np.random.default_rng(0).normal(size=(NUMBER, WIDTH)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def _items(rows: slice) -> Items:
    numbers = range(NUMBER)[rows]
    return Items(
        library="",
        files=True,
        ids=[_id(n) for n in numbers],
        stamps=[f"stamp {n}" for n in numbers],
        vectors=_vectors()[rows],
        previews=[Preview("text/plain", b"%d" % n) if n % 2 else None for n in numbers],
    )


def _id(number: int) -> str:
    return f"/album/{number}.jpg"


def _number(item: str) -> int:
    return int(Path(item).stem)


def _silent(_: str) -> None: ...


CHECKS = [finds_what_is_nearest, keeps_what_is_not_dropped, is_made_anew]

"""Vectors on disk, and the index made of them."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mmft_core import discover
from mmft_core.contracts import Preview
from mmft_core.errors import RunDirectoryError
from mmft_core.utils.files import sha256
from mmft_search import folder, measuring, opening
from mmft_search.folder import Kept
from mmft_search.items import Identity, Items, Vectors
from mmft_search.measuring import search_exactly
from mmft_search.nearest import Nearest, kind_for, refresh
from mmft_search.opening import StoreRequest
from mmft_search.searching import Searcher
from mmft_search.store import Found
from mmft_search.vectors import VectorStore

IDENTITY = Identity(model="abc", run="run", modality="image")
WIDTH = 16


def unit(vectors: np.ndarray) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def vectors(number: int, seed: int = 0) -> Vectors:
    """Points around centres, as embeddings of classes lie."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(20, WIDTH))
    return unit(centres[random.integers(0, 20, number)] + 0.3 * random.normal(size=(number, WIDTH)))


def items(number: int, seed: int = 0, library: str = "lib") -> Items:
    return Items(
        library=library,
        files=True,
        ids=[f"{seed}/{i}" for i in range(number)],
        stamps=["1"] * number,
        vectors=vectors(number, seed),
        previews=[Preview("text/plain", b"%d" % i) if i % 2 else None for i in range(number)],
    )


def silent(_: str) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> VectorStore:
    store = VectorStore.create(tmp_path / "index", IDENTITY)
    for seed in range(3):
        store.append(items(200, seed))
    return store


def test_what_was_written_is_read(store: VectorStore) -> None:
    again = VectorStore.open(store.folder)
    assert again.identity == IDENTITY and len(again) == 600 and again.width == WIDTH
    for position in (0, 199, 200, 399, 400, 599):
        shard, row = again.locate(position)
        seed, place = divmod(position, 200)
        assert shard.id(row) == f"{seed}/{place}" and shard.library == "lib"
        assert np.array_equal(shard.vectors[row], vectors(200, seed)[place])
        expected = Preview("text/plain", b"%d" % place) if place % 2 else None
        assert shard.preview(row) == expected


def test_some_items_of_a_shard_are_dropped(store: VectorStore) -> None:
    second = store.shards[1]
    store.keep(second, np.arange(200) % 10 == 0)
    store.keep(store.shards[0], np.zeros(200, dtype=np.bool_))
    again = VectorStore.open(store.folder)
    assert again.contents == store.contents
    ids = [item for shard in again.shards for item in shard.ids]
    assert ids == [f"2/{i}" for i in range(200)] + [f"1/{i}" for i in range(0, 200, 10)]
    assert len(list((store.folder / "vectors").iterdir())) == 2


def test_no_store_and_a_damaged_one(store: VectorStore, tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no index"):
        VectorStore.open(tmp_path)
    file = store.shards[1].file
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(RunDirectoryError, match=file.name):
        VectorStore.open(store.folder)
    mended = VectorStore.open(store.folder, mend=True)
    assert len(mended) == 400 and not file.exists()
    (store.folder / "store.json").write_text("{")
    with pytest.raises(RunDirectoryError, match=r"store\.json cannot be read"):
        VectorStore.open(store.folder)


def truth(store: VectorStore, queries: Vectors, number: int) -> np.ndarray:
    everything = np.concatenate([shard.vectors for shard in store.shards])
    return np.argsort(-(queries @ everything.T), axis=1, kind="stable")[:, :number]


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_every_kind_finds_what_numpy_finds(store: VectorStore, kind: str) -> None:
    refresh(store, kind, silent)
    found = Nearest.open(store)
    queries = vectors(50, 7)
    expected = truth(store, queries, 10)
    scores, positions = found.search(queries, 10)
    share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(positions, expected, strict=True)])
    assert share == 1 if kind == "flat" else share > 0.85
    assert found.facts.recall >= 0.95 and found.facts.milliseconds > 0
    everything = np.concatenate([shard.vectors for shard in store.shards])
    for row, query in enumerate(queries):
        got = [everything[p] @ query for p in positions[row] if p >= 0]
        assert np.allclose(got, scores[row][positions[row] >= 0], atol=1e-5)
        assert got == sorted(got, reverse=True)


def test_exact_search_needs_no_index(store: VectorStore) -> None:
    queries = vectors(20, 7)
    scores, positions = search_exactly(store, queries, 10)
    assert np.array_equal(positions, truth(store, queries, 10))
    assert (np.diff(scores, axis=1) <= 0).all()
    _, every = search_exactly(store, queries[:1], 10_000)
    assert sorted(every[0]) == list(range(600)), "no more than there are"


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_an_index_grows(store: VectorStore, kind: str) -> None:
    first = refresh(store, kind, silent)
    assert refresh(store, kind, silent).facts == first.facts, "nothing is new"
    store.append(items(100, 5))
    with pytest.raises(RunDirectoryError, match="does not contain all"):
        Nearest.open(store)
    grown = refresh(store, kind, silent)
    assert grown.index.ntotal == 700 and grown.facts.trained_on == first.facts.trained_on
    _, positions = Nearest.open(store).search(vectors(100, 5), 1)
    assert np.mean(positions[:, 0] == np.arange(600, 700)) > 0.95


def test_cells_are_laid_out_anew_for_many_more(store: VectorStore) -> None:
    refresh(store, "ivf", silent)
    store.append(items(700, 6))
    assert refresh(store, "ivf", silent).facts.trained_on == 1300


def test_an_index_is_made_anew_after_a_removal(store: VectorStore) -> None:
    refresh(store, "hnsw", silent)
    store.keep(store.shards[0], np.arange(200) >= 100)
    found = refresh(store, "hnsw", silent)
    assert found.index.ntotal == 500
    last, row = store.locate(499)
    _, positions = found.search(last.vectors[row][None], 1)
    assert positions[0, 0] == 499 and last.id(row) == "0/199"


def test_another_kind_is_another_index(store: VectorStore) -> None:
    assert refresh(store, "auto", silent).facts.kind == "flat"
    assert refresh(store, "ivf", silent).facts.kind == "ivf"
    assert [kind_for(n) for n in (1, 20_000, 20_001, 200_000, 10**6)] == [
        "flat",
        "flat",
        "hnsw",
        "hnsw",
        "ivf",
    ]


def test_effort_is_raised_until_the_recall_is_reached(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "TARGET_RECALL", 0.0)
    least = refresh(store, "ivf", silent).facts
    shutil.rmtree(store.folder / "nearest")
    monkeypatch.setattr(measuring, "TARGET_RECALL", 1.0)
    most = refresh(store, "ivf", silent).facts
    assert least.effort == 1 < most.effort and least.recall < most.recall == 1.0


def test_equal_vectors_are_as_good_as_each_other(tmp_path: Path) -> None:
    store = VectorStore.create(tmp_path / "index", IDENTITY)
    few = items(40)
    store.append(
        replace(
            few,
            ids=[str(i) for i in range(800)],
            stamps=["1"] * 800,
            vectors=np.tile(few.vectors, (20, 1)),
            previews=[None] * 800,
        )
    )
    facts = refresh(store, "hnsw", silent).facts
    assert facts.recall >= 0.95 and facts.effort < 4096


def test_many_are_found_where_many_are_asked_for(store: VectorStore) -> None:
    refresh(store, "ivf", silent)
    _, positions = Nearest.open(store).search(vectors(5, 7), 500)
    assert all(len(set(row)) == 500 and min(row) >= 0 for row in positions.tolist())


def test_an_empty_index_is_told(store: VectorStore) -> None:
    refresh(store, "flat", silent)
    for shard in list(store.shards):
        store.keep(shard, np.zeros(len(shard), dtype=np.bool_))
    assert refresh(store, "flat", silent) is None
    with pytest.raises(RunDirectoryError, match="is empty"):
        Nearest.open(VectorStore.open(store.folder))


@pytest.mark.parametrize("how", ["shortened", "facts", "gone", "swapped"])
def test_a_damaged_index_is_told_and_made_again(store: VectorStore, how: str) -> None:
    refresh(store, "flat", silent)
    folder = store.folder / "nearest"
    file = folder / "index.faiss"
    if how == "shortened":
        os.truncate(file, file.stat().st_size // 2)
    elif how == "facts":
        (folder / "facts.json").write_text('{"kind": "other"}')
    elif how == "gone":
        shutil.rmtree(folder)
    else:
        file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(RunDirectoryError, match=r"damaged|unfinished") as told:
        Nearest.open(store)
    assert "mmft index" in (told.value.hint or "")
    refresh(store, "flat", silent)
    assert Nearest.open(store).index.ntotal == 600


@pytest.mark.parametrize("attack", ["none", "other file", "other content", "no digest", "device"])
def test_only_what_an_index_was_made_of_is_shown(tmp_path: Path, attack: str) -> None:
    """Of a stranger's index, paths lead to no other file of the machine."""
    own, private = tmp_path / "own.txt", tmp_path / "private.txt"
    own.write_text("mine!")
    private.write_text("keys!")  # Of the same size, so that only the digest tells them apart.
    sealed = f"5-{own.stat().st_mtime_ns}-{sha256(own)}"
    paths = {"other file": private, "device": Path("/dev/zero")}
    item = Found(str(paths.get(attack, own)), sealed, None)
    if attack == "other content":
        own.write_text("thine")
    if attack == "no digest":
        item = replace(item, stamp=sealed.rpartition("-")[0])
    processor = SimpleNamespace(
        read=Path.read_text, preview=lambda text: Preview("text/plain", text.encode())
    )
    index = SimpleNamespace(
        item=lambda key: item, identity=Identity(model="m", run="r", modality="text")
    )
    searcher = Searcher(index, SimpleNamespace(processors={"text": processor}))  # type: ignore[arg-type]
    shown = searcher.preview("0")
    assert (shown is not None) == (attack == "none")


def test_indexes_of_version_0_1_name_their_stores(tmp_path: Path) -> None:
    record = {"format": 1, "model": "abc", "run": "run", "modality": "image"}
    url = "http://localhost:6333"
    for qdrant, kept in (
        (None, Kept(name="search/faiss")),
        ({"url": "", "name": "items"}, Kept(name="search/qdrant")),
        (
            {"url": url, "name": "mine"},
            Kept(name="search/qdrant", options={"url": url, "collection": "mine"}),
        ),
    ):
        content = record if qdrant is None else {**record, "qdrant": qdrant}
        (tmp_path / "store.json").write_text(json.dumps(content))
        assert folder.read(tmp_path) == folder.Record(identity=IDENTITY, store=kept)


def test_an_index_of_version_0_1_is_searched_and_added_to(tmp_path: Path) -> None:
    registry, place = discover(), tmp_path / "index"
    opening.begin(place, IDENTITY, StoreRequest(), registry).append(items(30))
    before = {"format": 1, "model": "abc", "run": "run", "modality": "image"}
    (place / "store.json").write_text(json.dumps(before))
    writer = opening.open_writer(place, StoreRequest(), registry)
    writer.append(items(10, 1))
    writer.finish(silent)
    assert len(opening.open_index(place, registry)) == 40
    opening.open_writer(place, StoreRequest(options={"kind": "hnsw"}), registry).finish(silent)
    opening.open_writer(place, StoreRequest(), registry).finish(silent)
    found = opening.open_index(place, registry)
    assert "hnsw" in found.how, "the kind that was chosen stays"
    assert found.search(vectors(30)[3], 1)[0].id == "0/3"

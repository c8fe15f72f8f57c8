"""An index that Qdrant keeps: in a folder, and on a server that speaks its REST."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmft_core import discover
from mmft_core.contracts import Preview
from mmft_core.errors import ConfigError, RunDirectoryError, StorageError
from mmft_search import folder, opening, qdrant_store
from mmft_search.items import Identity, Items
from mmft_search.opening import StoreRequest
from mmft_search.store import Index, Writer
from tests.index.fake_qdrant import KEY, FakeQdrant
from tests.servers import serving

IDENTITY = Identity(model="0123456789abcdef", run="runs/my photos", modality="image")
WIDTH = 16


def vectors(number: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(number, WIDTH))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def items(number: int, seed: int = 0, library: str = "", files: bool = True) -> Items:
    return Items(
        library=library,
        files=files,
        ids=[f"/album/{seed}-{i}.jpg" for i in range(number)],
        stamps=[f"stamp {i}" for i in range(number)],
        vectors=vectors(number, seed),
        previews=[Preview("text/plain", b"%d" % i) if i % 2 else None for i in range(number)],
    )


def silent(_: str) -> None: ...


REGISTRY = discover()


def at(url: str, **options: str) -> StoreRequest:
    return StoreRequest(store="qdrant", options={"url": url, **options})


def begin(folder: Path, identity: Identity, wanted: StoreRequest) -> Writer:
    return opening.begin(folder, identity, wanted, REGISTRY)


def open_writer(folder: Path, wanted: StoreRequest) -> Writer:
    return opening.open_writer(folder, wanted, REGISTRY)


def open_index(folder: Path) -> Index:
    return opening.open_index(folder, REGISTRY)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeQdrant]:
    with serving(FakeQdrant()) as server:
        yield server


@pytest.fixture(params=["folder", "server"])
def wanted(request, server: FakeQdrant, monkeypatch: pytest.MonkeyPatch) -> StoreRequest:
    if request.param == "folder":
        return StoreRequest(store="qdrant")
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    return at(server.url, collection=f"test-{os.urandom(4).hex()}")


def closed(store: Writer) -> None:
    """A folder serves one at a time."""
    store.finish(silent)


def kept(store: Writer) -> dict[str, str]:
    return {i: s for part in store.parts() for i, s in zip(part.ids, part.stamps, strict=True)}


def test_scores_and_order_are_those_of_faiss(wanted: StoreRequest, tmp_path: Path) -> None:
    found: dict[str, Index] = {}
    for name, how in (("faiss", StoreRequest()), ("qdrant", wanted)):
        store = begin(tmp_path / name, IDENTITY, how)
        store.append(items(250))
        store.append(items(50, seed=1))
        quality = store.finish(silent)
        assert quality is not None and quality.milliseconds > 0
        found[name] = open_index(tmp_path / name)
        assert len(found[name]) == 300 and found[name].identity == IDENTITY
    for query in vectors(20, seed=9):
        one, other = (index.search(query, 10) for index in found.values())
        assert [hit.id for hit in one] == [hit.id for hit in other]
        assert [h.score for h in one] == pytest.approx([h.score for h in other], abs=1e-5)
    hit = found["qdrant"].search(vectors(250)[3], 1)[0]
    assert hit.id == "/album/0-3.jpg" and hit.score == pytest.approx(1, abs=1e-5)
    item = found["qdrant"].item(hit.key)
    assert item is not None and (item.id, item.preview) == (hit.id, Preview("text/plain", b"3"))
    for none in ("7", "../..", "00000000-0000-0000-0000-000000000000"):
        assert found["qdrant"].item(none) is None


def test_what_is_kept_is_listed_dropped_and_sent_twice_without_harm(
    wanted: StoreRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant_store, "_PAGE", 30)  # More than one page.
    store = begin(tmp_path / "index", IDENTITY, wanted)
    assert len(store) == 0 and list(store.parts()) == []
    store.append(items(100))
    store.append(items(100))
    store.append(items(10, seed=0, library="a table", files=False))
    assert len(store) == 110, "a row of a table is no file of that name"
    assert {part.library for part in store.parts()} == {"", "a table"}
    for part in store.parts():
        if part.files:
            store.keep(part, np.array([name.endswith("7.jpg") for name in part.ids]))
    closed(store)
    again = open_writer(tmp_path / "index", StoreRequest())
    wide = {f"/album/0-{i}.jpg": f"stamp {i}" for i in range(100) if i % 10 == 7 or i < 10}
    assert kept(again) == wide and len(again) == 20
    closed(again)
    rebuilt = begin(tmp_path / "index", IDENTITY, StoreRequest())
    assert len(rebuilt) == 0, "and by the same keeper, for no other was named"
    assert folder.read(tmp_path / "index").store.name == "search/qdrant"
    assert rebuilt.finish(silent) is None
    with pytest.raises(RunDirectoryError, match="is empty"):
        open_index(tmp_path / "index")


def test_a_name_that_is_not_utf8(wanted: StoreRequest, tmp_path: Path) -> None:
    store = begin(tmp_path / "index", IDENTITY, wanted)
    odd = os.fsdecode(b"/album/caf\xe9.jpg")
    plain = items(1)
    store.append(Items(**{**vars(plain), "ids": [odd]}))
    assert list(kept(store)) == [odd]
    closed(store)
    assert open_index(tmp_path / "index").search(vectors(1)[0], 5)[0].id == odd


def test_a_folder_is_for_one_at_a_time(tmp_path: Path) -> None:
    store = begin(tmp_path / "index", IDENTITY, StoreRequest(store="qdrant"))
    store.append(items(3))
    with pytest.raises(RunDirectoryError, match="Another process uses the index") as told:
        open_index(tmp_path / "index")
    assert "--url" in str(told.value)
    closed(store)
    assert len(open_index(tmp_path / "index")) == 3


def test_a_keeper_is_not_changed_in_silence(wanted: StoreRequest, tmp_path: Path) -> None:
    begin(tmp_path / "faiss", IDENTITY, StoreRequest()).append(items(3))
    closed(begin(tmp_path / "qdrant", IDENTITY, wanted))
    with pytest.raises(RunDirectoryError, match="is kept by faiss"):
        open_writer(tmp_path / "faiss", wanted)
    with pytest.raises(RunDirectoryError, match="is kept by qdrant"):
        open_writer(tmp_path / "qdrant", StoreRequest(store="faiss"))
    closed(open_writer(tmp_path / "qdrant", wanted))
    begin(tmp_path / "faiss", IDENTITY, wanted)
    assert not (tmp_path / "faiss" / "vectors").exists()


def test_another_s_collection_is_left_alone(
    server: FakeQdrant, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    wanted = at(server.url)
    begin(tmp_path / "one", IDENTITY, wanted).append(items(3))
    assert (
        folder.read(tmp_path / "one").store.options["collection"] == "mmft-my-photos-image-01234567"
    )
    with pytest.raises(RunDirectoryError, match="There is a collection 'mmft-my-photos") as told:
        begin(tmp_path / "two", IDENTITY, wanted)
    assert "--collection" in str(told.value) and not (tmp_path / "two").exists()
    assert len(open_writer(tmp_path / "one", wanted)) == 3
    begin(tmp_path / "two", IDENTITY, at(server.url, collection="another")).append(items(1))
    assert len(open_writer(tmp_path / "one", wanted)) == 3
    assert len(begin(tmp_path / "one", IDENTITY, wanted)) == 0, "its own is made anew"


def test_a_server_that_breaks_down_loses_nothing_that_it_had(
    server: FakeQdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    monkeypatch.setattr(qdrant_store, "_SENT_AT_ONCE", 10)
    store = begin(tmp_path / "index", IDENTITY, at(server.url, collection="breaks"))
    monkeypatch.setattr(server, "fail_after", 2)
    with pytest.raises(StorageError, match="507.*No space left on device"):
        store.append(items(50))
    monkeypatch.setattr(server, "fail_after", None)
    again = open_writer(tmp_path / "index", StoreRequest())
    assert len(again) == 20
    again.append(items(50))
    assert len(again) == 50


def test_a_key_is_asked_for(server: FakeQdrant, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    with pytest.raises(StorageError, match="refuses the key: 401") as told:
        begin(tmp_path / "index", IDENTITY, at(server.url))
    assert "QDRANT_API_KEY" in str(told.value) and not (tmp_path / "index").exists()
    assert None in server.keys


def test_mistakes(tmp_path: Path) -> None:
    for url in ("localhost:6333", "ftp://host", "http://"):
        with pytest.raises(ConfigError, match="is not the URL of a server"):
            begin(tmp_path / "index", IDENTITY, at(url))
    with pytest.raises(ConfigError, match="no option 'store.url'"):
        begin(
            tmp_path / "index", IDENTITY, StoreRequest(store="faiss", options={"url": "http://x"})
        )
    with pytest.raises(ConfigError, match="--collection is only for a server"):
        begin(
            tmp_path / "index",
            IDENTITY,
            StoreRequest(store="qdrant", options={"collection": "mine"}),
        )
    with pytest.raises(StorageError, match="Qdrant cannot be reached"):
        begin(tmp_path / "index", IDENTITY, at("http://127.0.0.1:9"))
    assert not list(tmp_path.iterdir())

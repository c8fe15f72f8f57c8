"""Files that are loaded: whatever they hold, nothing of it is executed, and there is one error."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from importlib.metadata import distributions, entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmft_core import Registry, discover
from mmft_core.contracts import Features
from mmft_core.errors import MmftError, RunDirectoryError, first_line
from mmft_core.features import FeatureStore
from mmft_core.run import artifacts
from mmft_core.weights import read_weights
from mmft_search.items import Identity, Items
from mmft_search.nearest import Nearest, refresh
from mmft_search.vectors import VectorStore
from tests.faults.garbage import CHANGES, Change, bombs, changed
from tests.faults.processes import SITE

FUZZ = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="session")
def registry() -> Registry:
    """All plugins, with that of the tiny backbone."""
    tiny = [point for dist in distributions(path=[str(SITE)]) for point in dist.entry_points]
    return discover([*entry_points(group="mmft"), *tiny])


@pytest.fixture(scope="session")
def model(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(whole_run / "model", tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of twenty vectors."""
    folder = tmp_path_factory.mktemp("index") / "index"
    store = VectorStore.create(folder, Identity(model="m", run="r", modality="image"))
    vectors = np.eye(20, 8, dtype=np.float32)
    ids, previews = [str(k) for k in range(20)], [None] * 20
    store.append(
        Items(library="l", files=True, ids=ids, stamps=ids, vectors=vectors, previews=previews)
    )
    refresh(store, "auto", print)
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def harmless(load: Callable[[], object]) -> str:
    """Check that loading ends well or in an error for the user; return what that says."""
    try:
        load()
    except MmftError as error:
        assert error.message.strip()
        assert len(first_line(error)) < 1000
        return error.message
    return ""


def search(folder: Path) -> None:
    nearest = Nearest.open(VectorStore.open(folder))
    nearest.search(np.eye(1, 8, dtype=np.float32), 3)


@FUZZ
@given(data=st.data())
def test_a_model_of_garbage(model: Path, registry: Registry, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(files(model)))
    with changed(file, data.draw(CHANGES)):
        harmless(lambda: artifacts.load(model, registry))


@FUZZ
@given(data=st.data())
def test_an_index_of_garbage(index: Path, data: st.DataObject) -> None:
    own = [file for file in files(index) if file.name != ".lock"]
    with changed(data.draw(st.sampled_from(own)), data.draw(CHANGES)):
        harmless(lambda: search(index))


@FUZZ
@given(CHANGES)
def test_weights_of_garbage(model: Path, change: Change) -> None:
    for name in ("weights.pt", "weights.safetensors"):
        file = model.parent / name
        if name.endswith(".pt"):
            torch.save({"w": torch.zeros(9)}, file)
        else:
            shutil.copy(model / "model.safetensors", file)
        with changed(file, change):
            harmless(lambda file=file: read_weights(file))


@FUZZ
@given(CHANGES)
def test_stored_features_of_garbage_are_computed_again(tmp_path: Path, change: Change) -> None:
    shutil.rmtree(tmp_path / "features", ignore_errors=True)
    store = FeatureStore.open(tmp_path / "features", {"a": 1})
    keys = np.array([b"k" * 16, b"l" * 16], dtype="S16")
    store.write(keys, [Features(torch.ones(2, 4))])
    (file,) = store.folder.glob("*.safetensors")
    with changed(file, change):
        store.reload()
        for place in store.find(keys):
            if place >= 0:
                assert store[int(place)]["pooled"].ndim == 1


@pytest.mark.parametrize("number", range(5))
def test_nothing_is_ever_unpickled(
    tmp_path: Path, model: Path, index: Path, registry: Registry, number: int
) -> None:
    mark = tmp_path / "executed"
    bomb = bombs(mark)[number]
    for file in files(model):
        with changed(file, lambda _: bomb):
            assert harmless(lambda: artifacts.load(model, registry)), file
    for file in files(index):
        with changed(file, lambda _: bomb):
            harmless(lambda: search(index))
    for name in ("w.pt", "w.pth", "w.bin", "w.safetensors", "model.safetensors"):
        file = tmp_path / name
        file.write_bytes(bomb)
        assert str(tmp_path) in harmless(lambda file=file: read_weights(file))
    assert harmless(lambda: read_weights(tmp_path))  # A folder, with a model.safetensors.
    assert not mark.exists()
    if number < 3:
        pickle.loads(bomb)
    else:
        torch.load(io.BytesIO(bomb), weights_only=False)
    assert mark.exists(), "the bomb of this test does not work"


def test_points_of_qdrant_are_looked_at_before_it_unpickles_them(tmp_path: Path) -> None:
    from mmft_search.qdrant_connection import Connection

    folder, mark = tmp_path / "index", tmp_path / "executed"
    connection = Connection(folder, "")
    with connection.asked() as client:
        models = pytest.importorskip("qdrant_client").models
        size = models.VectorParams(size=2, distance=models.Distance.COSINE)
        client.create_collection("items", vectors_config=size)
        payload = {"id": "a", "files": True, "raw": "b", "n": [1, 2.5, None]}
        client.upsert("items", [models.PointStruct(id=1, vector=[1.0, 0.0], payload=payload)])
    connection.close()
    again = Connection(folder, "")
    assert again.count("items") == 1
    again.close()
    (file,) = folder.rglob("storage.sqlite")
    for bomb in bombs(mark)[:3]:
        with contextlib.closing(sqlite3.connect(file)) as storage:
            storage.execute("UPDATE points SET point = ?", (bomb,))
            storage.commit()
        with pytest.raises(RunDirectoryError, match="something other than points"):
            Connection(folder, "")
    assert not mark.exists()


@pytest.mark.parametrize("where", ["attn_implementation", "text_config"])
def test_a_config_that_names_code_of_the_hub_is_refused(tmp_path: Path, where: str) -> None:
    from mmft_transformers.checkpoints import Checkpoint

    evil = {"attn_implementation": "someone/kernel"}
    content = {"model_type": "bert"} | (evil if where != "text_config" else {where: evil})
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(MmftError, match="names code of the Hub"):
        Checkpoint(tmp_path).config()

"""A flipped bit in anything that was written is found when it is opened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmft_core.contracts import Features
from mmft_core.errors import RunDirectoryError
from mmft_core.features import FeatureStore
from mmft_core.utils import digests
from mmft_search.items import Identity, Items
from mmft_search.nearest import Nearest, refresh
from mmft_search.vectors import VectorStore
from tests.conftest import Finished

Mmft = Callable[..., Finished]

pytestmark = pytest.mark.usefixtures("tiny_backbone")


def flip(file: Path, place: int = -9) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(bytes(content))


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_flipped_bit_of_a_model(run: Path, mmft: Mmft, name: str) -> None:
    assert mmft("eval", run, "--json").code == 0
    flip(run / "model" / name)
    ended = mmft("eval", run)
    assert ended.code == 2 and f"{name} is not what was written" in ended.err
    for call in (["publish", run, "-o", run.parent / "pub"], ["export", run]):
        ended = mmft(*call)
        assert ended.code == 2 and "Traceback" not in ended.err, call


def test_models_without_a_list_are_still_read(run: Path, mmft: Mmft) -> None:
    (run / "model" / digests.LIST).unlink()
    assert mmft("eval", run, "--json").code == 0
    (run / "model" / digests.LIST).write_text("[")
    ended = mmft("eval", run)
    assert ended.code == 2 and "digests.json cannot be read" in ended.err


def test_a_flipped_bit_of_a_published_model(run: Path, tmp_path: Path, mmft: Mmft) -> None:
    assert mmft("publish", run, "-o", tmp_path / "published").code == 0
    call = ("run", "--task", "image-cls", "--backbone", "tiny", "--set", "engine.steps=1")
    sets = ("--set", "backbone.image_size=32", "--set", "engine.workers=0")
    weights = ("--weights", tmp_path / "published")
    ended = mmft(*call, *sets, *weights, "-o", tmp_path / "second")
    assert ended.code == 0, ended.err
    flip(tmp_path / "published" / "model.safetensors")
    ended = mmft(*call, *sets, *weights, "-o", tmp_path / "third")
    assert ended.code == 2 and "model.safetensors is not what was written" in ended.err


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers(run: Path, tmp_path: Path, mmft: Mmft, value: float) -> None:
    weights = load_file(run / "model" / "model.safetensors")
    name = next(k for k, v in weights.items() if "first" in k and v.is_floating_point())
    weights[name].view(-1)[3] = value
    save_file(weights, run / "model" / "model.safetensors")
    digests.write_digests(run / "model")
    ended = mmft("eval", run)
    what = "NaN" if value != value else "infinite values"
    assert ended.code == 2 and f"'{name}' holds {what}" in ended.err
    call = ("run", "--task", "image-cls", "--backbone", "tiny", "--weights", run)
    ended = mmft(*call, "--set", "backbone.image_size=32", "-o", tmp_path / "new")
    assert ended.code == 2 and f"holds {what}" in ended.err


@pytest.fixture
def store(tmp_path: Path) -> VectorStore:
    store = VectorStore.create(tmp_path / "index", Identity(model="m", run="r", modality="image"))
    ids, previews = [str(k) for k in range(20)], [None] * 20
    vectors = np.eye(20, 8, dtype=np.float32)
    items = Items(library="l", files=True, ids=ids, stamps=ids, vectors=vectors, previews=previews)
    store.append(items)
    refresh(store, "auto", print)
    return store


def test_a_flipped_bit_of_an_index(store: VectorStore) -> None:
    Nearest.open(VectorStore.open(store.folder))
    flip(store.folder / "nearest" / "index.faiss", 100)
    with pytest.raises(RunDirectoryError, match="not what was written"):
        Nearest.open(VectorStore.open(store.folder))
    (shard,) = store.folder.rglob("*.arrow")
    flip(shard, 600)
    with pytest.raises(RunDirectoryError, match="is damaged"):
        VectorStore.open(store.folder)


def test_kept_features_with_a_flipped_bit_are_computed_again(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path, {"a": 1})
    keys = np.array([b"k" * 16, b"l" * 16], dtype="S16")
    store.write(keys, [Features(torch.ones(2, 4))])
    store.reload()
    assert (store.find(keys) >= 0).all()
    (file,) = store.folder.glob("*.safetensors")
    flip(file)
    store.reload()
    assert (store.find(keys) < 0).all()


def test_a_file_is_read_for_its_digest_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read: list[Path] = []
    compute = digests.sha256
    monkeypatch.setattr(digests, "sha256", lambda file: read.append(file) or compute(file))
    file = tmp_path / "weights"
    file.write_bytes(b"1234")
    first = digests.digest_of(file)
    assert digests.digest_of(file) == first and len(read) == 1
    file.write_bytes(b"1235")
    assert digests.digest_of(file) != first and len(read) == 2
    for record in (tmp_path / "cache").rglob("*.json"):
        record.write_text(json.dumps({"stamp": 1}))
    assert digests.digest_of(file) != first and len(read) == 3

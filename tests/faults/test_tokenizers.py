"""Tokenizers of any content: one that tokenizes, or one sentence; nothing of them is executed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_model

from mmft_core.errors import MmftError, first_line
from tests.faults.garbage import CHANGES, bombs, changed
from tests.text.tools import collated, make_backbone

FUZZ = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")

pytestmark = pytest.mark.usefixtures("two_layers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT as transformers saves it."""
    backbone, folder = make_backbone("minilm"), tmp_path_factory.mktemp("tokenizers") / "bert"
    folder.mkdir()
    backbone.save_assets(folder)
    save_model(backbone.network, str(folder / "model.safetensors"), metadata={"format": "pt"})
    assert {file.name for file in folder.iterdir()} == {*FILES, "model.safetensors"}
    return folder


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy for one test alone."""
    return shutil.copytree(folder, tmp_path / "bert")


def tokenized(folder: Path, *, assets: bool = False) -> str:
    """Load the network and encode texts; return what the error says, if there is one.

    Args:
        assets: of a run, rather than as weights to start from.
    """
    try:
        given = {"assets": folder} if assets else {"weights": str(folder)}
        backbone = make_backbone("minilm", **given)
        backbone.encode(collated(backbone))
    except MmftError as error:
        assert len(first_line(error)) < 1000
        return error.message
    return ""


@pytest.mark.parametrize("assets", [False, True])
def test_garbage(folder: Path, assets: bool) -> None:
    assert tokenized(folder, assets=assets) == "", "it is sound as it is"

    @FUZZ
    @given(name=st.sampled_from(FILES), change=CHANGES)
    def garbage(name: str, change: Callable[[bytes], bytes]) -> None:
        with changed(folder / name, change):
            tokenized(folder, assets=assets)

    garbage()


def test_tokens_that_the_network_does_not_have(own: Path) -> None:
    """As many as it has, but one of them far behind the others."""
    file = own / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["a"] = 70_000
    file.write_text(json.dumps(content))
    assert "has 70001 tokens, and the network knows" in tokenized(own)


@pytest.mark.parametrize("number", [1, 4])
def test_nothing_is_ever_unpickled(own: Path, tmp_path: Path, number: int) -> None:
    mark = tmp_path / "executed"
    bomb = bombs(mark)[number]
    for name in (*FILES, "model.safetensors"):
        with changed(own / name, lambda _: bomb):
            assert tokenized(own), name
    (own / "tokenizer.json").unlink()
    for name in ("vocab.txt", "vocab.json", "vocab.pkl", "tokenizer.model", "spiece.model"):
        (own / name).write_bytes(bomb)
        tokenized(own)
    assert not mark.exists()


def test_code_that_a_folder_brings_along_is_not_run(own: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    (own / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: ...\n")
    names = {
        "AutoConfig": "evil.Evil",
        "AutoModel": "evil.Evil",
        "AutoTokenizer": ["evil.Evil"] * 2,
    }
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((own / name).read_text())
        content |= {"auto_map": names, "tokenizer_class": "Evil"}
        (own / name).write_text(json.dumps(content))
        tokenized(own)
    content["model_type"] = "evil"
    (own / "config.json").write_text(json.dumps(content))
    assert "config.json cannot be read" in tokenized(own)
    assert not mark.exists()

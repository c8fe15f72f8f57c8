"""Small runs, indexes and exports, made once; each test attacks a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmft_core.cli import main
from mmft_transformers.options import SIZES
from tests.conftest import NARROW
from tests.safety.canary import write_canary

WORDS = {"good": "a fine and sunny day number", "bad": "an awful and rainy night number"}
SETTINGS = (
    *("--set", "engine.workers=0", "--set", "engine.steps=1"),
    *("--set", "engine.checkpoint_every=1"),
)


def call(*arguments: str | Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", NARROW)
        main([str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("safety")
    rows = [f"{text} {i},{label}" for i in range(15) for label, text in WORDS.items()]
    (folder / "texts.csv").write_text("\n".join(["text,label", *rows]))
    (folder / "notes").mkdir()
    for i, text in enumerate(WORDS.values()):
        (folder / "notes" / f"{i}.txt").write_text(text)
    return folder


@pytest.fixture(scope="session")
def text_run(home: Path) -> Path:
    size = ("--set", "backbone.size=tiny", "--set", "backbone.vocabulary=300")
    run = ("run", "--task", "text-cls", "--backbone", "distilbert", "--weights", "none", *size)
    call(*run, *SETTINGS, "--dataset", home / "texts.csv", "-o", home / "run")
    return home / "run"


@pytest.fixture(scope="session")
def adapter_run(home: Path, text_run: Path) -> Path:
    run = ("run", "--task", "text-cls", "--backbone", "distilbert", "--weights", text_run)
    lora = ("--tune", "lora", "--set", "engine.lora.save=adapter")
    call(*run, *lora, *SETTINGS, "--dataset", home / "texts.csv", "-o", home / "adapters")
    return home / "adapters"


@pytest.fixture(scope="session")
def retrieval_run(home: Path) -> Path:
    rows = [f"{text} {i},{text}" for i in range(15) for text in WORDS.values()]
    (home / "pairs.csv").write_text("\n".join(["text,target", *rows]))
    size = ("--set", "backbone.size=tiny", "--set", "backbone.vocabulary=300")
    run = ("run", "--task", "text-retrieval", "--backbone", "distilbert", "--weights", "none")
    call(*run, *size, *SETTINGS, "--dataset", home / "pairs.csv", "-o", home / "retrieval")
    return home / "retrieval"


@pytest.fixture(scope="session")
def index(home: Path, retrieval_run: Path) -> Path:
    call("index", retrieval_run, home / "notes", "-o", home / "index")
    return home / "index"


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the module of a stranger touches. It lies on Python's path, to be easily imported."""
    path = tmp_path / "executed"
    write_canary(tmp_path / "importable", path)
    monkeypatch.syspath_prepend(tmp_path / "importable")
    return path

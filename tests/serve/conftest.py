"""Tiny runs that several tests serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmft_transformers.options import SIZES
from tests.conftest import NARROW
from tests.fusion.tools import write_table
from tests.serve.tools import train, write_rows

IMAGE = ("--set=backbone.image_size=32",)
TEXT = ("--set=backbone.size=tiny", "--set=backbone.vocabulary=300", "--set=backbone.max_length=24")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of pictures."""
    output = tmp_path_factory.mktemp("serve") / "digits"
    return train(output, "image-cls", "--backbone=resnet18", *IMAGE)


@pytest.fixture(scope="session")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of texts."""
    folder = tmp_path_factory.mktemp("serve")
    data = write_rows(
        folder / "topics.csv", ("text", "label"), ("about cats", "on boats", "of hats")
    )
    return train(folder / "topics", "text-cls", "--backbone=minilm", *TEXT, "--dataset", data)


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table that the classifiers of several modalities learn from."""
    return write_table(tmp_path_factory.mktemp("rows"), 40)


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory, rows: Path) -> Path:
    """A classifier of pictures, texts and columns together."""
    parts = ("image=resnet18", "text=minilm", "tabular=tabular-mlp")
    arguments = (*(f"--backbone={part}" for part in parts), *IMAGE, *TEXT)
    output = tmp_path_factory.mktemp("serve") / "mixed"
    return train(output, "fusion-cls", *arguments, "--dataset", rows)


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recogniser of speech."""
    from tests.audio.test_recognition import table

    folder = tmp_path_factory.mktemp("serve")
    settings = ("--set=backbone.size=tiny", "--set=backbone.padding=batch", "--set=dataset.val=0")
    data = table(folder / "words")
    more = ("--backbone=whisper-tiny", *settings, "--dataset", data)
    return train(folder / "asr", "asr", *more, "--set=task.max_new_tokens=8")


@pytest.fixture(scope="session")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that chats about pictures."""
    small = ("dataset.samples=24", "backbone.vocabulary=300", "task.max_new_tokens=6")
    sets = (f"--set={setting}" for setting in small)
    output = tmp_path_factory.mktemp("serve") / "talks"
    more = ("--backbone=vision-chat", "--dataset=chat-pictures", *sets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", NARROW)
        return train(output, "chat", *more)

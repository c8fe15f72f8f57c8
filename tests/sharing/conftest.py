"""Small finished runs, made once for all tests of sharing."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from mmft_core.cli import main
from tests.conftest import make_photo_folder

TEXTS = [
    (f"{start} {noun} {end}", label)
    for label, start, nouns in (
        ("sea", "the wide", ("wave", "ship", "harbour", "tide", "sail", "shore", "whale", "gull")),
        ("wood", "a tall", ("tree", "oak", "fern", "path", "deer", "moss", "branch", "leaf")),
    )
    for noun in nouns
    for end in ("at dawn", "in the rain", "of old")
]


def write_table(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def train(output: Path, *arguments: str | Path) -> Path:
    settings = ("--set", "engine.workers=0", "--epochs", "1", "-o", output)
    main([str(a) for a in ("run", *arguments, *settings)])
    return output


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sharing")


@pytest.fixture(scope="session")
def photos(place: Path, photographs: dict[str, Image.Image]) -> Path:
    return make_photo_folder(place / "photos", photographs, per_class=8)


@pytest.fixture(scope="session")
def texts(place: Path) -> Path:
    return write_table(place / "texts.csv", TEXTS, ("text", "label"))


@pytest.fixture(scope="session")
def image_run(place: Path, photos: Path) -> Path:
    arguments = ("--task", "image-cls", "--backbone", "mobilenet-v3-large", "--weights", "none")
    size = ("--set", "backbone.image_size=48")
    return train(place / "image-run", *arguments, *size, "--dataset", photos)


@pytest.fixture(scope="session")
def text_run(place: Path, texts: Path) -> Path:
    arguments = ("--task", "text-cls", "--backbone", "minilm", "--weights", "none")
    size = ("--set", "backbone.size=tiny", "--set", "backbone.vocabulary=320")
    return train(place / "text-run", *arguments, *size, "--dataset", texts)

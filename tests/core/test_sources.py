"""What a user points at: files, folders, patterns, texts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmft_core.contracts import Processor
from mmft_core.errors import DataError
from mmft_core.inference.sources import Sources, expand


class Texts(Processor):
    suffixes = (".txt", ".md")

    def prepare(self, raw, *, train):
        raise NotImplementedError

    def collate(self, items):
        raise NotImplementedError

    def read(self, source: Path) -> str:
        return source.read_text()

    def parse(self, text: str) -> str:
        return text


class Pictures(Texts):
    suffixes = (".png",)

    def parse(self, text: str) -> None:
        return None


class Rows(Pictures):
    suffixes = ()


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.txt", "a.md", "deep/c.txt", "picture.png"):
        path = tmp_path / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"in {name}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "notes"


@pytest.mark.parametrize(
    "argument, found",
    [
        ("notes/b.txt", ["notes/b.txt"]),
        ("notes", ["notes/a.md", "notes/b.txt", "notes/deep/c.txt"]),
        ("notes/*.txt", ["notes/b.txt"]),
        ("notes/**/*.txt", ["notes/b.txt", "notes/deep/c.txt"]),
        ("notes/picture.png", ["notes/picture.png"]),  # Whoever names a file means it.
    ],
)
def test_files(notes: Path, argument: str, found: list[str]) -> None:
    assert list(expand([argument], Texts())) == [Path(f) for f in found]


@pytest.mark.parametrize(
    "text",
    ["An ordinary sentence.", "What is this?", "see [1] and *that*", "a\nb", "x" * 9000, "~root x"],
)
def test_other_than_files_are_texts_where_the_model_reads_texts(notes: Path, text: str) -> None:
    assert list(expand([text], Texts())) == [text]
    with pytest.raises(DataError, match="found no such file or folder"):
        list(expand([text], Pictures()))


@pytest.mark.parametrize("argument", ["notes/gone.txt", "gone.md"])
def test_a_mistyped_file_is_no_text(notes: Path, argument: str) -> None:
    with pytest.raises(DataError, match=rf"{re.escape(argument)}: found no such file"):
        list(expand([argument], Texts()))


def test_a_folder_without_such_files_says_what_it_looked_for(notes: Path) -> None:
    with pytest.raises(DataError, match=r"notes/deep: found no files ending in \.png"):
        list(expand(["notes/deep"], Pictures()))


@pytest.mark.parametrize("processor", [Texts(), Pictures()])
def test_a_table_is_no_single_input(notes: Path, processor: Processor) -> None:
    Path("notes/rows.csv").write_text("text\na text\n")
    with pytest.raises(DataError, match=r"notes/rows\.csv is a table") as caught:
        list(expand(["notes/rows.csv"], processor))
    assert "--dataset notes/rows.csv" in str(caught.value.hint)


def test_sources_are_read_when_they_are_needed(notes: Path) -> None:
    split = Sources("text", list(expand(["notes/b.txt", "A text."], Texts())), Texts())
    assert [split[i].inputs["text"] for i in range(2)] == ["in b.txt", "A text."]
    assert [split[i].id for i in range(2)] == ["notes/b.txt", "A text."]


def test_a_model_of_rows_is_given_no_files(notes: Path) -> None:
    for argument in ("notes/b.txt", "notes", "absent"):
        with pytest.raises(DataError, match="the model reads no files") as caught:
            list(expand([argument], Rows()))
        assert "--dataset" in str(caught.value.hint)

"""`mmft data check` finds every planted fault, and nothing in the clean copy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Finished
from tests.data_check import corpus

Call = Callable[..., Finished]
CORPORA = {
    "images": (corpus.images, "pictures"),
    "texts": (corpus.texts, "texts.csv"),
    "sounds": (corpus.sounds, "sounds"),
    "mixed": (corpus.mixed, "mixed.csv"),
}


ELSEWHERE = {"target", "unlearnable", "shortened"}
"""Kinds that are found of boxes (see tests/detection), or for a model (see tests/chat)."""

Planted = dict[str, tuple[Path, corpus.Faults]]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Each corpus with its faults; no command may change it."""
    folder = tmp_path_factory.mktemp("faulty")
    return {
        name: (folder / place, make(folder / place, True))
        for name, (make, place) in CORPORA.items()
    }


def found(mmft: Call, path: Path, tmp_path: Path) -> tuple[Finished, set[tuple[str, str]]]:
    ended = mmft("data", "check", path, "--json", tmp_path / "found.json")
    assert ended.code in (0, 1), ended.err
    report = json.loads((tmp_path / "found.json").read_text())
    ids = {(f["kind"], f["id"].removeprefix(f"{path}/")) for f in report["findings"]}
    return ended, {(kind, Path(i).name if "row" in i else i) for kind, i in ids}


def test_there_are_more_than_fifty_planted_faults_of_all_kinds(faulty: Planted) -> None:
    from mmft_data_check.findings import KINDS

    planted = {(name, *fault) for name, (_, faults) in faulty.items() for fault in faults}
    assert len(planted) > 50
    assert {kind for _, kind, _ in planted} == set(KINDS) - ELSEWHERE


@pytest.mark.parametrize("name", CORPORA)
def test_every_planted_fault_is_found_and_nothing_else(
    mmft: Call, name: str, faulty: Planted, tmp_path: Path
) -> None:
    path, planted = faulty[name]
    ended, got = found(mmft, path, tmp_path)
    assert ended.code == 1
    assert got == planted


@pytest.mark.parametrize("name", CORPORA)
def test_there_is_no_false_alarm_on_the_clean_copy(mmft: Call, name: str, tmp_path: Path) -> None:
    make, place = CORPORA[name]
    make(tmp_path / place, False)
    ended, got = found(mmft, tmp_path / place, tmp_path)
    assert got == set() and ended.code == 0
    assert "nothing is wrong" in ended.out


def test_the_page_shows_what_was_found(mmft: Call, faulty: Planted, tmp_path: Path) -> None:
    mmft("data", "check", faulty["images"][0], "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "perhaps wrongly labelled" in page and "moved0.png" in page
    assert page.count("data:image/") > 20 and "http" not in page.split("<body>")[1]
    shown = {item.count("data:image/") for item in page.split("<li>") if " is a copy of " in item}
    assert shown == {2}, "a copy stands beside what it is of"


def test_a_picture_may_have_two_captions_but_not_in_two_splits(mmft: Call, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = ["image,caption,split"]
    for k in range(20):
        pixels = random.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(tmp_path / f"{k}.png")
        rows += [f"{k}.png,caption {c} of number {k},{'train' if k < 12 else 'test'}" for c in "ab"]
    table = tmp_path / "captions.csv"
    table.write_text("\n".join(rows))
    assert found(mmft, table, tmp_path)[1] == set()
    rows[2] = rows[2].replace("train", "test")
    table.write_text("\n".join(rows))
    assert found(mmft, table, tmp_path)[1] == {("leak", "captions.csv, row 1")}


@pytest.mark.parametrize("name", ["images", "sounds", "texts"])
def test_a_cleaned_table_is_clean_and_the_data_stay_as_they_are(
    mmft: Call, name: str, faulty: Planted, tmp_path: Path
) -> None:
    root, _ = faulty[name]
    before = {f: f.stat().st_mtime_ns for f in (root.rglob("*") if root.is_dir() else [root])}
    kinds = (
        "unreadable", "empty", "no-label", "silent", "clipped", "blank", "flat", "extreme-shape",
        "encoding", "odd", "too-long", "conflict", "leak", "duplicate", "near-leak",
        "near-duplicate", "suspect",
    )  # fmt: skip
    remove = [word for kind in kinds for word in ("--remove", kind)]
    ended = mmft("data", "clean", root, "-o", tmp_path / "clean.csv", *remove)
    assert ended.code == 0, ended.err
    assert {f: f.stat().st_mtime_ns for f in before} == before
    removed = (tmp_path / "clean.removed.csv").read_text().splitlines()
    assert len(removed) > 10 and removed[0] == "split,id,kind,reason"
    _, left = found(mmft, tmp_path / "clean.csv", tmp_path)
    # Without the others a wrong label that was hidden may show.
    assert {kind for kind, _ in left} <= {"rare-class", "absent-class", "suspect"}
    assert sum(kind == "suspect" for kind, _ in left) <= 1


def test_a_text_to_be_written_that_is_far_too_long(mmft: Call, tmp_path: Path) -> None:
    rows = [
        f"text number {k} of {k * k % 91} about the weather,summary {k} {k * k % 89}"
        for k in range(40)
    ]
    table = tmp_path / "texts.csv"
    table.write_text("\n".join(["text,summary", *rows]))
    task = ("--task", "summarization", "--json", tmp_path / "found.json")
    assert mmft("data", "check", table, *task).code == 0
    rows[7] += " and more" * 400
    table.write_text("\n".join(["text,summary", *rows]))
    ended = mmft("data", "check", table, *task)
    assert ended.code == 1 and "1 finding" in ended.out
    assert "texts.csv, row 8 has 3,612 characters of target text" in ended.out


def test_a_cleaned_table_keeps_the_columns_that_are_no_inputs(mmft: Call, tmp_path: Path) -> None:
    rows = [f"word{k} of a text,{'ab'[k % 2]},patient {k // 3}" for k in range(20)]
    table = tmp_path / "rows.csv"
    table.write_text("\n".join(["text,label,patient", *rows, rows[4]]))
    assert mmft("data", "clean", table, "-o", tmp_path / "clean.csv").code == 0
    left = (tmp_path / "clean.csv").read_text().splitlines()
    assert left == ["text,label,patient", *rows]


def test_a_table_with_parentheses_in_its_name_keeps_its_columns(
    mmft: Call, photo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    photos = photo_folder(per_class=3)
    rows = [f"photos/{c}/00{k}.jpg,{c},note {k}" for c in ("china", "flower") for k in range(3)]
    (photos / "china" / "001.jpg").write_bytes(b"")
    (tmp_path / "rows (1).csv").write_text("\n".join(["image,label,remark", *rows]))
    clean = tmp_path / "clean.csv"
    ended = mmft("data", "clean", tmp_path / "rows (1).csv", "--task", "image-cls", "-o", clean)
    assert ended.code == 0, ended.err
    del rows[1]
    assert clean.read_text().splitlines() == ["image,label,remark", *rows]


def test_a_stray_text_makes_no_texts_of_pictures(
    mmft: Call, photo_folder: Callable[..., Path]
) -> None:
    photos = photo_folder()
    (photos / "china" / "notes.txt").write_text("Taken in summer.")
    ended = mmft("data", "check", photos)
    assert "24 samples  2 classes  image" in ended.out
    assert "not pictures by their suffix: 1 file (" in ended.out
    for k in range(9):
        (photos / "china" / f"{k}.txt").write_text("Taken in summer.")
    ended = mmft("data", "check", photos)
    assert ended.code == 2 and "image-folder or text-folder" in ended.err


def test_a_table_that_cannot_be_read_comes_with_its_remedy(mmft: Call, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text('text,label\n"a word,a\nanother,b\n')
    ended = mmft("data", "check", table)
    assert ended.code == 2 and "rows.csv, line 2: a quotation mark opens" in ended.err, ended.err
    assert "Close it" in ended.err


def test_the_command_to_clean_knows_what_the_data_are_for(mmft: Call, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    rows = [f"word{k} of a text,{'ab'[k % 2]}" for k in range(20)]
    table.write_text("\n".join(["text,kind", *rows, rows[4]]))
    more = ("--task", "text-cls", "--set", "dataset.target_column=kind")
    ended = mmft("data", "check", table, *more)
    assert ended.code == 1 and f"mmft data clean {table} {' '.join(more)} -o" in ended.out


def test_a_cleaned_folder_is_divided_by_whoever_reads_it(
    mmft: Call, photo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    clean = tmp_path / "clean.csv"
    assert mmft("data", "clean", photo_folder(), "-o", clean).code == 0
    assert clean.read_text().splitlines()[0] == "image,label"


@pytest.mark.usefixtures("narrow_pictures")
def test_a_run_reads_a_cleaned_table(mmft: Call, faulty: Planted, tmp_path: Path) -> None:
    assert mmft("data", "clean", faulty["images"][0], "-o", tmp_path / "clean.csv").code == 0
    run = mmft(
        "run", "--task", "image-cls", "--backbone", "resnet18", "--weights", "none", "--dataset",
        tmp_path / "clean.csv", "--set", "engine.steps=1", "--set", "backbone.image_size=32",
        "--set", "engine.workers=0",
        "-o", tmp_path / "run",
    )  # fmt: skip
    assert run.code == 0, run.err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("check", "nowhere"), "no file or folder nowhere"),
        (("check", "digits", "--task", "image-clss"), "no task named"),
        (("check", "digits", "--set", "engine.lr=1"), "only dataset.KEY"),
        (("check", "digits", "--set", "dataset.tset=0.2"), "tset"),
        (("clean", "digits", "-o", "x.txt"), "neither a .csv"),
        (("clean", "digits", "-o", "x.csv"), "is not in a file"),
        (("clean", "digits", "-o", "x.csv", "--remove", "ugly"), "ugly"),
    ],
)
def test_mistakes_end_in_one_sentence(
    mmft: Call,
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = mmft("data", *arguments)
    assert ended.code == 2 and said in " ".join(ended.err.split()), ended.err
    assert not list(tmp_path.iterdir())

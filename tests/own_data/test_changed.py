"""Data that are no longer what they were: told on resuming, and by `mmft eval` and `predict`."""

from __future__ import annotations

import json
import os
import random
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.own_data.tools import (
    KINDS,
    Mmft,
    hum,
    judged,
    kept_ids,
    picture,
    read_csv,
    refused,
    run_arguments,
    stopped_run,
    text_rows,
    texts,
    weights,
    write_csv,
)

pytestmark = pytest.mark.usefixtures("tiny_backbone", "two_layers")

Change = Callable[[Path], list[str]]
"""Changes data, given them, and says what an error must name."""


def swap(first: Path, second: Path) -> None:
    """Exchange two files as `mv` does, their times kept."""
    aside = first.with_suffix(".aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def swapped_pictures(data: Path) -> list[str]:
    """Of different classes, the same in size and time: only their contents are others."""
    files = [data / "calm" / "03.bmp", data / "foggy" / "08.bmp"]
    assert len({file.stat().st_size for file in files}) == 1
    swap(*files)
    for file in files:
        os.utime(file, (1_700_000_000, 1_700_000_000))
    return ["2 of 45 samples", "calm/03.bmp", "foggy/08.bmp"]


def other_picture(data: Path) -> list[str]:
    picture(999).save(data / "stormy" / "10.bmp")
    return ["1 of 45 samples", "stormy/10.bmp"]


def renamed_picture(data: Path) -> list[str]:
    (data / "calm" / "00.bmp").rename(data / "calm" / "x.bmp")
    return ["calm/x.bmp"]


def one_more_picture(data: Path) -> list[str]:
    picture(777).save(data / "calm" / "new.bmp")
    return ["46 samples now, 45 then", "1 new", "calm/new.bmp"]


def picture_of_a_table(data: Path) -> list[str]:
    picture(888).save(data.parent / "shots" / "17.png")
    return ["1 of 45 samples", "shots.csv, row 18 (shots/17.png)"]


def label_of_a_table(data: Path) -> list[str]:
    rows = read_csv(data)
    rows[7]["label"], rows[8]["label"] = rows[8]["label"], rows[7]["label"]
    write_csv(data, rows)
    return ["2 of 45 samples", "row 8", "row 9"]


def edited_text(data: Path) -> list[str]:
    rows = read_csv(data)
    rows[30]["text"] = rows[30]["text"].replace("coast", "COAST")
    write_csv(data, rows)
    return ["1 of 45 samples", "row 31"]


def other_order(data: Path) -> list[str]:
    rows = read_csv(data)
    random.Random(4).shuffle(rows)
    write_csv(data, rows)
    return ["in another order"]


def one_row_less(data: Path) -> list[str]:
    rows = read_csv(data)
    del rows[12]
    write_csv(data, rows)
    return ["44 samples now, 45 then", "1 gone or changed", "row 13"]


def edited_file(data: Path) -> list[str]:
    (data / "foggy" / "05.txt").write_text("Something else.")
    return ["1 of 45 samples", "foggy/05.txt"]


def other_recording(data: Path) -> list[str]:
    hum(data.parent / "wav" / "21.wav", 500)
    return ["1 of 45 samples", "sounds.csv, row 22"]


def swapped_recordings(data: Path) -> list[str]:
    swap(data / "calm" / "00.wav", data / "stormy" / "01.wav")
    return ["2 of 45 samples", "calm/00.wav", "stormy/01.wav"]


def number_of_a_row(data: Path) -> list[str]:
    rows = read_csv(data)
    rows[2]["wind"] = "99.5"
    write_csv(data, rows)
    return ["1 of 45 samples", "mixed.csv, row 3"]


def picture_of_a_row(data: Path) -> list[str]:
    picture(321).save(data.parent / "pics" / "40.png")
    return ["1 of 45 samples", "mixed.csv, row 41"]


CHANGES: dict[str, tuple[Change, ...]] = {
    "texts": (edited_text, label_of_a_table, other_order, one_row_less),
    "text files": (edited_file,),
    "pictures": (swapped_pictures, other_picture, renamed_picture, one_more_picture),
    "picture table": (picture_of_a_table, label_of_a_table, other_order),
    "recordings": (other_recording, label_of_a_table),
    "sound folder": (swapped_recordings,),
    "mixed": (number_of_a_row, picture_of_a_row),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_resuming_refuses_changed_data(kind: str, tmp_path: Path, mmft: Mmft) -> None:
    data = KINDS[kind].make(tmp_path / "a")
    run = stopped_run(kind, data, tmp_path / "a" / "run")
    for number, change in enumerate(CHANGES[kind]):
        folder = tmp_path / f"copy{number}"
        shutil.copytree(tmp_path / "a", folder)
        named = change(folder / data.relative_to(tmp_path / "a"))
        ended = mmft("run", "--resume", folder / "run")
        refused(ended, "have changed since the run was started", *named, "start a new run")
    assert mmft("run", "--resume", run).code == 0


@pytest.mark.parametrize("kind", ["pictures", "texts"])
def test_a_copy_with_other_times_goes_on_the_same(kind: str, tmp_path: Path, mmft: Mmft) -> None:
    data = KINDS[kind].make(tmp_path / "a")
    stopped_run(kind, data, tmp_path / "a" / "run")
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    for file in (tmp_path / "b" / data.name).rglob("*"):
        os.utime(file)
    stats = [pq.read_table(tmp_path / n / "run" / "samples.parquet")["stat"] for n in "ab"]
    assert stats[0] == stats[1]
    for name in "ab":
        assert mmft("run", "--resume", tmp_path / name / "run").code == 0
    assert weights(tmp_path / "a" / "run") == weights(tmp_path / "b" / "run")
    stats = [pq.read_table(tmp_path / n / "run" / "samples.parquet")["stat"] for n in "ab"]
    assert (stats[0] == stats[1]) == (kind == "texts"), "the next time no file is read again"


def test_skipped_rows_may_be_mended(tmp_path: Path, mmft: Mmft) -> None:
    rows = text_rows()
    rows[5]["text"] = ""
    data = write_csv(tmp_path / "d.csv", rows)
    run = stopped_run("texts", data, tmp_path / "run", on_bad_sample="skip")
    rows[5]["text"] = "It was there all along."
    write_csv(data, rows)
    assert mmft("run", "--resume", run).code == 0
    results = json.loads((run / "results.json").read_text())
    assert sum(results["dataset"]["samples"].values()) == 44


class TestFinishedRuns:
    """`mmft eval` and `mmft predict` on a run's own split."""

    @pytest.fixture
    def run(self, tmp_path: Path, mmft: Mmft) -> Path:
        ended = mmft(*run_arguments("texts", texts(tmp_path), tmp_path / "run"))
        assert ended.code == 0, ended.err
        return tmp_path / "run"

    def edit(self, run: Path, split: str) -> str:
        """Change a text of a split; give its row."""
        data = run.parent / "logs.csv"
        row = int(kept_ids(run, split)[0].rsplit(" ", 1)[1])
        rows = read_csv(data)
        rows[row - 1]["text"] = "Nothing of the kind."
        write_csv(data, rows)
        return f"logs.csv, row {row}"

    def test_changed_rows_are_told(self, run: Path, mmft: Mmft) -> None:
        row, data = self.edit(run, "test"), run.parent / "logs.csv"
        for call in (
            ("eval", run),
            ("eval", run, "--split", "test"),
            ("eval", run, "--split", "all"),
            ("eval", run, "--dataset", data, "--split", "test"),
            ("predict", run, "--dataset", data, "--split", "test"),
            ("export", run, "--format", "torch-export"),
        ):
            refused(mmft(*call), "have changed since the run was started", row, "--split all")
        assert judged(mmft, run, "--dataset", data)["samples"] == 45
        assert judged(mmft, run, "--split", "val")["samples"] == len(kept_ids(run, "val"))

    def test_other_rows_matter_to_no_split(self, run: Path, mmft: Mmft) -> None:
        wanted = judged(mmft, run)
        self.edit(run, "train")
        assert judged(mmft, run) == wanted
        refused(mmft("eval", run, "--split", "train"), "have changed")

    def test_more_rows(self, run: Path, mmft: Mmft) -> None:
        data = run.parent / "logs.csv"
        write_csv(data, [*read_csv(data), {"text": "A late entry.", "label": "calm", "boat": "b"}])
        for call in (("eval", run), ("predict", run, "--dataset", data, "--split", "test")):
            refused(mmft(*call), "46 samples now, 45 then", "logs.csv, row 46")

    def test_data_that_are_gone(self, run: Path, mmft: Mmft) -> None:
        wanted = judged(mmft, run)
        data = run.parent / "logs.csv"
        data.rename(run.parent / "moved.csv")
        refused(mmft("eval", run), "are no longer at", "logs.csv", "--dataset PATH")
        place = run.parent / "moved.csv"
        assert judged(mmft, run, "--dataset", place, "--split", "test") == wanted
        assert judged(mmft, run, f"--set=dataset.path={place}") == wanted

    def test_a_damaged_file(self, run: Path, mmft: Mmft) -> None:
        file = run / "samples.parquet"
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 0xFF
        file.write_bytes(content)
        refused(mmft("eval", run), "samples.parquet cannot be read")

    def test_the_file_is_for_everybody_to_read(self, run: Path) -> None:
        table = pq.read_table(run / "samples.parquet")
        sizes = json.loads((run / "data.json").read_text())["samples"]
        for name, size in sizes.items():
            assert sum(s == name for s in table["split"].to_pylist()) == size
        assert sorted(table["place"].to_pylist()) == list(range(45))


class TestOlderRuns:
    """Runs without samples.parquet, and with paths relative to where they were made."""

    def aged(self, run: Path, data: Path) -> None:
        (run / "samples.parquet").unlink()
        config = (run / "config.toml").read_text().partition("\n[places]")[0]
        path = tomllib.loads(config)["dataset"]["path"]
        config = config.replace(f'path = "{path}"', f'path = "{data}"')
        (run / "config.toml").write_text(config + "\n")

    def test_they_resume(self, tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch) -> None:
        data = texts(tmp_path)
        whole = tmp_path / "whole"
        assert mmft(*run_arguments("texts", data, whole)).code == 0
        run = stopped_run("texts", data, tmp_path / "run")
        self.aged(run, Path("logs.csv"))
        monkeypatch.chdir(tmp_path)
        other = shutil.copy(data, tmp_path / "other.csv")
        refused(mmft("run", "--resume", run, "--dataset", other), "did not record its samples")
        write_csv(data, text_rows(44))
        refused(mmft("run", "--resume", run), "have changed", "samples then")
        write_csv(data, text_rows(45))
        assert mmft("run", "--resume", run).code == 0
        assert weights(run) == weights(whole)

    def test_they_are_judged_and_predict_their_own_rows(
        self, tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = text_rows()
        rows[9]["text"] = ""
        data, run = write_csv(tmp_path / "logs.csv", rows), tmp_path / "run"
        more = ("--on-bad-sample", "skip", "--folds", "2")
        assert mmft(*run_arguments("texts", data, run, *more)).code == 0
        run = run / "fold-2"
        wanted = {n: (kept_ids(run, n), judged(mmft, run, "--split", n)) for n in ("val", "test")}
        self.aged(run, Path("logs.csv"))
        monkeypatch.chdir(tmp_path)
        for name, (ids, figures) in wanted.items():
            assert judged(mmft, run, "--split", name) == figures
            ended = mmft("predict", run, "--dataset", data, "--split", name, "--format", "jsonl")
            assert [json.loads(line)["input"] for line in ended.out.splitlines()] == ids
        write_csv(data, text_rows(44))
        refused(mmft("eval", run), "have changed", "samples then")


def test_folds_that_go_on_find_changed_data(tmp_path: Path, mmft: Mmft) -> None:
    data, output = texts(tmp_path), tmp_path / "run"
    assert mmft(*run_arguments("texts", data, output, "--folds", "2")).code == 0
    shutil.rmtree(output / "fold-2")
    (output / "folds.json").unlink()
    before = data.read_bytes()
    named = edited_text(data)
    refused(mmft("run", "--resume", output), "fold-1 have changed", *named)
    data.write_bytes(before)
    assert mmft("run", "--resume", output).code == 0
    assert (output / "fold-2" / "results.json").is_file()

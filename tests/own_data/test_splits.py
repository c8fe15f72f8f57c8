"""`mmft predict --split S` predicts what `mmft eval --split S` judges: the run's own division."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.own_data.tools import (
    KINDS,
    Mmft,
    judged,
    kept_ids,
    mixed,
    picture,
    predicted,
    read_csv,
    refused,
    run_arguments,
    text_rows,
    texts,
    write_csv,
)

pytestmark = pytest.mark.usefixtures("tiny_backbone", "two_layers")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: None) -> Iterator[dict]:
    """A run for each kind of data, made when it is asked for."""
    from mmft_core.cli import main

    made: dict[str, tuple[Path, Path]] = {}

    def make(kind: str) -> tuple[Path, Path]:
        if kind not in made:
            folder = tmp_path_factory.mktemp("runs")
            data = KINDS[kind].make(folder)
            main(run_arguments(kind, data, folder / "run"))
            made[kind] = folder / "run", data
        return made[kind]

    yield make


def loss_of(mmft: Mmft, run: Path, data: Path, split: str, labels: dict[str, str]) -> float:
    """The mean cross-entropy of the predictions for a split."""
    more = ("--split", split, "--top-k", "9", "--format", "jsonl")
    lines = mmft("predict", run, "--dataset", data, *more).out.splitlines()
    losses = []
    for record in map(json.loads, lines):
        chances = {top["label"]: top["probability"] for top in record["top"]}
        losses.append(-math.log(max(1e-9, chances[labels[record["input"]]])))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("kind", KINDS)
def test_the_runs_own_rows(runs, kind: str, mmft: Mmft) -> None:
    run, data = runs(kind)
    sizes = json.loads((run / "data.json").read_text())["samples"]
    found = {name: predicted(mmft, run, data, name) for name in ("train", "val", "test")}
    for name, ids in found.items():
        assert ids == kept_ids(run, name), name
        assert len(ids) == sizes[name] == judged(mmft, run, "--split", name)["samples"]
        own = judged(mmft, run, "--dataset", data, "--split", name)
        assert own == judged(mmft, run, "--split", name)
    parts = [set(ids) for ids in found.values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 45
    everything = predicted(mmft, run, data, "all")
    assert sorted(everything) == sorted(set.union(*parts))


@pytest.mark.parametrize("kind", ["texts", "picture table", "recordings", "mixed"])
def test_the_loss_of_what_is_predicted_is_the_loss_that_is_judged(
    runs, kind: str, mmft: Mmft
) -> None:
    run, data = runs(kind)
    rows = read_csv(data)
    ids = predicted(mmft, run, data, "all")
    labels = {name: row["label"] for name, row in zip(ids, rows, strict=True)}
    for split in ("train", "test"):
        wanted = judged(mmft, run, "--split", split)["loss"]
        assert loss_of(mmft, run, data, split, labels) == pytest.approx(wanted, abs=2e-3)


def test_built_in_data(mmft: Mmft, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = run_arguments("pictures", "digits", run, "--set=dataset.test=0.02")
    assert mmft(*arguments, "--set=dataset.val=0.05").code == 0
    ids = predicted(mmft, run, "digits", "test")
    assert ids == kept_ids(run, "test") and len(ids) == judged(mmft, run)["samples"] < 60
    refused(
        mmft("predict", run, "--dataset", "digits", "--split", "test", "--set=dataset.test=0.5"),
        "dataset.test is 0.02 in the run",
    )


def test_after_rows_were_skipped_and_in_groups(mmft: Mmft, tmp_path: Path) -> None:
    rows = text_rows(60)
    for bad in (3, 20, 41):
        rows[bad]["text"] = " "
    data = write_csv(tmp_path / "d.csv", rows)
    run = tmp_path / "run"
    more = ("--on-bad-sample", "skip", "--group", "boat")
    assert mmft(*run_arguments("texts", data, run, *more)).code == 0
    boats: dict[str, set[str]] = {}
    for name in ("train", "val", "test"):
        ids = predicted(mmft, run, data, name)
        assert ids == kept_ids(run, name) and judged(mmft, run, "--split", name)["samples"] == len(
            ids
        )
        numbers = [int(i.rsplit(" ", 1)[1]) - 1 for i in ids]
        assert not {3, 20, 41} & set(numbers)
        boats[name] = {rows[k]["boat"] for k in numbers}
    assert not boats["train"] & boats["test"] and not boats["train"] & boats["val"]


def test_in_folds(mmft: Mmft, tmp_path: Path) -> None:
    data, output = texts(tmp_path), tmp_path / "run"
    assert mmft(*run_arguments("texts", data, output, "--folds", "3")).code == 0
    vals = [predicted(mmft, output / f"fold-{k}", data, "val") for k in (1, 2, 3)]
    tests = [predicted(mmft, output / f"fold-{k}", data, "test") for k in (1, 2, 3)]
    assert tests[0] == tests[1] == tests[2]
    everything = {i for ids in (*vals, tests[0]) for i in ids}
    assert sum(map(len, vals)) + len(tests[0]) == len(everything) == 45
    assert judged(mmft, output / "fold-2", "--split", "val")["samples"] == len(vals[1])


def test_the_seed_of_an_evaluation_divides_nothing_anew(runs, mmft: Mmft) -> None:
    run, _ = runs("texts")
    wanted = judged(mmft, run, "--split", "test")
    assert judged(mmft, run, "--split", "test", "--set=engine.seed=7") == wanted


def test_the_runs_own_data_are_read_as_the_run_read_them(runs, mmft: Mmft) -> None:
    run, data = runs("texts")
    for call in (("eval", run), ("predict", run, "--dataset", data, "--split", "test")):
        refused(
            mmft(*call, "--set=dataset.test=0.4"), "dataset.test is 0.1 in the run", "--split all"
        )


def test_a_copy_is_the_runs_own_data(runs, mmft: Mmft, tmp_path: Path) -> None:
    run, data = runs("texts")
    copy = tmp_path / "elsewhere.csv"
    copy.write_bytes(data.read_bytes())
    ids = [i.replace("logs.csv", "elsewhere.csv") for i in kept_ids(run, "test")]
    assert predicted(mmft, run, copy, "test") == ids
    assert judged(mmft, run, "--dataset", copy, "--split", "test") == judged(mmft, run)


def test_a_changed_copy_is_told(runs, mmft: Mmft, tmp_path: Path) -> None:
    run, data = runs("texts")
    bad = int(kept_ids(run, "test")[1].rsplit(" ", 1)[1])
    rows = read_csv(data)
    rows[bad - 1]["text"] += " And a sequel."
    copy = write_csv(tmp_path / "copy.csv", rows)
    for call in (("eval", run), ("predict", run)):
        refused(
            mmft(*call, "--dataset", copy, "--split", "test"),
            "is a copy of the data of",
            f"copy.csv, row {bad}",
        )
    assert judged(mmft, run, "--dataset", copy)["samples"] == 45


@pytest.mark.parametrize("kind", ["texts", "picture table"])
def test_a_copy_in_another_order_and_a_part_are_told(
    runs, kind: str, mmft: Mmft, tmp_path: Path
) -> None:
    run, data = runs(kind)
    rows = read_csv(data)
    if kind == "picture table":
        shutil.copytree(data.parent / "shots", tmp_path / "shots")
    for name, chosen in (("backwards", rows[::-1]), ("part", rows[3:19]), ("few", rows[:5])):
        copy = write_csv(tmp_path / f"{name}.csv", chosen)
        refused(
            mmft("predict", run, "--dataset", copy, "--split", "test"),
            "is a copy of the data of",
            "in another order" if name == "backwards" else f"{len(chosen)} samples now, 45 then",
        )


def test_other_files_of_the_same_names_are_other_data(runs, mmft: Mmft, tmp_path: Path) -> None:
    run, data = runs("picture table")
    (tmp_path / "shots").mkdir()
    for k in range(45):
        picture(500 + k).save(tmp_path / "shots" / f"{k:02}.png")
    for rows in (read_csv(data), read_csv(data)[:40]):
        other = write_csv(tmp_path / "shots.csv", rows)
        ended = mmft("predict", run, "--dataset", other, "--split", "test")
        assert ended.code == 0 and "is not what the run was trained on" in " ".join(
            ended.err.split()
        )


def test_a_changed_copy_that_divides_itself_is_told_and_judged(mmft: Mmft, tmp_path: Path) -> None:
    splits = ["train"] * 5 + ["val", "test"]
    rows = [row | {"split": splits[k % 7]} for k, row in enumerate(text_rows())]
    data, run = write_csv(tmp_path / "logs.csv", rows), tmp_path / "run"
    assert mmft(*run_arguments("texts", data, run)).code == 0
    rows[6]["text"] += " And a sequel."
    copy = write_csv(tmp_path / "copy.csv", rows)
    ended = mmft("eval", run, "--dataset", copy, "--split", "test", "--json")
    told = " ".join(ended.err.split())
    assert ended.code == 0 and json.loads(ended.out)["samples"] == 6, told
    assert "is a copy of the data of" in told and "copy.csv, row 7" in told
    assert "The test split is the data's own." in told


class TestOtherData:
    """Data that the run has never seen."""

    def other(self, folder: Path, count: int = 40, **columns: str) -> Path:
        rows = [
            {"text": f"Quite another remark, number {k}, on {WORDS[k % 3]}", "label": LABELS[k % 3]}
            for k in range(count)
        ]
        return write_csv(folder / "other.csv", rows)

    def test_a_split_that_is_drawn_is_the_same_for_both_and_told(
        self, runs, mmft: Mmft, tmp_path: Path
    ) -> None:
        run, _ = runs("texts")
        data = self.other(tmp_path)
        for split in ("test", "val", "train"):
            ended = mmft("eval", run, "--dataset", data, "--split", split, "--json")
            figures = json.loads(ended.out.splitlines()[-1])
            told = " ".join(ended.err.split())
            assert "is not what the run was trained on" in told and "drawn at random" in told
            more = ("--split", split, "--format", "jsonl")
            ended = mmft("predict", run, "--dataset", data, *more)
            assert len(ended.out.splitlines()) == figures["samples"]
            assert "drawn at random" in ended.err
        labels = {f"other.csv, row {k + 1}": LABELS[k % 3] for k in range(40)}
        assert loss_of(mmft, run, data, "test", labels) == pytest.approx(
            judged(mmft, run, "--dataset", data, "--split", "test")["loss"], abs=2e-3
        )

    def test_without_labels_none_is_drawn(self, runs, mmft: Mmft, tmp_path: Path) -> None:
        run, _ = runs("texts")
        rows = [{"text": row["text"]} for row in read_csv(self.other(tmp_path))]
        data = write_csv(tmp_path / "plain.csv", rows)
        refused(
            mmft("predict", run, "--dataset", data, "--split", "test"),
            "no test split of their own",
            "--split all",
        )
        assert len(predicted(mmft, run, data, "all")) == 40

    def test_splits_of_their_own_need_no_labels(self, runs, mmft: Mmft, tmp_path: Path) -> None:
        run, _ = runs("texts")
        parts = ("train", "val", "test")
        rows = [
            row | {"split": parts[k % 3]} for k, row in enumerate(read_csv(self.other(tmp_path)))
        ]
        for row in rows:
            row["label"] = "" if row["split"] == "test" else row["label"]
        data = write_csv(tmp_path / "half.csv", rows)
        wanted = [f"half.csv, row {k + 1}" for k in range(40) if k % 3 == 2]
        ended = mmft("predict", run, "--dataset", data, "--split", "test", "--format", "jsonl")
        assert ended.code == 0 and "drawn" not in ended.err, ended.err
        assert [json.loads(line)["input"] for line in ended.out.splitlines()] == wanted
        refused(mmft("eval", run, "--dataset", data, "--split", "test"), "it has no label")
        plain = [{k: v for k, v in row.items() if k != "label"} for row in rows]
        data = write_csv(tmp_path / "none.csv", plain)
        assert len(predicted(mmft, run, data, "test")) == 13

    def test_folders_of_splits(self, runs, mmft: Mmft, tmp_path: Path) -> None:
        run, _ = runs("pictures")
        for k in range(48):
            path = tmp_path / "new" / ("train", "test")[k % 2] / LABELS[k % 3] / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(100 + k).save(path)
        data = tmp_path / "new"
        assert len(predicted(mmft, run, data, "test")) == 24
        assert judged(mmft, run, "--dataset", data, "--split", "test")["samples"] == 24
        val = predicted(mmft, run, data, "val")
        assert len(val) == judged(mmft, run, "--dataset", data, "--split", "val")["samples"] == 3

    def test_a_split_that_is_not_there(self, runs, mmft: Mmft, tmp_path: Path) -> None:
        run, data = runs("texts")
        for name, place in (("own", data), ("other", self.other(tmp_path))):
            (
                refused(
                    mmft("predict", run, "--dataset", place, "--split", "dev"), "has no split 'dev'"
                ),
                name,
            )


LABELS = ("calm", "stormy", "foggy")
WORDS = ("ropes", "sails", "anchors")


def test_text_files_are_predicted_whole(runs, mmft: Mmft, tmp_path: Path) -> None:
    run, _ = runs("text files")
    folder = tmp_path / "flat"
    folder.mkdir()
    for k in range(3):
        (folder / f"{k}.txt").write_text("High waves all day, no end of it.\n" * 100)
    assert predicted(mmft, run, folder, "all") == [str(folder / f"{k}.txt") for k in range(3)]


def test_an_index_holds_the_split_of_the_run(mmft: Mmft, tmp_path: Path) -> None:
    data = mixed(tmp_path)
    settings = (
        "--set=task=contrastive", "--set=backbone.image.name=tiny",
        "--set=backbone.text.name=minilm", "--set=backbone.weights=none",
        "--set=backbone.image_size=32", "--set=backbone.size=tiny",
        "--set=backbone.vocabulary=300", "--set=engine.steps=1", "--set=engine.workers=0",
    )  # fmt: skip
    run = tmp_path / "run"
    assert mmft("run", *settings, "--dataset", data, "-o", run).code == 0
    ended = mmft("index", run, "--dataset", data, "--split", "test", "--modality", "image")
    assert ended.code == 0, ended.err
    assert f"{len(kept_ids(run, 'test'))} new" in ended.out


class TestOtherLabels:
    """Copies of a run's data in which the same inputs have other labels."""

    def relabelled(self, kind: str, data: Path, folder: Path) -> Path:
        """A copy in which half of the labels begin with a capital and end with a space."""
        for name in ("shots", "wav", "pics"):
            if (data.parent / name).is_dir():
                shutil.copytree(data.parent / name, folder / name)
        rows = read_csv(data)
        for row in rows[::2]:
            row["label"] = f"{row['label'].title()} "
        return write_csv(folder / "relabelled.csv", rows)

    @pytest.mark.parametrize("kind", ["texts", "picture table", "recordings", "mixed"])
    def test_their_splits_are_the_runs(self, runs, kind: str, mmft: Mmft, tmp_path: Path) -> None:
        run, data = runs(kind)
        copy = self.relabelled(kind, data, tmp_path)
        for split in ("train", "test"):
            ids = [i.replace(data.name, copy.name) for i in kept_ids(run, split)]
            ended = mmft("predict", run, "--dataset", copy, "--split", split, "--format", "jsonl")
            assert [json.loads(line)["input"] for line in ended.out.splitlines()] == ids
            told = " ".join(ended.err.split())
            assert "with other labels or file names" in told and "drawn" not in told
            odd = sum(int(i.partition(", row ")[2].split()[0]) % 2 for i in ids)
            assert f"{odd} of {len(ids)} samples have other labels" in told
        refused(
            mmft("eval", run, "--dataset", copy, "--split", "test"), "Calm"
        )  # Not one of the model's classes.

    def test_numbers_that_are_written_otherwise(self, mmft: Mmft, tmp_path: Path) -> None:
        rows = [{**row, "label": str(k % 3)} for k, row in enumerate(text_rows())]
        data, run = write_csv(tmp_path / "d.csv", rows), tmp_path / "run"
        assert mmft(*run_arguments("texts", data, run)).code == 0
        copy = write_csv(tmp_path / "c.csv", [r | {"label": f"{r['label']}.0"} for r in rows])
        ids = [i.replace("d.csv", "c.csv") for i in kept_ids(run, "test")]
        assert predicted(mmft, run, copy, "test") == ids

    def test_in_another_order_they_are_refused(self, runs, mmft: Mmft, tmp_path: Path) -> None:
        run, data = runs("texts")
        rows = read_csv(self.relabelled("texts", data, tmp_path))
        for name, chosen in (("backwards", rows[::-1]), ("part", rows[7:20])):
            copy = write_csv(tmp_path / f"{name}.csv", chosen)
            refused(
                mmft("predict", run, "--dataset", copy, "--split", "test"), "is a copy of the data"
            )

    def test_pictures_under_other_names(self, runs, mmft: Mmft, tmp_path: Path) -> None:
        run, data = runs("picture table")
        shutil.copytree(data.parent / "shots", tmp_path / "moved")
        rows = read_csv(data)
        for row in rows:
            row["image"] = row["image"].replace("shots", "moved")
        copy = write_csv(tmp_path / "shots.csv", rows)
        ids = [i.replace("(shots", "(moved") for i in kept_ids(run, "test")]
        assert predicted(mmft, run, copy, "test") == ids
        assert judged(mmft, run, "--dataset", copy, "--split", "test") == judged(mmft, run)

    def test_in_runs_of_older_versions_they_are_other_data(
        self, runs, mmft: Mmft, tmp_path: Path
    ) -> None:
        import pyarrow.parquet as pq

        run, data = runs("texts")
        old = Path(shutil.copytree(run, tmp_path / "old"))
        table = pq.read_table(old / "samples.parquet")
        pq.write_table(table.drop_columns(["inputs"]), old / "samples.parquet")
        assert judged(mmft, old, "--dataset", data, "--split", "test") == judged(mmft, run)
        rows = read_csv(data)
        copy = write_csv(tmp_path / "backwards.csv", rows[::-1])
        refused(mmft("predict", old, "--dataset", copy, "--split", "test"), "in another order")

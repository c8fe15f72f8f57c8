"""Tables, folders and published layouts of recordings: what is found, and what is wrong by row."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmft_audio.recordings import load
from mmft_core import DatasetSpec
from mmft_core.config.options import convert
from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.discovery import discover
from mmft_core.errors import DataError, SampleError
from tests.audio.tools import BROKEN, write


def build(name: str, target: str = "text", *, training: bool = True, **options: Any) -> Dataset:
    component = discover().get(DatasetSpec, f"audio/{name}")
    typed = convert(options, component.options_type(), "dataset")
    dataset = component.build(typed, DatasetContext(target=target, training=training))
    assert isinstance(dataset, Dataset)
    return dataset


def make_table(path: Path, rows: list[Mapping[str, Any]], separator: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return path


def faults(dataset: Dataset, split: str = "train") -> dict[str, str]:
    found = {}
    for index in range(len(dataset.splits[split])):
        try:
            dataset.splits[split].check(index)
        except SampleError as error:
            found[error.sample_id] = error.reason
    return found


class TestTables:
    def table(self, folder: Path) -> Path:
        rows = []
        for i in range(12):
            file = write(folder / "clips" / f"{i}.flac", 0.5 + i / 10)
            label = ("yes", "no")[i % 2]
            split = "test" if i > 9 else "train"
            rows.append(
                {
                    "file": file.relative_to(folder),
                    "text": f"said {i}",
                    "label": label,
                    "split": split,
                }
            )
        return make_table(folder / "table.csv", rows)

    def test_columns_are_found(self, tmp_path: Path) -> None:
        path = str(self.table(tmp_path))
        texts = build("audio-table", path=path, val=0.0)
        assert len(texts.splits["train"]) == 10 and len(texts.splits["test"]) == 2
        sample = texts.splits["train"][3]
        assert sample.target == "said 3" and sample.id == "table.csv, row 4 (clips/3.flac)"
        assert len(load(sample.inputs["audio"], 16_000)) == 12_800
        sizes = texts.splits["train"].sizes()
        assert sizes == pytest.approx([0.5 + i / 10 for i in range(10)])
        classes = build("audio-table", "class", path=path, val=0.0)
        assert classes.info.classes == ("no", "yes")
        assert classes.splits["train"].target(1) == "no"
        assert build("audio-table", "none", path=path).splits["train"].target(0) is None
        assert not faults(texts)

    def test_parts_of_files(self, tmp_path: Path) -> None:
        write(tmp_path / "talk.wav", 6.0)
        rows = [
            {"audio": "talk.wav", "start": a, "end": b, "text": f"{a} to {b}"}
            for a, b in ((0, 1.5), (1.5, 4), (4, ""), (5, 9))
        ]
        path = make_table(tmp_path / "t.tsv", rows, "\t")
        split = build("audio-table", path=str(path), val=0.0, test=0.0).splits["train"]
        lengths = [len(load(split[i].inputs["audio"], 16_000)) for i in range(3)]
        assert lengths == [24_000, 40_000, 32_000]
        with pytest.raises(SampleError, match=r"row 4 .*ends at 9 s, but the file is 6.00 s long"):
            split.check(3)

    def test_every_bad_row_is_named(self, tmp_path: Path) -> None:
        rows: list[Mapping[str, Any]] = []
        for number, (name, make, _) in enumerate(BROKEN.values()):
            file = tmp_path / str(number) / name
            file.parent.mkdir()
            make(file)
            rows.append({"audio": file.relative_to(tmp_path), "text": "a"})
        write(tmp_path / "good.wav")
        rows += [
            {"audio": "good.wav", "text": "fine"},
            {"audio": "good.wav", "text": ""},
            {"audio": "", "text": "a"},
        ]
        path = make_table(tmp_path / "t.csv", rows)
        dataset = build("audio-table", path=str(path), val=0.0, test=0.0)
        found = {int(i.split("row ")[1].split()[0]): r for i, r in faults(dataset).items()}
        good = len(BROKEN) + 1
        assert set(found) == set(range(1, len(rows) + 1)) - {good}
        for number, (_, _, reason) in enumerate(BROKEN.values(), start=1):
            assert reason in found[number]
        assert found[good + 1] == "it has no transcript" and found[good + 2] == "it names no file"

    @pytest.mark.parametrize(
        ("rows", "options", "message"),
        [
            ([{"x": 1, "text": "a"}], {}, "no column that is clearly the path of the recording"),
            ([{"audio": "a.wav", "x": 1}], {}, "no column that is clearly the transcript"),
            ([{"audio": "a.wav", "text": "a"}], {"target_column": "txt"}, "no column 'txt'.*text"),
            ([{"audio": "a", "text": "a", "start": "soon"}], {}, "row 1: 'soon' in column 'start'"),
        ],
    )
    def test_columns_that_are_wrong(
        self, tmp_path: Path, rows: Any, options: Any, message: str
    ) -> None:
        path = make_table(tmp_path / "t.csv", rows)
        with pytest.raises(DataError, match=message):
            build("audio-table", path=str(path), **options)


class TestFolders:
    def test_class_folders(self, tmp_path: Path) -> None:
        for label in ("dog", "cat"):
            for i in range(3):
                write(tmp_path / label / f"{i}.ogg")
        dataset = build("audio-folder", "class", path=str(tmp_path), val=0.0, test=0.0)
        assert dataset.info.classes == ("cat", "dog") and len(dataset.splits["train"]) == 6
        assert not faults(dataset)
        assert dataset.splits["train"].sizes() == pytest.approx([0.5] * 6, abs=0.01)

    def test_transcripts_beside_and_in_listings(self, tmp_path: Path) -> None:
        write(tmp_path / "train" / "a.wav")
        (tmp_path / "train" / "a.txt").write_text("first\n")
        write(tmp_path / "train" / "7" / "7-1.flac")
        write(tmp_path / "train" / "7" / "7-2.flac")
        (tmp_path / "train" / "7" / "7.trans.txt").write_text("7-1 SECOND ONE\n7-3 NOBODY\n")
        write(tmp_path / "test" / "b.mp3")
        (tmp_path / "test" / "b.txt").write_text("third")
        dataset = build("audio-folder", path=str(tmp_path), val=0.0)
        train = dataset.splits["train"]
        said = {Path(train.sample_id(i)).name: i for i in range(len(train))}
        assert train.target(said["a.wav"]) == "first"
        assert train.target(said["7-1.flac"]) == "SECOND ONE"
        assert list(faults(dataset).values()) == ["it has no transcript"]
        assert next(iter(faults(dataset))).endswith("7-2.flac")
        assert dataset.splits["test"].target(0) == "third"

    def test_nothing_in_it(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="There are no recordings in"):
            build("audio-folder", path=str(tmp_path))


class TestPublished:
    def test_librispeech(self, tmp_path: Path) -> None:
        for subset in ("train-clean-100", "dev-clean", "test-clean"):
            folder = tmp_path / "LibriSpeech" / subset / "84" / "121123"
            write(folder / "84-121123-0000.flac")
            (folder / "84-121123.trans.txt").write_text(f"84-121123-0000 GO {subset.upper()}\n")
        dataset = build("librispeech", root=str(tmp_path))
        assert {n: s.target(0) for n, s in dataset.splits.items()} == {
            "train": "go train-clean-100",
            "val": "go dev-clean",
            "test": "go test-clean",
        }
        kept = build("librispeech", root=str(tmp_path), lower=False)
        assert kept.splits["train"].target(0) == "GO TRAIN-CLEAN-100"

    def test_speech_commands(self, tmp_path: Path) -> None:
        folder = tmp_path / "SpeechCommands" / "speech_commands_v0.02"
        for word in ("yes", "no"):
            for i in range(4):
                write(folder / word / f"{i}.wav")
        write(folder / "_background_noise_" / "hum.wav")
        (folder / "validation_list.txt").write_text("yes/0.wav\nno/0.wav\n")
        (folder / "testing_list.txt").write_text("yes/1.wav\n")
        dataset = build("speech-commands", "class", root=str(tmp_path))
        assert {n: len(s) for n, s in dataset.splits.items()} == {"train": 5, "val": 2, "test": 1}
        assert dataset.info.classes == ("no", "yes")
        assert dataset.splits["test"].target(0) == "yes"
        assert build("speech-commands", root=str(tmp_path)).splits["test"].target(0) == "yes"

    @pytest.mark.parametrize("name", ["librispeech", "speech-commands"])
    def test_what_is_missing_cannot_be_fetched(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mmft_audio import published

        for constant in ("_LIBRISPEECH", "_COMMANDS"):
            monkeypatch.setattr(published, constant, "http://127.0.0.1:9")
        with pytest.raises(DataError, match="does not exist and cannot be downloaded"):
            build(name, "text", root=str(tmp_path))
        assert not any(path.is_file() for path in tmp_path.rglob("*"))

    def test_common_voice(self, tmp_path: Path) -> None:
        for name in ("train", "test"):
            write(tmp_path / "clips" / f"{name}.mp3")
            row = {"client_id": "x", "path": f"{name}.mp3", "sentence": f"A {name}.", "age": ""}
            make_table(tmp_path / f"{name}.tsv", [row] * 3, "\t")
        dataset = build("common-voice", path=str(tmp_path))
        assert {n: len(s) for n, s in dataset.splits.items()} == {"train": 3, "test": 3}
        assert dataset.splits["train"].target(0) == "A train." and not faults(dataset)
        with pytest.raises(DataError, match=r"There is no train.tsv in"):
            build("common-voice", path=str(tmp_path / "clips"))


class TestSpokenCommands:
    def test_neither_voices_nor_phrases_leak(self) -> None:
        from mmft_audio.spoken_commands import SIZES, corpus

        utterances = list(corpus())
        by_split = {name: [u for u in utterances if u.split == name] for name in SIZES}
        assert {name: len(found) for name, found in by_split.items()} == SIZES
        for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
            assert not {u.voice for u in by_split[one]} & {u.voice for u in by_split[other]}
            assert not {u.text for u in by_split[one]} & {u.text for u in by_split[other]}
        learned = {word for u in by_split["train"] for word in u.text.split()}
        assert {word for u in utterances for word in u.text.split()} == learned
        for found in by_split.values():
            counts = np.unique([u.label for u in found], return_counts=True)[1]
            assert len(counts) == 10 and counts.max() - counts.min() <= 1
        assert list(corpus()) == utterances

    def test_they_are_labelled_as_synthetic_and_sound(self) -> None:
        dataset = build("spoken-commands", "class", samples=40)
        assert dataset.info.synthetic and "synthetic" in dataset.info.source
        train = dataset.splits["train"]
        assert len(train) == 40 and len(dataset.info.classes) == 10
        for index in range(0, 40, 8):
            train.check(index)
            wave = load(train[index].inputs["audio"], 16_000)
            assert 8_000 < len(wave) < 96_000 and float(wave.abs().max()) > 0.05

    def test_a_generation_that_is_cut_off_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mmft_audio import speaking

        def fail(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(speaking, "_speak_all", fail)
        with pytest.raises(KeyboardInterrupt):
            build("spoken-commands")
        assert not list((tmp_path / "mmft").iterdir())

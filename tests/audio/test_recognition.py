"""Speech recognition from the command line: runs, predictions in every format, evaluation."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.audio.networks import RATE, sound
from tests.audio.test_datasets import make_table
from tests.audio.tools import truncated, write
from tests.conftest import Finished

Mmft = Callable[..., Finished]
WORDS = ("go left", "stop now", "turn right", "play")


def table(folder: Path, *, rows: int = 16) -> Path:
    found = []
    for i in range(rows):
        file = folder / f"{i}.wav"
        folder.mkdir(exist_ok=True)
        soundfile.write(file, sound(0.6 + i / 20, i % 4), RATE)
        split = ("train", "train", "train", "test")[i // 4 % 4]
        found.append({"audio": file.name, "text": WORDS[i % 4], "split": split})
    return make_table(folder / "table.csv", found)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return table(tmp_path_factory.mktemp("data") / "words")


def run_arguments(data: Path, output: Path, *more: str) -> list[str | Path]:
    settings = ["backbone.size=tiny", "backbone.padding=batch", "engine.workers=0", "dataset.val=0"]
    arguments = ["run", "--task", "asr", "--backbone", "whisper-tiny", "--weights", "none"]
    return [*arguments, "--dataset", data, "-o", output, *(f"--set={s}" for s in settings), *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run that knows the four phrases by heart."""
    from mmft_core.cli import main

    output = tmp_path_factory.mktemp("asr") / "run"
    # Played faster, one phrase would sound like another: pitch is all that tells them apart.
    plain = ("--set=backbone.spec_augment=false", "--set=backbone.speed=0")
    more = ("--epochs", "70", "--batch-size", "6", *plain)
    arguments = run_arguments(data, output, *more, "--set=backbone.noise=0", "--lr", "2e-3")
    main([str(a) for a in arguments])
    return output


def lines(finished: Finished) -> list[dict]:
    return [json.loads(line) for line in finished.out.splitlines()]


@pytest.mark.slow
class TestRuns:
    def test_it_learns(self, trained: Path) -> None:
        results = json.loads((trained / "results.json").read_text())
        figures = results["metrics"]["test"]
        assert figures["wer"] < 0.2 and figures["wer/normalized"] < 0.2
        parts = [figures[f"wer/{k}"] for k in ("insertions", "deletions", "substitutions")]
        assert sum(parts) == pytest.approx(figures["wer"])
        assert 0 < figures["real-time-factor"] < 50

    def test_files_in_every_format(self, trained: Path, data: Path, mmft: Mmft) -> None:
        file = data.parent / "13.wav"
        (record,) = lines(mmft("predict", trained, file))
        assert record["text"] == WORDS[1] and record["duration"] == pytest.approx(1.25)
        assert record["segments"] == [{"start": 0.0, "end": 1.25, "text": WORDS[1]}]
        assert mmft("predict", trained, file, "--format", "text").out == f"{WORDS[1]}\n"
        srt = mmft("predict", trained, file, "--format", "srt").out
        number, times, text = srt.splitlines()
        assert number == "1" and text == WORDS[1]
        assert times.startswith("00:00:0") and " --> 00:00:0" in times
        vtt = mmft("predict", trained, file, "--format", "vtt").out
        assert vtt.startswith("WEBVTT\n\n00:00:0") and WORDS[1] in vtt
        settings = ("--set", "task.timestamps=words")
        (record,) = lines(mmft("predict", trained, file, "--format", "jsonl", *settings))
        assert [word["word"] for word in record["words"]] == WORDS[1].split()

    def test_captions_of_several(self, trained: Path, data: Path, tmp_path: Path, mmft) -> None:
        refused = mmft("predict", trained, data.parent, "--format", "srt")
        assert refused.code == 2 and "Give -o FOLDER" in refused.err and not refused.out
        assert mmft("predict", trained, data.parent, "--format", "vtt", "-o", tmp_path / "out")
        written = sorted((tmp_path / "out").iterdir())
        assert len(written) == 16 and written[0].name == "0.vtt"
        assert all(path.read_text().startswith("WEBVTT\n") for path in written)

    def test_standard_input(
        self,
        trained: Path,
        data: Path,
        tmp_path: Path,
        mmft: Mmft,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def feed(content: bytes) -> None:
            stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)))
            monkeypatch.setattr(sys, "stdin", stream)

        first, second = (data.parent / f"{i}.wav" for i in (12, 14))
        feed(f"{first}\n{second}\n".encode())
        assert [r["text"] for r in lines(mmft("predict", trained, "-"))] == [WORDS[0], WORDS[2]]
        feed(second.read_bytes())
        (record,) = lines(mmft("predict", trained, "-"))
        assert record["input"] == "-" and record["text"] == WORDS[2]
        feed(second.read_bytes())
        assert mmft("predict", trained, "-", "--format", "srt").out.splitlines()[-1] == WORDS[2]
        for form in ("flac", "ogg", "mp3"):
            soundfile.write(tmp_path / f"x.{form}", soundfile.read(second)[0], RATE)
            feed((tmp_path / f"x.{form}").read_bytes())
            (record,) = lines(mmft("predict", trained, "-"))
            assert record["text"] == WORDS[2], form

    def test_long_recordings_in_pieces(self, trained: Path, tmp_path: Path, mmft: Mmft) -> None:
        silence = np.zeros(RATE, dtype="float32")
        parts = [part for _ in range(10) for part in (sound(1.2, 1), silence, silence, silence)]
        soundfile.write(tmp_path / "long.flac", np.concatenate(parts), RATE)
        (record,) = lines(mmft("predict", trained, tmp_path / "long.flac"))
        assert record["duration"] == pytest.approx(42.0, abs=0.1)
        assert len(record["segments"]) >= 2
        starts = [segment["start"] for segment in record["segments"]]
        assert starts == sorted(starts) and 15 <= starts[1] <= 30
        finer = ("--set", "task.piece_seconds=8")
        (shorter,) = lines(mmft("predict", trained, tmp_path / "long.flac", *finer))
        assert len(shorter["segments"]) > len(record["segments"])
        assert all(s["end"] - s["start"] <= 8.01 for s in shorter["segments"])

    def test_a_bad_file_is_named_and_the_others_are_predicted(
        self, trained: Path, data: Path, tmp_path: Path, mmft: Mmft
    ) -> None:
        truncated(tmp_path / "cut.wav")
        (tmp_path / "text.wav").write_text("no sound")
        good = data.parent / "12.wav"
        finished = mmft("predict", trained, tmp_path / "cut.wav", good, tmp_path / "text.wav")
        assert finished.code == 2 and "2 of 3 inputs could not be read" in finished.err
        cut, fine, text = lines(finished)
        assert "is cut short" in cut["error"] and "is not audio" in text["error"]
        assert fine["text"] == WORDS[0]

    def test_other_data(self, trained: Path, tmp_path: Path, mmft: Mmft) -> None:
        folder = tmp_path / "other"
        write(folder / "a.wav", 1.0)
        (folder / "a.txt").write_text("go left")
        finished = mmft("eval", trained, "--dataset", folder, "--json")
        figures = json.loads(finished.out)
        assert figures["samples"] == 1 and figures["wer"] >= 0

    def test_it_goes_on_where_it_was_stopped(self, trained: Path, data: Path, mmft: Mmft) -> None:
        tuned = trained.parent / "tuned"
        more = ("--weights", str(trained), "--tune", "lora", "--epochs", "1")
        arguments = [a for a in run_arguments(data, tuned) if a not in ("--weights", "none")]
        assert mmft(*arguments, *more).code == 0
        results = json.loads((tuned / "results.json").read_text())
        assert results["metrics"]["test"]["wer"] < 0.5


@pytest.mark.usefixtures("narrow_networks")
def test_the_data_are_checked_before_training(tmp_path: Path, mmft: Mmft) -> None:
    path = table(tmp_path / "words")
    folder = path.parent
    truncated(folder / "1.wav")
    soundfile.write(folder / "2.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "3.wav", np.zeros(0), RATE)
    write(folder / "5.wav", 31.0)
    rows = path.read_text().splitlines()
    rows[5] = f"4.wav,{'stop now ' * 300},train"
    path.write_text("\n".join(rows) + "\n")
    finished = mmft(*run_arguments(path, tmp_path / "run"))
    assert finished.code == 2 and "5 of 16 samples cannot be used" in finished.err
    for row, reason in (
        (2, "is cut short"),
        (3, "nothing but silence"),
        (4, "holds no audio"),
        (5, "tokens long, and the model writes"),
        (6, "31.0 s long, and the network learns from 30 s"),
    ):
        assert f"table.csv, row {row} ({row - 1}.wav): " in finished.err and reason in finished.err
    assert "Traceback" not in finished.err and not (tmp_path / "run").exists()
    skipped = mmft(
        *run_arguments(path, tmp_path / "run", "--on-bad-sample", "skip", "--set=engine.steps=1")
    )
    assert skipped.code == 0
    told = json.loads((tmp_path / "run" / "data.json").read_text())
    assert len(told["skipped"]) == 5
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<h2>Most errors" in page and page.count("<audio") >= 4
    assert "data:audio/mpeg;base64," in page and "data:image/jpeg;base64," in page
    assert "<del" in page and "<ins" in page


def with_long_ones(folder: Path) -> Path:
    """A table whose rows 2 and 3 are of train and longer than the network hears at once."""
    path = table(folder)
    write(folder / "0.wav", 31.0)
    write(folder / "1.wav", 33.0)
    rows = path.read_text().splitlines()
    rows[2] = f"1.wav,{'stop now ' * 300},train"  # Of more tokens than it writes at once.
    path.write_text("\n".join(rows) + "\n")
    return path


SHORT = ("--set=task.num_beams=1", "--set=task.max_new_tokens=8", "--set=task.piece_seconds=4")


@pytest.mark.usefixtures("narrow_networks")
def test_what_is_only_judged_may_be_long(tmp_path: Path, mmft: Mmft) -> None:
    path = with_long_ones(tmp_path / "words")
    refused = mmft(*run_arguments(path, tmp_path / "learning", "--epochs", "1"))
    assert refused.code == 2 and "2 of 16 samples cannot be used" in refused.err
    assert "row 1 (0.wav): it is 31.0 s long, and the network learns from 30 s" in refused.err
    assert "mmft data clean DATA --task asr --longest 30 --aligner" in refused.err
    judged = tmp_path / "judged"
    finished = mmft(*run_arguments(path, judged, "--epochs", "0", *SHORT))
    assert finished.code == 0, finished.err
    told = json.loads((judged / "data.json").read_text())
    assert told["skipped"] == [] and told["samples"] == {"train": 12, "test": 4}
    assert any("longer than the model can write at once" in line for line in told["changed"])
    train = mmft("eval", judged, "--split", "train", "--json")
    assert json.loads(train.out)["samples"] == 12
    words = 600 + sum(len(WORDS[i % 4].split()) for i in range(12)) - 2
    shares = [json.loads(train.out)[f"wer/{k}"] for k in ("deletions", "substitutions")]
    # Each word of the reference counts, whatever a network that knows nothing writes.
    assert sum(shares) * words == pytest.approx(round(sum(shares) * words), abs=1e-3)


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("backbone", ["whisper-tiny", "wav2vec2-base", "ast-base"])
def test_classification(backbone: str, tmp_path: Path, mmft: Mmft) -> None:
    for label, pitch in (("low", 200), ("high", 2000)):
        for i in range(8):
            path = tmp_path / "sounds" / label / f"{i}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            time = np.arange(RATE // 2) / RATE
            soundfile.write(path, 0.3 * np.sin(2 * np.pi * (pitch + 20 * i) * time), RATE)
    settings = ("--set=backbone.size=tiny", "--set=engine.workers=0", "--set=dataset.val=0.25")
    arguments = ("--task", "audio-cls", "--backbone", backbone, "--weights", "none")
    output = tmp_path / "run"
    more = ("--dataset", tmp_path / "sounds", "--epochs", "1", "--batch-size", "4", "-o", output)
    assert mmft("run", *arguments, *more, *settings).code == 0
    file = tmp_path / "sounds" / "low" / "0.flac"
    (record,) = lines(mmft("predict", output, file))
    assert record["label"] in ("low", "high")


@pytest.mark.usefixtures("narrow_networks")
def test_batches_of_so_many_seconds(data: Path, tmp_path: Path, mmft: Mmft, photo_folder) -> None:
    more = ("--set=engine.batch_total=4", "--epochs", "2", "--set=engine.log_every=1")
    assert mmft(*run_arguments(data, tmp_path / "run", *more)).code == 0
    records = [json.loads(r) for r in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in records if "split" not in record]
    # 12 recordings of 0.6 to 1.15 s, 10.5 s in all: three or four passes of 4 s at most.
    assert len(steps) in (6, 8)
    both = [
        json.loads(mmft("eval", tmp_path / "run", "--json", *how).out)
        for how in ((), ("--set=engine.batch_total=none", "--batch-size", "3"))
    ]
    assert both[0]["samples"] == both[1]["samples"] == 4
    assert both[0]["wer"] == both[1]["wer"] and both[0]["loss"] == pytest.approx(both[1]["loss"])
    arguments = ("run", "--task", "image-cls", "--backbone", "resnet18", "--weights", "none")
    refused = mmft(
        *arguments, "--dataset", photo_folder(), "--set=engine.batch_total=4", "-o", tmp_path / "x"
    )
    assert refused.code == 2 and "samples of this data set have no sizes" in refused.err
    assert not (tmp_path / "x").exists()

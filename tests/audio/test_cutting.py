"""`mmft data clean --longest`: long recordings become pieces, each with the words said in it."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from pyarrow import parquet

from mmft_audio.dividing import Words, choose_bounds, divide
from mmft_audio.espeak import Voice, synthesizer
from mmft_audio.recognizer import Recognizer
from mmft_audio.recordings import Recording, load
from tests.audio.networks import real_whisper
from tests.audio.tools import write_media
from tests.conftest import Finished
from tests.own_data.tools import read_csv, write_csv

Mmft = Callable[..., Finished]
RATE = 8000
VOCABULARY = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SPOKEN = 0.4
"""Seconds of a word; words of a phrase follow each other without a pause."""


def spoken(word: str) -> np.ndarray:
    """A word as a tone of its own, that swells and fades."""
    pitch = 400 + 100 * VOCABULARY.index(word.strip(".,!?").lower())
    time = np.arange(round(SPOKEN * RATE)) / RATE
    return (
        0.4 * np.sin(2 * np.pi * pitch * time) * np.minimum(1, 12 * np.minimum(time, SPOKEN - time))
    )


def recording(path: Path, phrases: Sequence[str], pause: float = 0.5, **more) -> Path:
    """Write phrases with pauses between them; `more` goes to soundfile."""
    random, parts = np.random.default_rng(0), []
    for phrase in phrases:
        parts += [spoken(word) for word in phrase.split() if word != "—"]
        parts.append(np.zeros(round(pause * RATE)))
    samples = np.concatenate(parts)
    samples += 1e-4 * random.standard_normal(len(samples))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.astype(np.float32), RATE, **more)
    return path


class ByTone(Recognizer):
    """Hears words by their tones; some of them always wrongly."""

    def __init__(self, wrong: Sequence[str] = ()) -> None:
        self.wrong = wrong

    def write(self, recordings: Sequence[Recording]) -> list[str]:
        return [" ".join(self._words(load(each, RATE))) for each in recordings]

    def _words(self, wave: torch.Tensor) -> list[str]:
        found: list[str] = []
        hop = round(SPOKEN / 4 * RATE)
        last, run = "", 0
        for frame in wave.split(hop):
            word = ""
            if float(frame.square().mean()) > 1e-3:
                pitch = int(torch.fft.rfft(frame, 8000).abs().argmax())
                word = VOCABULARY[min(9, max(0, round((pitch - 400) / 100)))]
            run = run + 1 if word == last else 1
            last = word
            if word and run in (3, 7, 11):  # As of the same word again.
                found.append("what" if word in self.wrong else word)
        return found


@pytest.fixture
def by_tone(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(*wrong: str) -> None:
        monkeypatch.setattr(Recognizer, "of", lambda place, train: ByTone(wrong))

    use()
    return use


def clean(mmft: Mmft, data: Path, output: Path, *more: object) -> Finished:
    arguments = ("--task", "asr", "--longest", "6", "--aligner", "tones", "-o", output, *more)
    return mmft("data", "clean", data, *map(str, arguments))


PHRASES = ("One two, three.", "Four five", "six — seven eight", "nine", "ten one two", "three four")
LONG = [*PHRASES, "Five, six.", "seven eight nine", "ten"]


class TestTables:
    def test_words_samples_and_other_columns(self, tmp_path: Path, mmft: Mmft, by_tone) -> None:
        recording(tmp_path / "long.wav", LONG, subtype="PCM_16")
        recording(tmp_path / "short.wav", ["two three"])
        text = "  ".join(LONG)
        rows = [
            {"clip": "long.wav", "sentence": text, "speaker": "a, b", "split": "train"},
            {"clip": "short.wav", "sentence": "two three", "speaker": "c", "split": "test"},
        ]
        data = write_csv(tmp_path / "talks.csv", rows)
        finished = clean(mmft, data, tmp_path / "out" / "cut.csv")
        assert finished.code == 0, finished.err
        *pieces, short = read_csv(tmp_path / "out" / "cut.csv")
        assert len(pieces) >= 2 and "1 cut into" in finished.out
        assert "mmft run --dataset" in finished.out and "--group source" in finished.out
        # All words in order, each once, in pieces that end where phrases end.
        assert " ".join(p["sentence"] for p in pieces).split() == text.split()
        ends = {phrase.split()[-1] for phrase in LONG}
        assert all(p["sentence"].split()[-1] in ends for p in pieces)
        files = [tmp_path / "out" / p["clip"] for p in pieces]
        parts = [soundfile.read(file, dtype="int16") for file in files]
        assert all(rate == RATE and len(x) < 6 * RATE for x, rate in parts)
        whole, _ = soundfile.read(tmp_path / "long.wav", dtype="int16")
        np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), whole)
        # What is heard in each piece is what its row says.
        heard = ByTone().write([Recording(file) for file in files])
        for piece, words in zip(pieces, heard, strict=True):
            assert Words.of(piece["sentence"]).keys == tuple(words.split())
        assert {(p["speaker"], p["split"]) for p in pieces} == {("a, b", "train")}
        assert short["clip"] == str(tmp_path / "short.wav") and short["split"] == "test"
        groups = {p["source"] for p in pieces}
        assert len(groups) == 1 and short["source"] not in groups | {""}

    def test_a_run_keeps_the_pieces_together(self, tmp_path: Path, mmft: Mmft, by_tone) -> None:
        rows = []
        for number in range(6):
            file = recording(tmp_path / f"{number}.wav", LONG[number % 3 :])
            rows.append({"audio": file.name, "text": " ".join(LONG[number % 3 :])})
        cut = tmp_path / "cut.csv"
        assert clean(mmft, write_csv(tmp_path / "t.csv", rows), cut, "--remove", "empty").code == 0
        arguments = ["--task", "asr", "--backbone", "whisper-tiny", "--weights", "none"]
        settings = ["--set=backbone.size=tiny", "--set=backbone.padding=batch", "--epochs", "0"]
        fast = ["--set=task.num_beams=1", "--set=task.max_new_tokens=4", "--set=engine.workers=0"]
        shares = ["--group", "source", "--set=dataset.val=0.2", "--set=dataset.test=0.2"]
        output = tmp_path / "run"
        finished = mmft(
            "run", *arguments, *settings, *fast, *shares, "--dataset", cut, "-o", output
        )
        assert finished.code == 0, finished.err
        kept = parquet.read_table(output / "samples.parquet").to_pylist()
        source = {
            f"cut.csv, row {k}": row["source"] for k, row in enumerate(read_csv(cut), start=1)
        }
        home: dict[str, set[str]] = {}
        for sample in kept:
            row = source[sample["id"].split(" (")[0]]
            home.setdefault(row, set()).add(sample["split"])
        assert len(home) == 6 and all(len(splits) == 1 for splits in home.values())

    def test_parquet_that_holds_recordings(self, tmp_path: Path, mmft: Mmft, by_tone) -> None:
        long = recording(tmp_path / "long.flac", LONG, subtype="PCM_24").read_bytes()
        short = recording(tmp_path / "short.ogg", ["two three"]).read_bytes()
        whole, _ = soundfile.read(tmp_path / "long.flac", dtype="int32")
        held = pa.table(
            {
                "audio": [{"bytes": long, "path": "l"}, {"bytes": short, "path": "s"}],
                "text": [" ".join(LONG), "two three"],
                "age": pa.array([31, None], pa.int32()),
            }
        )
        parquet.write_table(held, tmp_path / "held.parquet")
        output = tmp_path / "cut.parquet"
        finished = clean(mmft, tmp_path / "held.parquet", output)
        assert finished.code == 0, finished.err
        cut = parquet.read_table(output)
        assert cut.schema.field("age").type == pa.int32()
        *pieces, rest = cut.to_pylist()
        assert [p["age"] for p in pieces] == [31] * len(pieces) and rest["age"] is None
        assert " ".join(p["text"] for p in pieces) == " ".join(LONG)
        parts = [soundfile.read(tmp_path / p["audio"], dtype="int32")[0] for p in pieces]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        wave = load(Recording(tmp_path / rest["audio"]), RATE)
        expected = load(Recording(tmp_path / "short.ogg"), RATE)
        torch.testing.assert_close(wave, expected, atol=1e-6, rtol=0)
        assert mmft("data", "check", output, "--task", "asr").code in (0, 1)

    def test_parts_of_files_and_stereo(self, tmp_path: Path, mmft: Mmft, by_tone) -> None:
        recording(tmp_path / "mono.wav", ["ten ten", *LONG, "ten ten"])
        mono, _ = soundfile.read(tmp_path / "mono.wav", dtype="float32")
        soundfile.write(tmp_path / "s.wav", np.stack([mono, mono / 2], 1), RATE, subtype="FLOAT")
        start, end = 1.2, len(mono) / RATE - 1.2
        rows = [
            {"audio": "s.wav", "start": start, "end": end, "text": " ".join(LONG)},
            {"audio": "s.wav", "start": 0, "end": 0.9, "text": "ten ten"},
        ]
        finished = clean(mmft, write_csv(tmp_path / "t.csv", rows), tmp_path / "cut.csv")
        assert finished.code == 0, finished.err
        *pieces, rest = read_csv(tmp_path / "cut.csv")
        assert all(p["start"] == p["end"] == "" and p["audio"].endswith(".wav") for p in pieces)
        assert rest["audio"] == "s.wav" and rest["start"] == "0" and rest["end"] == "0.9"
        assert {p["source"] for p in pieces} == {rest["source"]}  # Of one file.
        parts = [soundfile.read(tmp_path / p["audio"], dtype="float32")[0] for p in pieces]
        whole, _ = soundfile.read(tmp_path / "s.wav", dtype="float32")
        expected = whole[round(start * RATE) : round(end * RATE)]
        np.testing.assert_array_equal(np.concatenate(parts), expected)

    def test_a_group_that_is_there_is_kept(self, tmp_path: Path, mmft: Mmft, by_tone) -> None:
        recording(tmp_path / "a.wav", LONG)
        rows = [{"audio": "a.wav", "text": " ".join(LONG), "speaker": "x", "source": "own"}]
        data = write_csv(tmp_path / "t.csv", rows)
        finished = clean(mmft, data, tmp_path / "one.csv", "--set", "dataset.group_column=speaker")
        assert finished.code == 0 and "--group speaker" in finished.out, finished.err
        assert {row["source"] for row in read_csv(tmp_path / "one.csv")} == {"own"}
        assert clean(mmft, data, tmp_path / "two.csv").code == 0
        (first, *_) = read_csv(tmp_path / "two.csv")
        assert first["source"] == "own" and first["source_"] == "000001"


def test_long_silence_is_left_out_and_told(tmp_path: Path, mmft: Mmft, by_tone) -> None:
    recording(tmp_path / "a.wav", LONG[:2], pause=16.0)
    data = write_csv(tmp_path / "t.csv", [{"audio": "a.wav", "text": " ".join(LONG[:2])}])
    finished = clean(mmft, data, tmp_path / "cut.csv")
    assert finished.code == 0, finished.err
    assert "! t.csv, row 1 (a.wav): has no words from " in finished.err
    rows = read_csv(tmp_path / "cut.csv")
    assert [row["text"] for row in rows] == list(LONG[:2])
    heard = ByTone().write([Recording(tmp_path / row["audio"]) for row in rows])
    assert [Words.of(row["text"]).keys for row in rows] == [tuple(h.split()) for h in heard]
    removed = read_csv(tmp_path / "cut.removed.csv")
    assert removed and all(r["kind"] == "uncut" and "has no words" in r["reason"] for r in removed)


class HearsInSilence(ByTone):
    def write(self, recordings: Sequence[Recording]) -> list[str]:
        return [text or "thank you" for text in super().write(recordings)]


def test_words_that_are_heard_in_silence_do_not_count(
    tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recognizer, "of", lambda place, train: HearsInSilence())
    recording(tmp_path / "a.wav", LONG[:3], pause=16.0)
    data = write_csv(tmp_path / "t.csv", [{"audio": "a.wav", "text": " ".join(LONG[:3])}])
    finished = clean(mmft, data, tmp_path / "cut.csv")
    assert finished.code == 0 and "cannot be cut" not in finished.err, finished.err
    assert [row["text"] for row in read_csv(tmp_path / "cut.csv")] == list(LONG[:3])


def test_folders_and_videos(tmp_path: Path, mmft: Mmft, by_tone) -> None:
    pytest.importorskip("av")
    samples, _ = soundfile.read(recording(tmp_path / "x.wav", LONG), dtype="float32")
    video = write_media(tmp_path / "talks" / "a.mp4", [samples], RATE, codec="alac", picture=2.0)
    (tmp_path / "talks" / "a.txt").write_text(" ".join(LONG))
    finished = clean(mmft, tmp_path / "talks", tmp_path / "cut.csv")
    assert finished.code == 0, finished.err
    pieces = read_csv(tmp_path / "cut.csv")
    assert len(pieces) > 1 and " ".join(p["target"] for p in pieces) == " ".join(LONG)
    waves = [load(Recording(tmp_path / p["audio"]), RATE) for p in pieces]
    torch.testing.assert_close(torch.cat(waves), load(Recording(video), RATE), atol=1e-6, rtol=0)


def test_rates_that_flac_cannot_have_become_wav(tmp_path: Path, mmft: Mmft) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, (2, 88_211), np.int16)
    cells = []
    for own in samples:
        soundfile.write(tmp_path / "a.wav", own, 88_211)
        cells.append({"bytes": (tmp_path / "a.wav").read_bytes(), "path": None})
    parquet.write_table(pa.table({"audio": cells, "label": ["x", "y"]}), tmp_path / "t.parquet")
    arguments = ("--task", "audio-cls", "--longest", "6", "-o", tmp_path / "cut.parquet")
    finished = mmft("data", "clean", tmp_path / "t.parquet", *arguments)
    assert finished.code == 0, finished.err
    files = [row["audio"] for row in parquet.read_table(tmp_path / "cut.parquet").to_pylist()]
    for own, file in zip(samples, files, strict=True):
        found, rate = soundfile.read(tmp_path / file, dtype="float32")
        assert file.endswith(".wav") and rate == 88_211
        np.testing.assert_array_equal(found, own.astype(np.float32) / 2**15)


def test_texts_that_stay_whole_are_told(tmp_path: Path, mmft: Mmft) -> None:
    for name in "ab":
        recording(tmp_path / f"{name}.wav", LONG)
    rows = [{"audio": f"{k}.wav", "remark": " ".join(LONG) + k, "label": k} for k in "ab"]
    data = write_csv(tmp_path / "t.csv", rows)
    arguments = ("--task", "fusion-cls", "--longest", "4", "-o", tmp_path / "cut.csv")
    finished = mmft("data", "clean", data, *arguments, "--remove", "empty")
    assert finished.code == 0, finished.err
    assert "! Only audio is cut" in finished.err and "(text) as a whole" in finished.err


def test_classes_need_no_aligner(tmp_path: Path, mmft: Mmft) -> None:
    for label in ("quiet", "loud"):
        recording(tmp_path / "sounds" / label / "a.wav", LONG)
    arguments = ("--task", "audio-cls", "--longest", "4", "-o", tmp_path / "cut.csv")
    finished = mmft("data", "clean", tmp_path / "sounds", *arguments, "--remove", "empty")
    assert finished.code == 0, finished.err
    rows = read_csv(tmp_path / "cut.csv")
    assert {row["label"] for row in rows} == {"quiet", "loud"} and len(rows) >= 6
    lengths = [soundfile.info(tmp_path / row["audio"]).duration for row in rows]
    assert max(lengths) <= 4
    assert len({row["source"] for row in rows if row["label"] == "loud"}) == 1


class TestRefused:
    def told(self, finished: Finished, path: Path, reason: str) -> None:
        assert finished.code == 0, finished.err
        assert "! t.csv, row 1 (a.wav): cannot be cut: " in finished.err, finished.err
        assert reason in finished.err
        (removed,) = read_csv(path.with_suffix(".removed.csv"))
        assert removed["kind"] == "uncut" and removed["id"] == "t.csv, row 1 (a.wav)"
        assert len(read_csv(path)) == 1  # The other row.

    def data(self, folder: Path, phrases: Sequence[str], text: str, pause: float = 0.5) -> Path:
        recording(folder / "a.wav", phrases, pause)
        recording(folder / "b.wav", ["two"])
        rows = [{"audio": "a.wav", "text": text}, {"audio": "b.wav", "text": "two"}]
        return write_csv(folder / "t.csv", rows)

    def test_another_transcript(self, tmp_path: Path, mmft: Mmft, by_tone) -> None:
        data = self.data(
            tmp_path, LONG, "It was the best of times, it was the worst of times. " * 2
        )
        finished = clean(mmft, data, tmp_path / "cut.csv")
        self.told(finished, tmp_path / "cut.csv", "does not match what is heard")

    def test_a_transcript_of_a_part(self, tmp_path: Path, mmft: Mmft, by_tone) -> None:
        data = self.data(tmp_path, LONG, " ".join(LONG[:4]))
        finished = clean(mmft, data, tmp_path / "cut.csv")
        assert "cannot be cut" in finished.err and len(read_csv(tmp_path / "cut.csv")) == 1

    def test_no_pause(self, tmp_path: Path, mmft: Mmft, by_tone) -> None:
        phrase = " ".join(VOCABULARY * 2)
        data = self.data(tmp_path, [phrase], phrase)
        finished = clean(mmft, data, tmp_path / "cut.csv")
        self.told(finished, tmp_path / "cut.csv", "there is no pause from 0.0 to 6.0 s")

    def test_words_at_pauses_that_are_not_recognized(self, tmp_path: Path, mmft, by_tone) -> None:
        by_tone("nine", "ten")
        phrases = ["nine one two three ten"] * 5
        data = self.data(tmp_path, phrases, " ".join(phrases))
        finished = clean(mmft, data, tmp_path / "cut.csv")
        self.told(finished, tmp_path / "cut.csv", "no pause with recognized words on both sides")
        assert "'what one two three what" in finished.err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--longest", "6"), "--longest needs --task"),
            (("--task", "asr", "--longest", "6"), "needs an aligner to divide them"),
            (("--task", "asr", "--aligner", "x"), "--aligner is only used with --longest"),
            (
                ("--task", "audio-cls", "--longest", "6", "--aligner", "x"),
                "--aligner divides transcripts",
            ),
            (("--task", "contrastive", "--longest", "6"), "--longest cannot divide what"),
            (
                ("--task", "asr", "--longest", "6", "--aligner", "nowhere"),
                "--aligner nowhere is neither a folder nor",
            ),
            (("--task", "asr", "--longest", "0"), "--longest"),
            (("--task", "asr", "--longest", "nan"), "'nan' is not a finite number"),
            (("--task", "asr", "--longest", "inf"), "'inf' is not a finite number"),
        ],
    )
    def test_settings(
        self, arguments: tuple[str, ...], message: str, tmp_path: Path, mmft: Mmft
    ) -> None:
        data = self.data(tmp_path, LONG, " ".join(LONG))
        write_csv(data, [row | {"label": "xy"[k]} for k, row in enumerate(read_csv(data))])
        finished = mmft("data", "clean", data, *arguments, "-o", tmp_path / "cut.csv")
        assert finished.code == 2 and message in finished.err and "Traceback" not in finished.err
        assert not (tmp_path / "cut.csv").exists() and not (tmp_path / "cut.pieces").exists()

    def test_a_full_disk(self, tmp_path: Path, mmft: Mmft, by_tone) -> None:
        recording(tmp_path / "a.wav", LONG, subtype="FLOAT")
        data = write_csv(tmp_path / "t.csv", [{"audio": "a.wav", "text": " ".join(LONG)}])
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            finished = clean(mmft, data, tmp_path / "cut.csv")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert finished.code == 2 and "No space is left to write" in finished.err, finished.err
        assert sorted(file.name for file in tmp_path.iterdir()) == ["a.wav", "t.csv"]

    def test_columns_that_a_csv_cannot_hold_are_told_first(
        self, tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = recording(tmp_path / "a.wav", LONG).read_bytes()
        columns = {"audio": [{"bytes": content, "path": "a"}], "text": [" ".join(LONG)]}
        parquet.write_table(pa.table(columns | {"tags": [["x", "y"]]}), tmp_path / "t.parquet")
        monkeypatch.setattr(Recognizer, "of", lambda place, train: pytest.fail("too late"))
        finished = clean(mmft, tmp_path / "t.parquet", tmp_path / "cut.csv")
        assert finished.code == 2 and "Column 'tags'" in finished.err

    def test_nothing_left(self, tmp_path: Path, mmft: Mmft, by_tone) -> None:
        recording(tmp_path / "a.wav", LONG)
        data = write_csv(tmp_path / "t.csv", [{"audio": "a.wav", "text": "something else " * 20}])
        finished = clean(mmft, data, tmp_path / "cut.csv")
        assert finished.code == 2 and "is left:\n  t.csv, row 1 (a.wav): cannot" in finished.err
        assert sorted(file.name for file in tmp_path.iterdir()) == ["a.wav", "t.csv"]

    def test_texts_are_not_cut(self, tmp_path: Path, mmft: Mmft) -> None:
        rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
        data, output = write_csv(tmp_path / "t.csv", rows), tmp_path / "cut.csv"
        arguments = ("--task", "text-cls", "--longest", "6", "-o", output)
        finished = mmft("data", "clean", data, *arguments)
        assert finished.code == 2 and "--longest cannot cut the inputs of" in finished.err


class TestDividing:
    def at(self, text: str, *recognized: str) -> tuple[int | None, ...]:
        return divide(Words.of(text), recognized).places

    def test_where_both_sides_are_recognized(self) -> None:
        assert self.at("a b c d e f", "a b", "c d", "e f") == (0, 2, 4, 6)
        assert self.at("A, b; c d! e f", "a x", "c d", "e f") == (0, None, 4, 6)
        assert self.at("a b c d", "", "a b", "", "c d", "") == (0, 0, 2, 2, 4, 4)

    def test_what_comes_again_is_certain_only_if_all_of_it_is_heard(self) -> None:
        assert self.at("a no no no b", "a no", "no no b") == (0, 2, 5)
        assert self.at("a no no no b", "a no no", "b") == (0, None, 5)
        assert self.at("a no no no b", "a no", "no b") == (0, None, 5)

    def test_scripts_without_spaces(self) -> None:
        words = Words.of("今日はいい。天気です")
        division = divide(words, ["今日はいい", "天気です"])
        assert division.places == (0, 5, 9)
        assert (words.part(0, 5), words.part(5, 9)) == ("今日はいい。", "天気です")

    def test_opening_marks_belong_to_what_follows(self) -> None:
        def parts(text: str) -> list[str]:
            words = Words.of(text)
            return [words.part(k, k + 1) for k in range(len(words.keys))]

        assert parts("he said「你好」") == ["he", "said", "「你", "好」"]
        assert parts("dit « oui » ¿ no?") == ["dit", "« oui »", "¿ no?"]
        assert parts("„Hallo“ sagt er (laut)") == ["„Hallo“", "sagt", "er", "(laut)"]

    def test_nothing_is_lost(self) -> None:
        text = '"Well" - he said... \n it\'s 5 %! — (end)'
        words = Words.of(text)
        parts = [words.part(k, k + 1) for k in range(len(words.keys))]
        assert "".join(parts).replace(" ", "") == "".join(text.split())

    def test_few_pieces_of_like_lengths(self) -> None:
        bounds = [0, 4, 9, 12, 20, 24, 30, 40]
        assert choose_bounds(bounds, range(8), 20) == [0, 4, 7]
        assert choose_bounds(bounds, (0, 1, 2, 3, None, 5, 6, 7), 20) == [0, 3, 5, 7]
        assert choose_bounds(bounds, (0, None, None, None, None, 5, 6, 7), 20) == 0


@pytest.mark.slow
def test_speech_by_a_pretrained_whisper(tmp_path: Path, mmft: Mmft) -> None:
    folder = real_whisper()
    sentences = [
        "The quick brown fox jumps over the lazy dog.",
        "Turn on the light in the kitchen, please!",
        "What will the weather be like tomorrow?",
        "She walked to the market to buy some bread and cheese.",
        "The train to London leaves at a quarter past seven.",
        "I have never seen such a beautiful garden in my life.",
    ]
    rate = synthesizer().rate
    parts = []
    for sentence in sentences * 2:
        parts += [synthesizer().speak(sentence, Voice("en-us+f2", 140)), np.zeros(rate // 2)]
    samples = np.concatenate(parts)
    soundfile.write(tmp_path / "talk.wav", samples, rate)
    assert len(samples) > 30 * rate
    text = " ".join(sentences * 2)
    data = write_csv(tmp_path / "t.csv", [{"audio": "talk.wav", "text": text}])
    arguments = ("--task", "asr", "--longest", "30", "--aligner", folder, "-o", tmp_path / "c.csv")
    finished = mmft("data", "clean", data, *arguments)
    assert finished.code == 0 and not finished.err.count("cannot be cut"), finished.err
    ends = np.cumsum([len(part) for part in parts]).reshape(-1, 2)  # Of speech, and of its pause.
    heard, at = "", 0
    pieces = read_csv(tmp_path / "c.csv")
    assert len(pieces) >= 2
    for piece in pieces:
        heard = f"{heard} {piece['text']}".strip()
        at += soundfile.info(tmp_path / piece["audio"]).frames
        said = sum(1 for end, _ in ends if end <= at + rate // 10)
        assert heard == " ".join((sentences * 2)[:said])
    assert at == len(samples) and heard == text

"""M4A, AAC and the soundtracks of videos: the same sound, and what is wrong with a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from pyarrow import parquet

from mmft_audio.pieces import pieces
from mmft_audio.processing import AudioProcessor
from mmft_audio.recordings import Recording, blocks, check, is_recording, load, seconds
from mmft_core.errors import SampleError
from mmft_serve.inputs import Inputs, Upload
from mmft_serve.refused import RefusedError
from mmft_serve.settings import ServeSettings
from tests.audio.networks import sound
from tests.audio.tools import write_media

pytest.importorskip("av")

RATE = 48_000


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    length = min(len(one), len(other))
    return float(torch.corrcoef(torch.stack([one[:length], other[:length]]))[0, 1])


@pytest.mark.parametrize(
    ("name", "codec", "more"),
    [
        ("a.m4a", "aac", {}),
        ("a.m4a", "alac", {}),
        ("a.mp4", "aac", {"picture": 2.0}),
        ("a.mp4", "libopus", {"movflags": "faststart"}),
        ("a.mov", "pcm_s16le", {"picture": 2.5}),
        ("a.3gp", "aac", {}),
        ("a.mkv", "aac", {"picture": 2.0}),
        ("a.mkv", "flac", {}),
        ("a.webm", "libopus", {"picture": 2.0}),
        ("a.webm", "libopus", {"live": "1"}),  # Its header says no length.
    ],
)
def test_the_sound_is_that_of_the_wav(tmp_path: Path, name: str, codec: str, more: dict) -> None:
    samples = sound(2.13, 3, RATE)
    soundfile.write(tmp_path / "plain.wav", samples, RATE, subtype="FLOAT")
    path = write_media(tmp_path / name, [samples], RATE, codec=codec, **more)
    plain, recording = Recording(tmp_path / "plain.wav"), Recording(path)
    check(recording)
    for rate in (16_000, RATE):
        # Priming samples are gone: nothing is shifted.
        assert correlation(load(recording, rate), load(plain, rate)) > 0.99
        assert len(load(recording, rate)) == pytest.approx(len(load(plain, rate)), abs=0.03 * rate)
    assert seconds(recording) == pytest.approx(2.13, abs=0.03)
    part = Recording(path, 1.2, 1.9)
    assert load(part, 16_000).shape == (11_200,)
    shifts = [
        correlation(load(part, RATE), load(plain, RATE)[57_600 + k :]) for k in range(-48, 49)
    ]
    assert max(shifts) > 0.99  # Matroska tells milliseconds.
    assert sum(len(samples) for samples, _ in blocks(recording, 0.1)) == len(load(recording, RATE))


def test_raw_aac_is_counted_for_its_length(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.aac", [sound(3.0, 1, RATE)], RATE, form="adts")
    assert seconds(Recording(path)) == pytest.approx(3.0, abs=0.05)
    wave = load(Recording(path), RATE)
    torch.testing.assert_close(load(Recording(path, 1.0, 2.0), RATE), wave[RATE : 2 * RATE])
    # An ID3 tag before it, as music shops write.
    tagged = tmp_path / "b.aac"
    tagged.write_bytes(b"ID3\4\0\0\0\0\1\0" + bytes(128) + path.read_bytes())
    torch.testing.assert_close(load(Recording(tagged), RATE), wave)


@pytest.mark.parametrize(
    ("name", "codec", "more"),
    [
        ("a.aac", "aac", {"form": "adts"}),
        ("a.webm", "libopus", {"live": "1"}),
        ("a.mkv", "aac", {"live": "1"}),
    ],
)
def test_files_without_a_length_that_are_larger_than_a_buffer(
    tmp_path: Path, name: str, codec: str, more: dict
) -> None:
    random = np.random.default_rng(0)
    noise = (0.1 * random.standard_normal(22 * RATE)).astype(np.float32)
    path = write_media(tmp_path / name, [noise], RATE, codec=codec, **more)
    assert path.stat().st_size > 100_000
    recording = Recording(path)
    check(recording)
    wave = load(recording, RATE)
    assert len(wave) / RATE == pytest.approx(22.0, abs=0.1)
    assert float(wave[-RATE:].std()) > 0.05  # Noise up to the end.
    part = load(Recording(path, 20.0, 21.0), RATE)
    shifts = [correlation(part, wave[20 * RATE + k :]) for k in range(-48, 49)]
    assert max(shifts) > 0.99


def test_channels_are_averaged_and_another_rate_is_resampled(tmp_path: Path) -> None:
    left, right = sound(1.5, 1, 44_100), sound(1.5, 2, 44_100)
    stereo = np.stack([left, right], 1)
    path = write_media(tmp_path / "a.m4a", [stereo], 44_100, codec="alac")
    soundfile.write(tmp_path / "a.wav", stereo, 44_100, subtype="PCM_24")
    plain = load(Recording(tmp_path / "a.wav"), 16_000)
    torch.testing.assert_close(load(Recording(path), 16_000), plain, atol=1e-4, rtol=0)


def test_the_default_track_is_heard(tmp_path: Path) -> None:
    one, two = sound(1.0, 1, RATE), sound(1.0, 2, RATE)
    first = write_media(tmp_path / "first.mkv", [one, two], RATE, codec="flac", default=0)
    second = write_media(tmp_path / "second.mkv", [one, two], RATE, codec="flac", default=1)
    neither = write_media(tmp_path / "neither.mkv", [one, two], RATE, codec="flac", default=9)
    for path, samples in ((first, one), (second, two), (neither, one)):
        assert correlation(load(Recording(path), RATE), torch.from_numpy(samples)) > 0.99


def test_a_track_that_begins_later_is_silent_until_then(tmp_path: Path) -> None:
    samples = sound(1.0, 1, RATE)
    path = write_media(tmp_path / "a.mp4", [samples], RATE, codec="alac", picture=3.0, start=1.5)
    wave = load(Recording(path), RATE)
    assert len(wave) == pytest.approx(2.5 * RATE, abs=0.05 * RATE)
    assert not wave[: round(1.4 * RATE)].any()
    assert correlation(wave[round(1.5 * RATE) :], torch.from_numpy(samples)) > 0.99
    middle = load(Recording(path, 1.75, 2.25), RATE)
    torch.testing.assert_close(middle, wave[round(1.75 * RATE) : round(2.25 * RATE)])


def half(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def faults(folder: Path) -> dict[str, tuple[Path, str]]:
    samples = [sound(4.0, 1, RATE)]
    text = folder / "text.m4a"
    text.write_text("#EXTM3U\nhttp://127.0.0.1:9/a.ts\n" * 20)
    empty = folder / "empty.mp4"
    empty.write_bytes(b"")
    header = folder / "header.m4a"
    header.write_bytes(b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom" + bytes(64))
    noise = folder / "noise.mkv"
    noise.write_bytes(b"\x1a\x45\xdf\xa3" + np.random.default_rng(0).bytes(4096))
    fast = {"movflags": "faststart"}
    return {
        "cut, index behind": (half(write_media(folder / "a.m4a", samples)), "cut short"),
        "cut, index before": (half(write_media(folder / "b.m4a", samples, **fast)), "cut short"),
        "cut video": (half(write_media(folder / "c.mkv", samples, picture=4.0)), "cut short"),
        "no sound": (write_media(folder / "e.mp4", [], picture=1.0), "holds no sound"),
        "a playlist": (text, "is not audio"),
        "no bytes": (empty, "the file is empty"),
        "a header alone": (header, "is MP4 that is damaged or cut short"),
        "random bytes": (noise, "is Matroska or WebM that is damaged or cut short"),
    }


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    for what, (path, reason) in faults(tmp_path).items():
        with pytest.raises(SampleError) as caught:
            check(Recording(path, id=f"table.csv, row 3 ({path.name})"))
        assert reason in caught.value.reason, what
        assert caught.value.sample_id == f"table.csv, row 3 ({path.name})"


def test_a_picture_that_goes_on_is_no_fault(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mkv", [sound(1.0, 1, RATE)], RATE, picture=4.0)
    check(Recording(path))
    assert len(load(Recording(path), RATE)) == pytest.approx(RATE, abs=0.05 * RATE)


def test_long_ones_are_cut_without_loss(tmp_path: Path) -> None:
    still = np.zeros(RATE // 2, np.float32)
    parts = [p for k in range(6) for p in (sound(1.5, k, RATE), still)]
    path = write_media(tmp_path / "a.m4a", [np.concatenate(parts)], RATE, codec="alac")
    found = pieces(Recording(path), 5.0)
    assert len(found) > 2
    joined = torch.cat([load(piece, RATE) for piece in found])
    torch.testing.assert_close(joined, load(Recording(path), RATE))


def test_files_are_told_by_their_content(tmp_path: Path) -> None:
    processor = AudioProcessor(rate=16_000, window=2.0)
    samples = [sound(0.5, 1, RATE)]
    for name in ("a.m4a", "a.mkv", "a.aac"):
        form = "adts" if name == "a.aac" else None
        path = write_media(tmp_path / name, samples, RATE, form=form)
        assert processor.sniff(path.read_bytes()[:64]) and path.suffix in processor.suffixes
        other = path.rename(tmp_path / f"{path.stem}{path.suffix}.wav")
        assert len(load(Recording(other), 16_000)) == pytest.approx(8000, abs=800)
    for brand in (b"avif", b"heic", b"mif1"):
        assert not processor.sniff(b"\0\0\0\x20ftyp" + brand + bytes(20))


def test_without_the_extra_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_media(tmp_path / "a.m4a", [sound(0.5, 1, RATE)], RATE)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SampleError) as caught:
        check(Recording(path))
    assert "is MP4, which needs packages that are not installed" in caught.value.reason
    assert "pip install 'mmft[av]'" in caught.value.reason
    assert is_recording(path)


def test_uploads_are_limited_by_what_the_header_says(tmp_path: Path) -> None:
    inputs = Inputs(
        {"audio": AudioProcessor(rate=16_000, window=2.0)},
        False,
        ServeSettings(extents={"seconds": 2.5}),
    )
    short = write_media(tmp_path / "a.m4a", [sound(1.0, 1, RATE)], RATE)
    long = write_media(tmp_path / "b.m4a", [np.zeros(30 * RATE, np.float32)], RATE)
    with short.open("rb") as content:
        sample = inputs.sample({"audio": Upload("talk.m4a", content)}, tmp_path)
    assert len(load(sample.inputs["audio"], 16_000)) == pytest.approx(16_000, abs=600)
    for path, status, reason in (
        (long, 413, "holds 30 seconds; at most 2 are allowed"),
        (half(short), 422, "cannot be used: it is MP4 that is damaged or cut short"),
    ):
        with path.open("rb") as content, pytest.raises(RefusedError) as caught:
            inputs.sample({"audio": Upload("talk", content)}, tmp_path)
        assert caught.value.status == status and reason in str(caught.value)


def test_training_and_predicting(tmp_path: Path, mmft) -> None:
    """A folder of all kinds, a Parquet table that holds them, and a video to be predicted."""
    kinds = [("m4a", "aac"), ("mp4", "aac"), ("webm", "libopus"), ("mkv", "flac"), ("mov", "alac")]
    folder = tmp_path / "sounds"
    for label, pitch in (("low", 1), ("high", 2)):
        for number, (suffix, codec) in enumerate(kinds):
            write_media(
                folder / label / f"{number}.{suffix}",
                [sound(0.5, pitch, RATE)],
                RATE,
                codec=codec,
                picture=0.5 if suffix in ("mp4", "webm") else 0.0,
            )
    settings = ("--set=backbone.size=tiny", "--set=engine.workers=0", "--set=dataset.val=0.2")
    chosen = ("--task", "audio-cls", "--backbone", "whisper-tiny", "--weights", "none")
    output = tmp_path / "run"
    finished = mmft("run", *chosen, "--dataset", folder, "-o", output, "--epochs", "1", *settings)
    assert finished.code == 0, finished.err
    files = sorted(folder.rglob("*.*"))
    held = pa.table(
        {
            "audio": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
            "label": [file.parent.name for file in files],
        }
    )
    parquet.write_table(held, tmp_path / "held.parquet")
    judged = mmft(
        "eval", output, "--dataset", tmp_path / "held.parquet", "--split", "all", "--json"
    )
    assert judged.code == 0 and json.loads(judged.out)["samples"] == 10, judged.err
    told = mmft("data", "check", folder, "--json", tmp_path / "check.json")
    report = json.loads((tmp_path / "check.json").read_text())
    assert not [f for f in report["findings"] if f["kind"] == "unreadable"], told.out
    half(files[0])
    predicted = mmft("predict", output, *files[:3], "--format", "jsonl")
    cut, *others = map(json.loads, predicted.out.splitlines())
    assert "cut short" in cut["error"] and all(r["label"] in ("low", "high") for r in others)

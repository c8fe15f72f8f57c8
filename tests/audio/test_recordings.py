"""Reading audio: every rate, depth and number of channels; and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mmft_audio.recordings import Recording, check, load, seconds
from mmft_core.errors import SampleError
from tests.audio.tools import BROKEN, write


@pytest.mark.parametrize("rate", [4000, 8000, 11_127, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_gives_the_same_sound(tmp_path: Path, rate: int) -> None:
    time = np.arange(rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time), rate)
    wave = load(Recording(tmp_path / "a.wav"), 16_000)
    assert len(wave) == pytest.approx(16_000, abs=2)
    spectrum = torch.fft.rfft(wave[:16_000]).abs()
    assert int(spectrum.argmax()) == pytest.approx(440, abs=1)
    middle = wave[4000:12000]
    assert float(middle.square().mean().sqrt()) == pytest.approx(0.5 / 2**0.5, rel=0.01)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "PCM_32"),
        ("a.wav", "FLOAT"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("a.ogg", "OPUS"),
        ("a.mp3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_any_depth_and_format(tmp_path: Path, name: str, subtype: str, channels: int) -> None:
    path = write(tmp_path / name, 1.0, channels=channels, subtype=subtype)
    plain = load(Recording(write(tmp_path / "plain.wav", 1.0)), 16_000)
    assert plain.dtype == torch.float32 and plain.shape == (16_000,)
    recording = Recording(path)
    check(recording)
    wave = load(recording, 16_000)
    assert len(wave) == pytest.approx(16_000, abs=2400)
    assert 0.5 < float(wave.std() / plain.std()) < 2


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = np.full(1000, 0.5), np.full(1000, -0.1)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 16_000, subtype="FLOAT")
    torch.testing.assert_close(
        load(Recording(tmp_path / "a.wav"), 16_000), torch.full((1000,), 0.2)
    )


def test_a_part_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", 3.0)
    whole, part = Recording(path), Recording(path, 1.0, 2.5)
    assert seconds(whole) == 3.0 and seconds(part) == 1.5
    torch.testing.assert_close(load(part, 16_000), load(whole, 16_000)[16_000:40_000])
    with pytest.raises(SampleError, match="starts at 4 s, but the file is 3.00 s long"):
        load(Recording(path, 4.0), 16_000)
    with pytest.raises(SampleError, match="2 s to 1 s is not a valid part of the file"):
        load(Recording(path, 2.0, 1.0), 16_000)


def test_a_streams_header_leaves_its_size_open(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 1.0)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    check(Recording(path))
    assert len(load(Recording(path), 16_000)) == 16_000


def test_samples_that_are_no_numbers(tmp_path: Path) -> None:
    samples = np.zeros(1000, dtype="float32")
    samples[500] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(SampleError, match="not numbers"):
        check(Recording(tmp_path / "a.wav"))


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_said_plainly(tmp_path: Path, what: str) -> None:
    name, make, reason = BROKEN[what]
    make(tmp_path / name)
    with pytest.raises(SampleError, match=reason) as raised:
        check(Recording(tmp_path / name, id="table.csv, row 3"))
    assert raised.value.sample_id == "table.csv, row 3"
    assert "Error" not in raised.value.reason and "\n" not in raised.value.reason

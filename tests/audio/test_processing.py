"""Pieces of long recordings, augmentation, padding, and what is told of a recording beforehand."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mmft_audio.augmentation import SpecAugment, WaveAugmentation
from mmft_audio.pieces import pieces
from mmft_audio.processing import AudioProcessor
from mmft_audio.recordings import Recording
from mmft_core.errors import SampleError
from mmft_core.loading.prepared import seed_everything
from tests.audio.networks import RATE, sound


def write(path: Path, *parts: np.ndarray, rate: int = RATE) -> Recording:
    soundfile.write(path, np.concatenate(parts), rate)
    return Recording(path, id=path.name)


def silence(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.zeros(round(seconds * rate), dtype="float32")


def speech(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Without pauses of its own."""
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal(round(seconds * rate))).astype("float32")


class TestPieces:
    @pytest.mark.parametrize("rate", [16_000, 11_127, 44_100])
    def test_they_are_cut_at_pauses_and_cover_the_recording(
        self, tmp_path: Path, rate: int
    ) -> None:
        talk = []
        for i in range(40):  # 40 x (2.2 s of speech + 0.5 s of silence) = 108 s
            talk += [speech(2.2, i, rate), silence(0.5, rate)]
        recording = write(tmp_path / "talk.wav", *talk, rate=rate)
        found = pieces(recording, 10.0)
        assert found[0].start == 0.0 and found[-1].end == pytest.approx(108.0, abs=0.01)
        for one, other in itertools.pairwise(found):
            assert one.end == other.start
            # Within the silence that each 2.7 s end with.
            assert 2.2 - 0.03 <= one.end % 2.7 <= 2.7 + 0.03
        assert all(0 < piece.end - piece.start <= 10.0 for piece in found)
        assert len(found) <= 108 / 5 + 1

    def test_speech_without_pauses_is_cut_all_the_same(self, tmp_path: Path) -> None:
        recording = write(tmp_path / "x.wav", speech(35))
        found = pieces(recording, 10.0)
        assert all(5.0 <= p.end - p.start <= 10.0 for p in found[:-1])

    def test_short_ones_stay_whole(self, tmp_path: Path) -> None:
        recording = write(tmp_path / "x.wav", speech(9.9))
        assert pieces(recording, 10.0) == [recording]

    @pytest.mark.parametrize("rest", [0.14, 0.28, 0.56, 1.12, 2.22])
    def test_lengths_whose_number_of_hops_is_rounded_up(self, tmp_path: Path, rest: float) -> None:
        found = pieces(write(tmp_path / "x.wav", speech(20 + rest)), 15.0)
        assert len(found) == 2 and found[0].end == found[1].start
        assert found[1].end == pytest.approx(20 + rest, abs=0.001)

    def test_parts_of_a_file_are_cut_within_it(self, tmp_path: Path) -> None:
        file = write(tmp_path / "x.wav", speech(60))
        part = Recording(file.path, start=20.0, end=45.0, id="part")
        found = pieces(part, 10.0)
        assert found[0].start == 20.0 and found[-1].end == 45.0


def processor(**more: object) -> AudioProcessor:
    return AudioProcessor(rate=RATE, window=2.0, **more)  # type: ignore[arg-type]


class TestProcessor:
    def test_where_all_counts_long_ones_become_rows_of_pieces(self, tmp_path: Path) -> None:
        whole = processor(margin=320, multiple=320).for_transcripts()
        long, short = write(tmp_path / "a.wav", speech(5)), write(tmp_path / "b.wav", speech(1))
        batch = whole.collate([whole.prepare(r, train=False) for r in (long, short)])
        count = int(batch["pieces"][0])
        assert count >= 3 and batch["pieces"].tolist() == [count, 1]
        assert batch["waves"].shape[0] == len(batch["lengths"]) == count + 1
        assert batch["waves"].shape[1] % 320 == 0
        assert int(batch["lengths"][:count].sum()) == pytest.approx(5 * RATE, abs=5)

    def test_pieces_may_be_shorter_than_what_is_heard_and_learned_from(
        self, tmp_path: Path
    ) -> None:
        recording = write(tmp_path / "a.wav", speech(1.9))
        usual, short = processor().for_transcripts(), processor().for_transcripts(1.0)
        assert usual.pieces(recording) == [recording]
        cut = short.pieces(recording)
        assert len(cut) > 1 and max(p.end - p.start for p in cut if p.end is not None) <= 1.0
        assert short.prepare(recording, train=False)["lengths"].tolist() != [1.9 * RATE]
        assert len(short.prepare(recording, train=True)["lengths"]) == 1
        assert short.inspect(recording, train=True) is None

    def test_elsewhere_a_part_is_heard(self, tmp_path: Path) -> None:
        recording = write(tmp_path / "a.wav", sound(5))
        plain, drawing = processor(), processor(augmentation=WaveAugmentation(0.0, 0.0))
        inputs = plain.prepare(recording, train=False)
        assert inputs["lengths"].tolist() == [2 * RATE]
        assert not plain.augments and drawing.augments
        assert torch.equal(plain.prepare(recording, train=True)["waves"], inputs["waves"])
        seed_everything(1)
        first = drawing.prepare(recording, train=True)["waves"]
        assert not torch.equal(first, inputs["waves"])
        seed_everything(1)
        assert torch.equal(drawing.prepare(recording, train=True)["waves"], first)

    def test_padding_to_a_length(self, tmp_path: Path) -> None:
        padded = processor(padded=3.0)
        recording = write(tmp_path / "a.wav", sound(0.5))
        assert padded.collate([padded.prepare(recording, train=False)])["waves"].shape == (1, 48000)

    def test_what_is_told_beforehand(self, tmp_path: Path) -> None:
        long = write(tmp_path / "a.wav", sound(5))
        still = write(tmp_path / "b.wav", silence(1))
        short = write(tmp_path / "c.wav", sound(1))
        plain, whole = processor(), processor().for_transcripts()
        assert plain.inspect(long) == "longer than 2 s, of which a part is heard"
        assert plain.inspect(still) is None and plain.inspect(short) is None
        assert whole.inspect(long) is None and whole.inspect(short, train=True) is None
        with pytest.raises(SampleError, match="5.0 s long, and the network learns from 2 s"):
            whole.inspect(long, train=True)
        with pytest.raises(ValueError, match="nothing but silence"):
            whole.inspect(still)


class TestAugmentation:
    def test_speed_changes_length_and_noise_does_not(self) -> None:
        wave = torch.from_numpy(sound(1.0))
        random.seed(0)
        lengths = {len(WaveAugmentation(0.1, 0.0)(wave)) for _ in range(30)}
        assert len(lengths) > 5 and all(RATE / 1.11 < n < RATE / 0.89 for n in lengths)
        noisy = WaveAugmentation(0.0, 1.0)(wave)
        assert noisy.shape == wave.shape and not torch.equal(noisy, wave)
        ratio = wave.square().mean() / (noisy - wave).square().mean()
        assert 9.9 < 10 * float(ratio.log10()) < 40.1

    def test_none_is_none(self) -> None:
        wave = torch.from_numpy(sound(1.0))
        assert torch.equal(WaveAugmentation(0.0, 0.0)(wave), wave)

    def test_silence_stays_finite(self) -> None:
        assert torch.isfinite(WaveAugmentation(0.1, 1.0)(torch.zeros(RATE))).all()

    def test_bands_are_blanked_within_each_recording(self) -> None:
        seed_everything(3)
        features = torch.randn(3, 80, 100)
        lengths = torch.tensor([100, 50, 100])
        changed = SpecAugment()(features, lengths)
        blank = changed != features
        assert blank.any() and not blank.all()
        for row, own in zip(changed, features, strict=True):
            values = row[(row != own)]
            torch.testing.assert_close(values, own.mean().expand_as(values))
        in_time = blank.all(1)
        assert not in_time[1, 50:].any()
        assert int(in_time.sum(1).max()) <= 2 * 11

"""A pretrained Whisper writes what transformers' pipeline writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from mmft_audio.espeak import Voice, synthesizer
from mmft_audio.recordings import Recording
from mmft_audio.whisper_text import languages
from mmft_core.config.generation import Generation
from tests.audio.networks import Recordings, make_backbone, real_whisper

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Turn on the light in the kitchen, please.",
    "What will the weather be like tomorrow?",
)


@pytest.mark.slow
@torch.no_grad()
def test_its_transcripts_are_those_of_the_pipeline(tmp_path: Path) -> None:
    from transformers import pipeline

    folder = real_whisper()
    files = []
    for number, text in enumerate(TEXTS):
        files.append(tmp_path / f"{number}.wav")  # At the 22,050 a second of the synthesizer.
        samples = synthesizer().speak(text, Voice("en-us+f2", 150))
        soundfile.write(files[-1], samples, synthesizer().rate)
    backbone = make_backbone("whisper-tiny.en", None, weights=str(folder))
    processor = backbone.processor.for_transcripts()
    items = [processor.prepare(Recording(file), train=False) for file in files]
    features = backbone.encode(processor.collate(items))
    recognizer = pipeline(
        "automatic-speech-recognition", model=str(folder), dtype=torch.float32, device="cpu"
    )
    for beams in (1, 5):
        settings = Generation(max_new_tokens=224, num_beams=beams)
        own = [transcript.text for transcript in backbone.transcribe(features, settings)]
        theirs = []
        for file in files:
            samples, rate = soundfile.read(file, dtype="float32")
            given = {"array": samples, "sampling_rate": rate}
            theirs.append(recognizer(given, generate_kwargs={"num_beams": beams})["text"].strip())
        assert own == theirs
    assert "fox" in own[0]


@pytest.mark.slow
def test_one_of_english_alone_is_asked_for_no_language(tmp_path: Path) -> None:
    folder = real_whisper()
    # Its tokenizer has the tokens of languages, and training data are there to hear one in.
    backbone = make_backbone("whisper-tiny.en", Recordings(tmp_path), weights=str(folder))
    asked = backbone.tokenizer.convert_ids_to_tokens(list(backbone.prompt.tokens))
    assert asked == ["<|startoftranscript|>", "<|notimestamps|>"]
    assert languages(backbone.tokenizer)

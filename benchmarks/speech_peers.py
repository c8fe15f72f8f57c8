"""Whisper: transcribing and fine-tuning, beside transformers and faster-whisper.

Rates are seconds of audio a second: of transcription from the first file to the last, with the
network loaded; of training from the first step to the last, with loading.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rounds import Contender, Job, Measured, Setup


def seq2seq_trainer(setup: Setup) -> Measured:
    """The Hugging Face Seq2SeqTrainer with its defaults, as its guides to Whisper have it."""
    return _trainer(setup)


def seq2seq_trainer_tuned(setup: Setup) -> Measured:
    """The same in bf16 and with a process that loads and extracts features."""
    return _trainer(setup, bf16=True, dataloader_num_workers=1)


def _trainer(setup: Setup, **more: Any) -> Measured:
    import torch
    from speech_data import NETWORKS_RATE, read_table, read_wave, seconds_of
    from trainer_clock import Clock, arguments
    from transformers import (
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizerFast,
    )

    clock = Clock()
    rows, weights = read_table(_table(setup)), setup.whisper
    extractor = WhisperFeatureExtractor.from_pretrained(weights)
    tokenizer = WhisperTokenizerFast.from_pretrained(weights)
    tokenizer.pad_token = tokenizer.eos_token  # Padding is masked out of the labels.
    network = WhisperForConditionalGeneration.from_pretrained(weights, dtype=torch.float32)
    start = network.config.decoder_start_token_id

    def collate(items: list[tuple[Path, str]]) -> dict[str, Any]:
        waves = [read_wave(path, NETWORKS_RATE) for path, _ in items]
        features = extractor(waves, sampling_rate=NETWORKS_RATE, return_tensors="pt").input_features
        padded = tokenizer.pad(
            {"input_ids": [tokenizer(text).input_ids for _, text in items]}, return_tensors="pt"
        )
        labels = padded.input_ids.masked_fill(padded.attention_mask.ne(1), -100)
        # The network puts the start token before them itself.
        return {
            "input_features": features,
            "labels": labels[:, 1:] if (labels[:, 0] == start).all() else labels,
        }

    with tempfile.TemporaryDirectory() as output:
        Seq2SeqTrainer(
            model=network,
            args=Seq2SeqTrainingArguments(
                **arguments(output, setup.batch_size, remove_unused_columns=False, **more)
            ),
            train_dataset=rows,
            data_collator=collate,
            callbacks=[clock],
        ).train()
    waiting = sum(clock.waited[1:]) / (clock.marks[-1] - clock.marks[1])
    rate = seconds_of([path for path, _ in rows]) / clock.seconds
    return Measured(rate, len(rows), clock.loss, waiting)


def mmft_window(setup: Setup) -> Measured:
    """mmft with the 30 seconds that Whisper was trained on, as the Trainer pads to."""
    return _mmft(setup, "window")


def mmft_batch(setup: Setup) -> Measured:
    """mmft with recordings padded to the longest of their batch."""
    return _mmft(setup, "batch")


def _mmft(setup: Setup, padding: str) -> Measured:
    from own_training import train
    from speech_data import read_table, seconds_of

    arguments = ["--task=asr", "--backbone=whisper", f"--weights={setup.whisper}", "--epochs=1"]
    arguments += [f"--dataset={_table(setup)}", f"--batch-size={setup.batch_size}"]
    settings = {
        "backbone.padding": padding,
        "backbone.speed": 0.0,
        "backbone.noise": 0.0,
        "backbone.spec_augment": "false",
    }
    trained = train(arguments, settings)
    first = trained.lines[1]  # Which tells of the time before its step.
    waiting = (trained.waited - first["waited"]) / (trained.seconds - first["seconds"])
    rate = seconds_of([path for path, _ in read_table(_table(setup))]) / trained.seconds
    return Measured(rate, trained.samples, trained.loss, waiting)


def pipeline_alone(setup: Setup) -> Measured:
    """transformers' pipeline with its defaults: a file at a time."""
    return _pipeline(setup, 1)


def pipeline_batched(setup: Setup) -> Measured:
    """The same with batches."""
    return _pipeline(setup, setup.batch_size)


def _pipeline(setup: Setup, batch_size: int) -> Measured:
    import torch
    from speech_data import read_samples
    from transformers import pipeline

    files = _files(setup)
    recognizer = pipeline(
        "automatic-speech-recognition",
        model=str(setup.whisper),
        dtype=torch.float32,
        device=0 if torch.cuda.is_available() else "cpu",
    )
    # Without it the pipeline refuses batches.
    recognizer.tokenizer.pad_token_id = recognizer.model.config.pad_token_id
    started = time.perf_counter()
    waves = [{"array": w, "sampling_rate": r} for w, r in map(read_samples, files)]
    texts = [found["text"] for found in recognizer(waves, batch_size=batch_size)]
    return _transcribed(setup, dict(zip(files, texts, strict=True)), started)


def faster_whisper(setup: Setup) -> Measured:
    """faster-whisper in full precision, with its five beams and without time stamps."""
    return _faster_whisper(setup, "float32")


def faster_whisper_int8(setup: Setup) -> Measured:
    """The same with weights of eight bits."""
    return _faster_whisper(setup, "int8")


def _faster_whisper(setup: Setup, compute_type: str) -> Measured:
    from ctranslate2.converters import TransformersConverter
    from faster_whisper import WhisperModel

    assert setup.whisper is not None
    converted = setup.folder / "ctranslate2"
    if not converted.exists():
        copied = ["tokenizer.json", "preprocessor_config.json"]
        TransformersConverter(str(setup.whisper), copy_files=copied).convert(str(converted))
    network = WhisperModel(str(converted), device="cpu", compute_type=compute_type)
    started, texts = time.perf_counter(), {}
    for file in _files(setup):
        pieces, _ = network.transcribe(str(file), language="en", without_timestamps=True)
        texts[file] = "".join(piece.text for piece in pieces)
    return _transcribed(setup, texts, started)


def mmft_transcription(setup: Setup) -> Measured:
    """`predict` of the Python API with its defaults, of the network as it is."""
    import mmft

    place, files = setup.folder / "run", _files(setup)
    if not place.exists():
        mmft.run(
            task="asr",
            backbone="whisper",
            weights=str(setup.whisper),
            dataset=_own_table(setup, files),
            epochs=0,
            output=place,
            progress=False,
        )
    run = mmft.load(place)
    run.predict(files[:1], batch_size=setup.batch_size)  # Which loads the network.
    started = time.perf_counter()
    records = run.predict(files, batch_size=setup.batch_size)
    texts = {file: record["text"] for file, record in zip(files, records, strict=True)}
    return _transcribed(setup, texts, started)


def _transcribed(setup: Setup, texts: Mapping[Path, str], started: float) -> Measured:
    """The outcome is the word error rate against the transcripts; without any, against the texts of
    whoever came first."""
    from speech_data import read_table, seconds_of
    from torchmetrics.functional.text import word_error_rate

    seconds = time.perf_counter() - started
    first = setup.folder / "first.json"
    if not first.exists():
        first.write_text(json.dumps({file.name: text for file, text in texts.items()}))
    meant = json.loads(first.read_text())
    if setup.recordings is None:
        meant = {path.name: text for path, text in read_table(_table(setup))}
    pairs = [(_plain(text), _plain(meant[file.name])) for file, text in texts.items()]
    found, wanted = map(list, zip(*pairs, strict=True))
    errors = float(word_error_rate(found, wanted))
    return Measured(seconds_of(list(texts)) / seconds, len(texts), errors)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[\w']+", text.lower()))


def _table(setup: Setup) -> Path:
    return setup.folder / "recordings" / "table.jsonl"


def _own_table(setup: Setup, files: list[Path]) -> Path:
    """A table with placeholder transcripts, because nothing is learned from them."""
    table = setup.folder / "own.jsonl"
    rows = [{"audio": str(file), "text": "a"} for file in files]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table


def _files(setup: Setup) -> list[Path]:
    folder = setup.recordings or _table(setup).parent
    files = [file for file in folder.iterdir() if file.suffix in (".wav", ".flac")]
    return sorted(files)[: setup.samples]


def _prepare(setup: Setup) -> None:
    from speech_data import write_recordings

    if setup.recordings is None:
        write_recordings(setup.folder, setup.samples)


def _prepare_mp3(setup: Setup) -> None:
    from speech_data import write_recordings

    write_recordings(setup.folder, setup.samples, "mp3")


TRANSCRIBING = Job(
    title="Whisper, transcribing",
    unit="audio s/s",
    outcome="word error rate",
    tolerance=0.05,
    samples=32,
    batch_size=16,
    prepare=_prepare,
    contenders={
        "pipeline": Contender(pipeline_alone, ("transformers",), needs="whisper"),
        "pipeline, batches": Contender(pipeline_batched, ("transformers",), needs="whisper"),
        "faster-whisper, float32": Contender(
            faster_whisper, ("faster-whisper", "ctranslate2"), needs="whisper"
        ),
        "faster-whisper, int8": Contender(
            faster_whisper_int8, ("faster-whisper", "ctranslate2"), needs="whisper"
        ),
        "mmft": Contender(mmft_transcription, ("mmft",), needs="whisper"),
    },
)
_TRAINED = {
    "Seq2SeqTrainer": Contender(seq2seq_trainer, ("transformers",), needs="whisper"),
    "Seq2SeqTrainer, tuned": Contender(seq2seq_trainer_tuned, ("transformers",), needs="whisper"),
    "mmft, padded to 30 s": Contender(mmft_window, ("mmft",), needs="whisper"),
    "mmft": Contender(mmft_batch, ("mmft",), needs="whisper"),
}
SPEECH = Job(
    title="Whisper, fine-tuning",
    unit="audio s/s",
    outcome="mean loss",
    tolerance=1.0,
    samples=64,
    batch_size=16,
    prepare=_prepare,
    contenders=_TRAINED,
)
SPEECH_MP3 = replace(SPEECH, title="Whisper, fine-tuning on stereo MP3", prepare=_prepare_mp3)

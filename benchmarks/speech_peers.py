"""The contenders of `speech_training.py` and `transcription.py`, each in a process of its own:

    python speech_peers.py NAME TABLE WEIGHTS BATCH_SIZE            for training
    python speech_peers.py NAME FOLDER WEIGHTS BATCH_SIZE WORK      for transcription

Both print seconds of audio a second: of training from the first step to the last, with loading;
of transcription from the first file to the last, with the network loaded. Training also prints
which share of its time, from the end of the first step on, it waited for batches.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import soundfile
from rounds import print_result
from speech_data import NETWORKS_RATE, read_table, read_wave, seconds_of

Measured = tuple[float, float]
"""Seconds of audio a second, and the share of the time that data were waited for."""


def seq2seq_trainer(table: Path, weights: Path, batch_size: int) -> Measured:
    """The Hugging Face Seq2SeqTrainer with its defaults, as its guides to Whisper have it."""
    return _trainer(table, weights, batch_size)


def seq2seq_trainer_tuned(table: Path, weights: Path, batch_size: int) -> Measured:
    """The same in bf16 and with a process that loads and extracts features."""
    return _trainer(table, weights, batch_size, bf16=True, dataloader_num_workers=1)


def _trainer(table: Path, weights: Path, batch_size: int, **more: Any) -> Measured:
    import torch
    from trainer_clock import Clock
    from transformers import (
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizerFast,
    )

    clock = Clock()
    rows = read_table(table)
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
                output,
                per_device_train_batch_size=batch_size,
                num_train_epochs=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                remove_unused_columns=False,
                use_cpu=not torch.cuda.is_available(),  # Else it refuses bf16.
                **more,
            ),
            train_dataset=rows,
            data_collator=collate,
            callbacks=[clock],
        ).train()
    waiting = sum(clock.waited[1:]) / (clock.marks[-1] - clock.marks[1])
    return seconds_of([path for path, _ in rows]) / clock.seconds, waiting


def mmft_window(table: Path, weights: Path, batch_size: int) -> Measured:
    """mmft with the 30 seconds that Whisper was trained on, as the Trainer pads to."""
    return _mmft(table, weights, batch_size, "window")


def mmft_batch(table: Path, weights: Path, batch_size: int) -> Measured:
    """mmft with recordings padded to the longest of their batch."""
    return _mmft(table, weights, batch_size, "batch")


def _mmft(table: Path, weights: Path, batch_size: int, padding: str) -> Measured:
    from mmft_core.cli import main
    from mmft_core.engine.metrics_log import read_metrics

    with tempfile.TemporaryDirectory() as output:
        run = Path(output) / "run"
        arguments = ["run", "--task", "asr", "--backbone", "whisper", "--weights", str(weights)]
        arguments += ["--dataset", str(table), "--epochs", "1", "-o", str(run)]
        arguments += ["--batch-size", str(batch_size)]
        settings = {
            "engine.log_every": 1,
            "backbone.padding": padding,
            "backbone.speed": 0.0,
            "backbone.noise": 0.0,
            "backbone.spec_augment": "false",
            "dataset.val": 0.0,
            "dataset.test": 0.0,
        }
        main([*arguments, *(f"--set={key}={value}" for key, value in settings.items())])
        steps = [r for r in read_metrics(run / "metrics.jsonl") if "split" not in r]
    first, last = steps[0], steps[-1]
    waiting = (last["waited"] - first["waited"]) / (last["seconds"] - first["seconds"])
    return seconds_of([path for path, _ in read_table(table)]) / last["seconds"], waiting


def pipeline_alone(folder: Path, weights: Path, batch_size: int, work: Path) -> float:
    """transformers' pipeline with its defaults: a file at a time."""
    return _pipeline("pipeline", folder, weights, 1, work)


def pipeline_batched(folder: Path, weights: Path, batch_size: int, work: Path) -> float:
    """The same with batches."""
    return _pipeline("pipeline, batch", folder, weights, batch_size, work)


def _pipeline(name: str, folder: Path, weights: Path, batch_size: int, work: Path) -> float:
    import torch
    from transformers import pipeline

    files = _files(folder)
    recognizer = pipeline(
        "automatic-speech-recognition",
        model=str(weights),
        dtype=torch.float32,
        device=0 if torch.cuda.is_available() else "cpu",
    )
    # Without it the pipeline refuses batches.
    recognizer.tokenizer.pad_token_id = recognizer.model.config.pad_token_id
    started = time.perf_counter()
    waves = [{"array": w, "sampling_rate": r} for w, r in map(_mono, files)]
    texts = [found["text"].strip() for found in recognizer(waves, batch_size=batch_size)]
    elapsed = time.perf_counter() - started
    _write(work / f"{name}.json", dict(zip(map(str, files), texts, strict=True)))
    return seconds_of(files) / elapsed


def mmft_transcription(folder: Path, weights: Path, batch_size: int, work: Path) -> float:
    """mmft's `predict` with its defaults, of the network as it is."""
    from mmft_core.cli import main
    from mmft_core.config.engine_config import EngineConfig
    from mmft_core.discovery import discover
    from mmft_core.inference.predictor import Predictor
    from mmft_core.run import artifacts

    files, run = _files(folder), work / "run"
    if not run.exists():
        table = work / "own.jsonl"
        table.write_text("".join(json.dumps({"audio": str(f), "text": "a"}) + "\n" for f in files))
        arguments = ["run", "--task", "asr", "--backbone", "whisper", "--weights", str(weights)]
        arguments += ["--dataset", str(table), "--epochs", "0", "-o", str(run)]
        main([*arguments, "--set=dataset.val=0", "--set=dataset.test=0"])
    predictor = Predictor(artifacts.load(run, discover()), EngineConfig(batch_size=batch_size))
    started = time.perf_counter()
    found = {p.source: dict(p.record or {})["text"] for p in predictor.predict(files)}
    elapsed = time.perf_counter() - started
    _write(work / "mmft.json", found)
    return seconds_of(files) / elapsed


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix in (".wav", ".flac"))


def _mono(file: Path) -> tuple[Any, int]:
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    return samples.mean(1), rate


def _write(file: Path, texts: Mapping[str, str]) -> None:
    file.write_text(json.dumps(texts), encoding="utf-8")


TRAINING: dict[str, Callable[[Path, Path, int], Measured]] = {
    "Seq2SeqTrainer": seq2seq_trainer,
    "Seq2Seq, tuned": seq2seq_trainer_tuned,
    "mmft, 30 s": mmft_window,
    "mmft": mmft_batch,
}
TRANSCRIPTION: dict[str, Callable[[Path, Path, int, Path], float]] = {
    "pipeline": pipeline_alone,
    "pipeline, batch": pipeline_batched,
    "mmft": mmft_transcription,
}

if __name__ == "__main__":
    name, data, weights, batch_size, *work = sys.argv[1:]
    if work:
        print_result(TRANSCRIPTION[name](Path(data), Path(weights), int(batch_size), Path(work[0])))
    else:
        print_result(*TRAINING[name](Path(data), Path(weights), int(batch_size)))

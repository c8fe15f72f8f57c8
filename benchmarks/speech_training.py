"""Seconds of audio a second that Whisper is fine-tuned on: mmft beside the Seq2SeqTrainer.

    pip install -e '.[bench]'
    python benchmarks/speech_training.py WEIGHTS

WEIGHTS is a folder of transformers with a Whisper. The recordings are those of the built-in speech,
as they are (FLAC of 16 kHz) or in stereo files of 44.1 kHz that have to be decoded and resampled.
Every contender runs in a fresh process, in turn over several rounds. "waiting" is the share of the
time, from the end of the first step on, that a step waited for its batch.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rounds import report, run_rounds
from speech_data import write_recordings
from speech_peers import TRAINING


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--recordings", type=int, default=128)
    parser.add_argument("--form", choices=("flac", "mp3"), default="", help="Of 44.1 kHz.")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(TRAINING), choices=list(TRAINING))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        table = write_recordings(Path(temporary), given.recordings, given.form)
        arguments = (table, given.weights, given.batch_size)
        script = Path(__file__).with_name("speech_peers.py")
        results = run_rounds(script, given.only, arguments, given.rounds, "s/s")
    report("Whisper, training", results, "audio s/s", "Seq2SeqTrainer")


if __name__ == "__main__":
    main()

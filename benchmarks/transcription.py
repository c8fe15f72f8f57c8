"""Seconds of audio transcribed a second by Whisper: mmft beside transformers' pipeline.

    pip install -e '.[bench]'
    python benchmarks/transcription.py WEIGHTS

WEIGHTS is a folder of transformers with a Whisper. The recordings are those of the built-in speech,
or the files of a folder. Every contender runs in a fresh process, in turn over several rounds, and
how many of the transcripts are the pipeline's to the letter is printed below.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rounds import report, run_rounds
from speech_data import write_recordings
from speech_peers import TRANSCRIPTION


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--folder", type=Path, help="Of WAV or FLAC files; default: built-in.")
    parser.add_argument("--recordings", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(TRANSCRIPTION))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        folder = given.folder or write_recordings(work, given.recordings).parent
        arguments = (folder, given.weights, given.batch_size, work)
        script = Path(__file__).with_name("speech_peers.py")
        results = run_rounds(script, given.only, arguments, given.rounds, "s/s")
        report("Whisper, transcription", results, "audio s/s", "pipeline")
        texts = {name: _texts(work, name) for name in given.only}
    usual = texts.get("pipeline", {})
    for name, own in texts.items():
        same = sum(own.get(file) == text for file, text in usual.items())
        print(f"{name:14}  {same} of {len(usual)} transcripts equal the pipeline's")


def _texts(folder: Path, name: str) -> dict[str, str]:
    texts: dict[str, str] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return texts


if __name__ == "__main__":
    main()

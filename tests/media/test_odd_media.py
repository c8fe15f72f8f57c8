"""One battery for all that read pictures and recordings: files that are odd, and odd names of them.

Each oddity is put into a folder, into tables of paths and into Parquet with content; what comes of
it is the same in all, or a sentence that names the file or the row.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from mmft_core.contracts import Dataset
from mmft_core.errors import DataError
from tests.media.tools import MEDIA, Medium, build, picture, recording
from tests.vision.tools import faults

SOUND = ""
"""Stands for what is wrong with a file that is read."""


@pytest.fixture(params=["image", "audio"])
def medium(request: pytest.FixtureRequest) -> Medium:
    return MEDIA[request.param]


def table(path: Path, medium: Medium, cells: list[str]) -> Path:
    """Write a table of paths, with two classes."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([medium.modality, "label"])
        rows.writerows([cell, "ab"[k % 2]] for k, cell in enumerate(cells))
    return path


# --- files --------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:120])


def replaced(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, SOUND),
    "empty": (replaced(b""), "empty"),
    "cut short": (cut, r"truncated|cut short|cannot be decoded"),
    "text": (replaced(b"<html>404</html>"), r"is not an image|is not audio"),
    "zeros": (replaced(bytes(3000)), r"is not an image|is not audio"),
    "a folder": (folder, "is a folder"),
    "a broken link": (broken_link, "there is no such file"),
    "a pipe": (pipe, "is not a file"),
}
IN_NO_FOLDER = {"a folder", "a pipe"}
"""What is not taken for a sample there."""

IN_PARQUET = {"nothing", "empty", "cut short", "text", "zeros"}
"""What content can be."""


@pytest.mark.parametrize("what", FILES)
def test_odd_files(tmp_path: Path, medium: Medium, what: str) -> None:
    spoil, reason = FILES[what]
    home = tmp_path / "home"
    for label in "ab":
        (home / label).mkdir(parents=True)
        for k in range(3):
            (home / label / f"{k}{medium.suffix}").write_bytes(medium.make(k))
    odd = home / "a" / f"1{medium.suffix}"
    spoil(odd)

    if what not in IN_NO_FOLDER:
        in_folder = build(medium.folder, home, val=0.0, test=0.0)
        expect(in_folder, str(odd), reason)
    names = [str(p.relative_to(home)) for p in sorted(home.glob("?/*"))]
    path = table(home / "t.csv", medium, names)
    for name in (medium.table, "mixed-table"):
        in_table = build(name, path, val=0.0, test=0.0)
        expect(in_table, "t.csv, row 2", reason)
    if what in IN_PARQUET:
        held = [(home / name).read_bytes() for name in names]
        content = pa.table({medium.modality: held, "label": list("aaabbb")})
        pyarrow.parquet.write_table(content, home / "t.parquet")
        for name in (medium.table, "mixed-table"):
            in_parquet = build(name, home / "t.parquet", val=0.0, test=0.0)
            expect(in_parquet, "t.parquet, row 2", reason)


def expect(dataset: Dataset, sample_id: str, reason: str) -> None:
    """Check that this sample alone is bad, for this reason."""
    found = faults(dataset)
    if not reason:
        assert found == {}
        return
    ((own_id, told),) = found.items()
    assert own_id.startswith(sample_id), found
    assert re.search(reason, told), told
    assert "Traceback" not in told and "Errno" not in told and "\n" not in told


@pytest.mark.parametrize("suffix", [".JPG", ".Jpeg", ".bmp", ".webp", ".gif"])
def test_a_picture_is_what_it_is_whatever_it_is_called(tmp_path: Path, suffix: str) -> None:
    for k in range(6):
        (tmp_path / "ab"[k % 2]).mkdir(exist_ok=True)
        form = ("PNG", "JPEG", "WEBP")[k % 3]
        (tmp_path / "ab"[k % 2] / f"{k}{suffix}").write_bytes(picture(k, form))
    assert faults(build("image-folder", tmp_path, val=0.0, test=0.0)) == {}


@pytest.mark.parametrize("suffix", [".WAV", ".Flac", ".mp3"])
def test_a_recording_is_what_it_is_whatever_it_is_called(tmp_path: Path, suffix: str) -> None:
    for k in range(6):
        (tmp_path / "ab"[k % 2]).mkdir(exist_ok=True)
        form = ("WAV", "FLAC", "OGG")[k % 3]
        (tmp_path / "ab"[k % 2] / f"{k}{suffix}").write_bytes(recording(k, form))
    assert faults(build("audio-folder", tmp_path, val=0.0, test=0.0)) == {}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path, medium: Medium) -> None:
    for k in range(2):
        (tmp_path / f"{k}{medium.suffix}").write_bytes(medium.make(k))
    (tmp_path / f"1{medium.suffix}").chmod(0)
    names = [f"{k % 2}{medium.suffix}" for k in range(4)]
    found = faults(build(medium.table, table(tmp_path / "t.csv", medium, names)))
    assert set(found.values()) == {"may not be read"} and len(found) == 2


# --- names of files ------------------------------------------------------------------------------

NAMES: dict[str, tuple[Callable[[Path, str], str], str]] = {
    "relative": (lambda home, name: f"sub/{name}", SOUND),
    "with a dot": (lambda home, name: f"./sub/{name}", SOUND),
    "upwards": (lambda home, name: f"../home/sub/{name}", SOUND),
    "between spaces": (lambda home, name: f"  sub/{name} ", SOUND),
    "absolute": (lambda home, name: str(home / "sub" / name), SOUND),
    "file://": (lambda home, name: (home / "sub" / name).as_uri(), SOUND),
    "FILE://localhost": (lambda home, name: f"FILE://localhost{home}/sub/{name}", SOUND),
    "Windows": (lambda home, name: f"sub\\{name}", SOUND),
    "Windows, with a dot": (lambda home, name: f".\\sub\\{name}", SOUND),
    "another suffix": (lambda home, name: f"sub/{Path(name).stem}.xyz", "but 1.* is there"),
    "no suffix": (lambda home, name: f"sub/{Path(name).stem}", "but 1.* is there"),
    "another case": (lambda home, name: f"sub/{name.upper()}", "but 1.* is there"),
    "gone": (lambda home, name: f"sub/gone-{name}", r"^there is no such file$"),
    "a drive": (lambda home, name: f"C:\\data\\{name}", "is a path on a Windows machine"),
    "a share": (lambda home, name: f"\\\\server\\data\\{name}", "is a path on a Windows machine"),
    "https": (lambda home, name: f"https://example.com/{name}", "is a URL, which is not"),
    "s3": (lambda home, name: f"s3://bucket/{name}", "is a URL, which is not"),
    "file:// elsewhere": (lambda home, name: f"file://server/{name}", "at another machine, server"),
    "a data: URL": (lambda home, name: "data:image/png;base64,iVBOR", "is a data: URL"),
    "far too long": (lambda home, name: "x" * 5000, "is not a file name"),
    "a bit too long": (lambda home, name: "x" * 400, "name too long"),
    "nothing": (lambda home, name: "", "names no file|holds no file and names none"),
}


@pytest.mark.parametrize("what", NAMES)
def test_odd_names(tmp_path: Path, medium: Medium, what: str) -> None:
    write, reason = NAMES[what]
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    names = [f"{k}{medium.suffix}" for k in range(4)]
    for k, name in enumerate(names):
        (home / "sub" / name).write_bytes(medium.make(k))
    cells = [f"sub/{name}" for name in names]
    cells[1] = write(home, names[1])
    path = table(home / "t.csv", medium, cells)
    expect(build(medium.table, path, val=0.0, test=0.0), "t.csv, row 2", reason)
    if what != "nothing":  # In such a table a row may lack an input.
        columns = {medium.modality: medium.modality}
        mixed = build("mixed-table", path, val=0.0, test=0.0, columns=columns)
        expect(mixed, "t.csv, row 2", reason)
    held: list[dict[str, Any]] = [{"bytes": medium.make(k), "path": None} for k in range(4)]
    held[1] = {"bytes": None, "path": cells[1]}
    content = pa.table({medium.modality: held, "label": list("abab")})
    pyarrow.parquet.write_table(content, home / "t.parquet")
    expect(build(medium.table, home / "t.parquet", val=0.0, test=0.0), "t.parquet, row 2", reason)


def test_a_name_in_every_row_that_is_none_is_told_once(tmp_path: Path, medium: Medium) -> None:
    cells = [f"https://example.com/{k}{medium.suffix}" for k in range(4)]
    with pytest.raises(DataError, match=r"holds addresses, such as https://example.com/0"):
        build(medium.table, table(tmp_path / "t.csv", medium, cells))
    dataset_notes = (
        build("mixed-table", table(tmp_path / "t.csv", medium, cells)).info.notes if False else ()
    )
    assert not dataset_notes


def test_the_same_file_in_two_rows_is_read_twice(tmp_path: Path, medium: Medium) -> None:
    (tmp_path / f"x{medium.suffix}").write_bytes(medium.make(1))
    cells = [f"x{medium.suffix}", f"./x{medium.suffix}"] * 2
    dataset = build(medium.table, table(tmp_path / "t.csv", medium, cells), val=0.0, test=0.0)
    assert faults(dataset) == {} and len(dataset.splits["train"]) == 4


def test_a_backslash_may_be_part_of_a_name(tmp_path: Path, medium: Medium) -> None:
    if os.name == "nt":
        pytest.skip("there it is none")
    odd = f"a\\b{medium.suffix}"
    (tmp_path / odd).write_bytes(medium.make(1))
    dataset = build(medium.table, table(tmp_path / "t.csv", medium, [odd] * 4))
    assert faults(dataset) == {}

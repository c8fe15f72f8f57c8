"""Pictures and recordings within Parquet: as the Hub has them, as bytes; bad ones by row."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from mmft_audio.recordings import load
from mmft_core.errors import DataError, SampleError
from tests.media.tools import MEDIA, Medium, build
from tests.vision.tools import faults, sizes

WHOLE: dict[str, Any] = {"val": 0.0, "test": 0.0}
Held = list[Any]


@pytest.fixture(params=["image", "audio"])
def modality(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def medium(modality: str) -> Medium:
    return MEDIA[modality]


def records(medium: Medium, count: int = 8) -> list[dict[str, Any]]:
    """Files in the Hub's form, with the paths that they had on another machine."""
    return [
        {"bytes": medium.make(k), "path": f"/home/other/{k}{medium.suffix}"} for k in range(count)
    ]


def write_table(
    path: Path, column: str, cells: Any, hub: str = "", labels: list[str] | None = None
) -> Path:
    """Write a table of files and labels.

    Args:
        hub: the feature that the schema's metadata name, as `datasets` writes them.
    """
    labels = labels or [("bad", "good")[k % 2] for k in range(len(cells))]
    table = pa.table({column: cells, "label": labels})
    if hub:
        features = {column: {"_type": hub}, "label": {"dtype": "string", "_type": "Value"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(metadata)
    pyarrow.parquet.write_table(table, path)
    return path


FORMS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "records": lambda held: pa.array(held),
    "records without a path": lambda held: pa.array([{**r, "path": None} for r in held]),
    "binary": lambda held: pa.array([r["bytes"] for r in held], pa.binary()),
    "large binary": lambda held: pa.array([r["bytes"] for r in held], pa.large_binary()),
    "large binary in records": lambda held: pa.array(
        held, pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
    ),
    "in another order": lambda held: pa.array(
        [{"path": r["path"], "bytes": r["bytes"]} for r in held]
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("hub", [False, True])
def test_files_within_a_table_are_read(
    tmp_path: Path, modality: str, medium: Medium, form: str, hub: bool
) -> None:
    feature = {"image": "Image", "audio": "Audio"}[modality] if hub and "rec" in form else ""
    cells = FORMS[form](records(medium))
    path = write_table(tmp_path / "t.parquet", "media", cells, feature)
    dataset = build(medium.table, path, **WHOLE)
    assert dataset.info.classes == ("bad", "good") and sizes(dataset) == {"train": 8}
    assert faults(dataset) == {}
    train = dataset.splits["train"]
    name = f" (3{medium.suffix})" if form in ("records", "in another order") else ""
    name = f" (3{medium.suffix})" if form == "large binary in records" else name
    assert train.sample_id(3) == f"t.parquet, row 4{name}"
    assert same(train[3].inputs[modality], medium.make(3), tmp_path)
    if modality == "audio":
        assert train.sizes() == pytest.approx([0.3] * 8)


def same(raw: Any, content: bytes, folder: Path) -> bool:
    """Whether a raw input is what the same file would be."""
    file = folder / "single"
    file.write_bytes(content)
    if hasattr(raw, "tobytes"):
        from mmft_vision.images import open_image

        return bool(raw.tobytes() == open_image(file, "").tobytes())
    from mmft_audio.recordings import Recording

    return bool((load(raw, 16_000) == load(Recording(file), 16_000)).all())


@pytest.mark.parametrize("form", ["FLAC", "MP3", "OGG"])
def test_recordings_of_every_format(tmp_path: Path, form: str) -> None:
    from tests.media.tools import recording

    cells = [recording(k, form) for k in range(4)]
    dataset = build("audio-table", write_table(tmp_path / "t.parquet", "audio", cells), **WHOLE)
    assert faults(dataset) == {}
    assert len(load(dataset.splits["train"][2].inputs["audio"], 16_000)) > 4000


def test_a_stream_of_unknown_length_is_read(tmp_path: Path) -> None:
    content = bytearray(MEDIA["audio"].make(1))
    content[4:8] = content[40:44] = b"\0" * 4
    cells = [bytes(content)] * 4
    dataset = build("audio-table", write_table(tmp_path / "t.parquet", "audio", cells), **WHOLE)
    assert faults(dataset) == {}
    assert len(load(dataset.splits["train"][0].inputs["audio"], 16_000)) == 4800


def test_bad_rows_are_told_by_their_numbers(tmp_path: Path, modality: str, medium: Medium) -> None:
    held: Held = records(medium, 12)
    other = MEDIA["audio" if modality == "image" else "image"]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "there").write_bytes(medium.make(1))
    held[1] = None
    held[2] = {"bytes": None, "path": None}
    held[3] = {"bytes": b"", "path": "a"}
    held[4]["bytes"] = held[4]["bytes"][:150] if modality == "image" else held[4]["bytes"][:3000]
    held[5]["bytes"] = b"<html>404</html>"
    held[6] = {"bytes": None, "path": "sub/there"}  # Is read.
    held[7] = {"bytes": None, "path": "sub/gone"}
    held[8]["bytes"] = other.make(1)
    held[9] = {"bytes": None, "path": "https://example.com/a.png"}
    dataset = build(medium.table, write_table(tmp_path / "t.parquet", "media", held), **WHOLE)
    found = {int(i.partition("row ")[2].split()[0]): r for i, r in faults(dataset).items()}
    assert found.keys() == {2, 3, 4, 5, 6, 8, 9, 10}
    assert found[2] == found[3] == "it holds no file and names none"
    assert "empty" in found[4]
    assert "truncated" in found[5] or "cut short" in found[5]
    wanted = "not an image" if modality == "image" else "not audio"
    assert wanted in found[6] and wanted in found[9]
    assert found[8] == "there is no such file"
    assert found[10] == "it is a URL, which is not fetched"
    with pytest.raises(SampleError, match=r"row 2: it holds no file"):
        dataset.splits["train"][1]


def test_paths_of_records_may_be_all_there_is(tmp_path: Path, medium: Medium) -> None:
    for k in range(4):
        (tmp_path / f"{k}{medium.suffix}").write_bytes(medium.make(k))
    cells = pa.array([{"bytes": None, "path": f"{k}{medium.suffix}"} for k in range(4)])
    path = write_table(tmp_path / "t.parquet", "media", cells)
    dataset = build(medium.table, path, **WHOLE)
    assert faults(dataset) == {}
    assert dataset.splits["train"].sample_id(2) == f"t.parquet, row 3 (2{medium.suffix})"


def test_the_column_is_found_by_what_it_holds(tmp_path: Path) -> None:
    pictures, sounds = records(MEDIA["image"]), records(MEDIA["audio"])
    table = {
        "path": [f"{k}.xyz" for k in range(8)],
        "sound": sounds,
        "img": pictures,
        "label": list("abababab"),
        "text": [f"said {k}" for k in range(8)],
    }
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.table(table), path)
    assert not faults(build("image-table", path))
    assert not faults(build("audio-table", path))
    assert not faults(build("audio-table", path, "text"))
    mixed = build("mixed-table", path)
    assert not faults(mixed)
    assert set(mixed.splits["train"][0].inputs) == {"image", "audio", "text"}
    for target in ("text", "pair"):  # Captions, and what is contrasted.
        assert not faults(build("mixed-table", path, target))
    assert any("img: image (the content of pictures)" in note for note in mixed.info.notes)

    table["mask"] = pictures
    pyarrow.parquet.write_table(pa.table(table), path)
    with pytest.raises(DataError, match=r"column that is clearly|several columns of kind image"):
        build("mixed-table", path)
    chosen = build("image-table", path, image_column="mask")
    assert any("column 'mask'" in note for note in chosen.info.notes)


REFUSED: dict[str, tuple[Any, str]] = {
    "lists": ([[{"bytes": b"x", "path": None}]] * 4, "holds lists, but a row has one"),
    "arrays": ([{"array": [0.1], "sampling_rate": 8000, "path": "a"}] * 4, "holds decoded samples"),
    "numbers": ([[0.1, 0.2]] * 4, "holds lists of numbers, not files"),
    "other records": ([{"id": 1, "url": "a"}] * 4, "holds records of id, url, not files"),
    "data URLs": (["data:image/png;base64,iVBO"] * 4, "holds data: URLs, such as data:image/png"),
    "addresses": (["https://e.org/a.png", "s3://b/c.png"] * 2, "holds addresses, such as https"),
    "text": (["iVBO" * 5000] * 4, "holds texts too long for a path"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_files_are_is_refused_in_a_sentence(
    tmp_path: Path, modality: str, medium: Medium, what: str
) -> None:
    cells, words = REFUSED[what]
    path = write_table(tmp_path / "t.parquet", modality, pa.array(cells))
    with pytest.raises(DataError, match=rf"Column '{modality}' of .*t\.parquet {words}") as caught:
        build(medium.table, path)
    assert len(str(caught.value)) < 500


def test_it_travels_to_processes_without_its_content(tmp_path: Path, medium: Medium) -> None:
    held = records(medium, 40)
    path = write_table(tmp_path / "t.parquet", "media", pa.array(held))
    split = build(medium.table, path).splits["train"]
    assert sum(len(r["bytes"]) for r in held) > 40_000 > 10 * len(pickle.dumps(split))
    assert pickle.loads(pickle.dumps(split))[5].id == split[5].id


def test_many_rows_take_little_memory(tmp_path: Path) -> None:
    content = MEDIA["image"].make(0)
    cells = pa.chunked_array([[content] * 1000] * 60)
    path = tmp_path / "t.parquet"
    labels = [("a", "b")[k % 2] for k in range(60_000)]
    pyarrow.parquet.write_table(pa.table({"image": cells, "label": labels}), path)
    before = pa.total_allocated_bytes()
    dataset = build("image-table", path)
    assert len(content) * 60_000 > 60e6 > 6 * (pa.total_allocated_bytes() - before)
    assert dataset.splits["train"][40_000].inputs["image"].size == (24, 24)

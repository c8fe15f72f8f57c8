"""Hidden files and folders: passed over and counted, and no class vanishes among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmft_core.errors import DataError
from mmft_core.inference.named import Hidden, named_files
from tests.conftest import Finished
from tests.media.tools import MEDIA, Medium, build, passed_over, write
from tests.vision.tools import faults, sizes

Call = Callable[..., Finished]
WHOLE = {"val": 0.0, "test": 0.0}


@pytest.fixture(params=MEDIA)
def medium(request: pytest.FixtureRequest) -> Medium:
    return MEDIA[request.param]


def classes(root: Path, medium: Medium) -> Path:
    """Two class folders, of which one has folders in it."""
    write(root / "bad", medium)
    write(root / "good" / "more" / "deeper", medium, first=4)
    return root


def test_what_systems_and_programs_leave_is_no_class(tmp_path: Path, medium: Medium) -> None:
    root = classes(tmp_path / "data", medium)
    write(root / "__MACOSX" / "bad", medium, 1)
    write(root / ".ipynb_checkpoints", medium, 2)
    write(root / "good" / ".Trash-1000" / "files", medium, 1)
    write(root / "good" / "@eaDir", medium, 3)
    (root / "bad" / f"._01{medium.suffix}").write_bytes(b"\0\5\26\7")  # macOS's; not counted.
    (root / ".git").mkdir()
    (root / ".DS_Store").write_bytes(b"Bud1")
    dataset = build(medium.folder, root, **WHOLE)
    assert dataset.info.classes == ("bad", "good") and sizes(dataset) == {"train": 8}
    (note,) = passed_over(dataset)
    assert note.startswith("skipped, hidden or in hidden folders: 7 files, such")
    assert f".ipynb_checkpoints/00{medium.suffix}" in note


def test_without_anything_hidden_there_is_no_note(tmp_path: Path, medium: Medium) -> None:
    root = classes(tmp_path, medium)
    (root / ".cache").mkdir()
    (root / ".gitignore").touch()
    (root / "bad" / "._00.png").touch()
    assert not passed_over(build(medium.folder, root))


@pytest.mark.parametrize("inside", [".", "train", "test"])
@pytest.mark.parametrize("training", [True, False])
def test_a_hidden_class_is_refused_with_its_name(
    tmp_path: Path, medium: Medium, inside: str, training: bool
) -> None:
    for part in {".", inside} - {"."} or {"."}:
        classes(tmp_path / part, medium)
    if inside == "test":
        classes(tmp_path / "train", medium)
    write(tmp_path / inside / ".net" / "sub", medium, 5)
    expected = rf"/\.net is hidden, because its name begins with a dot, but holds 5 {medium.noun}"
    with pytest.raises(DataError, match=expected) as caught:
        build(medium.folder, tmp_path, training=training)
    assert "Rename it if it is a class" in str(caught.value)
    (tmp_path / inside / ".net").rename(tmp_path / inside / "net")
    if inside != "test":
        assert "net" in build(medium.folder, tmp_path).info.classes


def test_a_hidden_folder_beside_those_of_splits_is_refused(tmp_path: Path, medium: Medium) -> None:
    for split in ("train", "val"):
        classes(tmp_path / split, medium)
    write(tmp_path / ".more" / "bad", medium)
    with pytest.raises(DataError, match=r"\.more is hidden"):
        build(medium.folder, tmp_path)


def test_hidden_samples_within_a_class_are_counted(tmp_path: Path, medium: Medium) -> None:
    root = classes(tmp_path, medium)
    write(root / "good" / "more" / ".old", medium, 2)
    (root / "bad" / f".draft{medium.suffix}").write_bytes(medium.make(9))
    (note,) = passed_over(build(medium.folder, root))
    assert ": 3 files, such" in note and f"bad/.draft{medium.suffix}" in note


@pytest.mark.parametrize(("medium_name", "target"), [("audio", "text"), ("text", "none")])
def test_folders_without_classes_count_them_as_well(
    tmp_path: Path, medium_name: str, target: str
) -> None:
    medium = MEDIA[medium_name]
    write(tmp_path / "b", medium)
    write(tmp_path / "a-b", medium)
    write(tmp_path / "a" / "c", medium)
    for file in tmp_path.rglob(f"*{medium.suffix}"):
        file.with_suffix(".txt").write_text(f"What is said in {file.stem}.")
    write(tmp_path / ".ipynb_checkpoints", medium, 2)
    write(tmp_path / "b" / ".net", medium, 1)
    dataset = build(medium.folder, tmp_path, target, **WHOLE)
    assert sizes(dataset) == {"train": 12}
    note = passed_over(dataset)[-1]
    assert note.startswith("skipped, hidden or in hidden folders: 3 files")
    # In the order of folders, by which earlier runs divided them.
    train = dataset.splits["train"]
    homes = [Path(train.sample_id(k).rpartition(":")[0] or train.sample_id(k)) for k in (0, 4, 8)]
    if target == "text":
        homes = [Path(train.sample_id(k)) for k in (0, 4, 8)]
    assert [home.parent.name for home in homes] == ["c", "a-b", "b"]


def test_transcribed_splits_are_not_dropped_beside_others(tmp_path: Path) -> None:
    medium = MEDIA["audio"]
    for split in ("train", "test"):
        for file in write(tmp_path / split, medium).iterdir():
            file.with_suffix(".txt").write_text("something")
    (tmp_path / "papers").mkdir()
    assert sizes(build("audio-folder", tmp_path, "text", val=0.0)) == {"train": 4, "test": 4}
    write(tmp_path / "papers", medium)
    with pytest.raises(DataError, match=r"papers stands beside test/ but is not a split"):
        build("audio-folder", tmp_path, "text")
    (tmp_path / "papers").rename(tmp_path / "training")
    with pytest.raises(DataError, match=r"are both the train split"):
        build("audio-folder", tmp_path, "text")


def test_a_link_that_leads_back_is_named_itself(tmp_path: Path, medium: Medium) -> None:
    root = classes(tmp_path, medium)
    (root / "bad" / "back").symlink_to("..")
    with pytest.raises(DataError, match=r"The link \S*bad/back leads back"):
        build(medium.folder, root)


def test_accents_may_be_written_in_two_ways(tmp_path: Path, medium: Medium) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    for split, name in (("train", apart), ("test", composed)):
        write(tmp_path / split / name, medium)
        write(tmp_path / split / "tea", medium, first=4)
    dataset = build(medium.folder, tmp_path, val=0.0)
    assert dataset.info.classes == (composed, "tea") and not faults(dataset)
    write(tmp_path / "train" / composed, medium, first=8)
    assert sizes(build(medium.folder, tmp_path, val=0.0)) == {"train": 12, "test": 8}


def test_predicting_passes_over_the_same(tmp_path: Path) -> None:
    root = classes(tmp_path, MEDIA["image"])
    write(root / "__MACOSX" / "bad", MEDIA["image"], 1)
    write(root / "good" / "@eaDir", MEDIA["image"], 1)
    hidden = Hidden()
    assert len(named_files(str(root), (".png",), hidden) or ()) == 8
    assert hidden.folders == 2


def test_the_check_says_so(mmft: Call, tmp_path: Path) -> None:
    root = classes(tmp_path / "data", MEDIA["image"])
    write(root / ".ipynb_checkpoints", MEDIA["image"], 2)
    ended = mmft("data", "check", root)
    assert "skipped, hidden or in hidden folders: 2 files" in ended.out
    write(root / ".net", MEDIA["image"], 2)
    ended = mmft("data", "check", root)
    assert ended.code == 2 and ".net is hidden" in ended.err and "Rename it" in ended.err

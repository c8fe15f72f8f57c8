"""Formats of pictures: those that are read, and what is said of the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from mmft_core.data import remarks
from mmft_core.errors import SampleError
from mmft_vision import formats
from mmft_vision.images import check_image, open_image
from mmft_vision.processing import to_rgb
from tests.conftest import Finished, run_arguments

Mmft = Callable[..., Finished]


@pytest.fixture
def photograph(photographs: dict[str, Image.Image]) -> Image.Image:
    return photographs["flower"].resize((96, 64))


@pytest.fixture(scope="module")
def heif() -> Iterator[None]:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    yield


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    formats._reads_heif.cache_clear()
    yield
    formats._reads_heif.cache_clear()


def orientation(number: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif.tobytes()


def pixels(path: Path) -> np.ndarray:
    check_image(path, "id")
    return np.asarray(to_rgb(open_image(path, "id"))).astype(int)


def reason(path: Path) -> str:
    with pytest.raises(SampleError) as refused:
        check_image(path, "id")
    return refused.value.reason


NAMES = ["a.JPG", "a.jfif", "a.Jpeg", "a.bmp", "a.webp", "a.gif", "a.TIFF", "a.jp2", "a.avif"]


@pytest.mark.parametrize("name", NAMES)
def test_formats_that_are_read(tmp_path: Path, photograph: Image.Image, name: str) -> None:
    feature = {"jp2": "jpg_2000", "avif": "avif"}.get(name.rpartition(".")[2])
    if feature and not features.check(feature):
        pytest.skip(f"this Pillow was built without {feature}")
    photograph.save(tmp_path / name)
    assert Path(name).suffix.lower() in formats.SUFFIXES
    assert np.abs(pixels(tmp_path / name) - np.asarray(photograph)).mean() < 8


@pytest.mark.usefixtures("heif")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_heic(tmp_path: Path, photograph: Image.Image, mode: str) -> None:
    photograph.convert(mode).save(tmp_path / "a.heic", quality=90)
    expected = np.asarray(photograph.convert(mode).convert("RGB"))
    assert np.abs(pixels(tmp_path / "a.heic") - expected).mean() < 5


@pytest.mark.usefixtures("heif")
def test_heic_comes_upright(tmp_path: Path, photograph: Image.Image) -> None:
    photograph.save(tmp_path / "a.heic", quality=90, exif=orientation(6))
    upright = np.rot90(np.asarray(photograph), -1)
    assert np.abs(pixels(tmp_path / "a.heic") - upright).mean() < 5


@pytest.mark.usefixtures("heif")
def test_heic_by_any_name_in_a_process_that_has_read_none(
    tmp_path: Path, photograph: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph.save(tmp_path / "a.jpg", "HEIF")
    monkeypatch.delitem(Image.OPEN, "HEIF")
    formats._reads_heif.cache_clear()
    assert pixels(tmp_path / "a.jpg").shape == (64, 96, 3)


@pytest.mark.usefixtures("heif")
def test_damaged_heic_is_not_taken_for_one_that_needs_the_extra(
    tmp_path: Path, photograph: Image.Image
) -> None:
    photograph.save(tmp_path / "a.heic")
    data = (tmp_path / "a.heic").read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "a.heic").write_bytes(data[: int(len(data) * share)])
        assert "decoded" in reason(tmp_path / "a.heic")


@pytest.mark.usefixtures("heif", "without_heif")
def test_without_the_extra_each_file_names_it(
    tmp_path: Path, photo_folder: Callable[..., Path], photograph: Image.Image, mmft: Mmft
) -> None:
    root = photo_folder(per_class=5)
    for label in ("china", "flower"):
        for index in range(7):
            photograph.save(root / label / f"phone{index}.HEIC")
    install = "is HEIC, which needs packages that are not installed: pip install 'mmft[heic]'"
    refused = mmft(*run_arguments(tmp_path / "run", "--dataset", root))
    assert refused.code == 2 and "14 of 24 samples cannot be used" in refused.err
    assert f"14 times: it {install}" in refused.err and "phone0.HEIC" in refused.err
    checked = mmft("data", "check", root)
    assert checked.code == 1 and "14 cannot be read" in checked.out and install in checked.out


@pytest.mark.usefixtures("heif", "without_heif")
def test_a_folder_of_nothing_else_says_so(
    tmp_path: Path, photograph: Image.Image, mmft: Mmft
) -> None:
    for label in ("one", "two"):
        (tmp_path / "d" / label).mkdir(parents=True)
        photograph.save(tmp_path / "d" / label / "a.heic")
    for ended in (
        mmft("data", "check", tmp_path / "d"),
        mmft(*run_arguments(tmp_path / "run", "--dataset", tmp_path / "d")),
    ):
        assert ended.code in (1, 2)
        assert "pip install 'mmft[heic]'" in ended.out + ended.err
        assert "recordings" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.svg", "render it as PNG"),
        ("A.DCM", "DICOM, which is not read: save it as 16-bit PNG or TIFF, with pydicom"),
        ("a.nii.gz", "save slices as 16-bit PNG or TIFF"),
        ("a.npy", r"PIL.Image.fromarray\(array\)"),
        ("a.psd", "export it as PNG or TIFF"),
        ("a.nef", "camera raw"),
    ],
)
def test_known_formats_that_are_not_read_say_what_to_do(
    tmp_path: Path, photograph: Image.Image, name: str, words: str, mmft: Mmft
) -> None:
    for label in ("one", "two"):
        (tmp_path / "d" / label).mkdir(parents=True)
        # As camera raw does, it begins with a picture that PIL could read.
        photograph.save(tmp_path / "d" / label / name, "TIFF")
    path = tmp_path / "d" / "one" / name
    with pytest.raises(SampleError, match=words):
        open_image(path, "id")
    checked = mmft("data", "check", tmp_path / "d")
    assert checked.code == 1 and "2 cannot be read" in checked.out
    assert "there is no such file" in reason(path.with_name(f"none{path.suffix}"))


def test_other_files_are_counted_by_suffix(photo_folder: Callable[..., Path], mmft: Mmft) -> None:
    root = photo_folder(per_class=5)
    for name in ("a.json", "b.json", "c.XML", "readme"):
        (root / "china" / name).write_text("x")
    checked = mmft("data", "check", root, "--task", "image-cls")
    told = "skipped, not pictures by their suffix: 4 files (2 .json, 1 .xml, 1 no suffix)"
    assert told in checked.out


def test_a_folder_that_nothing_reads_says_what_is_in_it(tmp_path: Path, mmft: Mmft) -> None:
    for label in ("one", "two"):
        (tmp_path / "d" / label).mkdir(parents=True)
        (tmp_path / "d" / label / "a.docx").touch()
    refused = mmft("data", "check", tmp_path / "d")
    assert refused.code == 2 and "There are no pictures in class folders" in refused.err
    assert "there are other files: 2 .docx" in refused.err


# --- what decoders say ----------------------------------------------------------------------------


def spoil_exif(path: Path, photograph: Image.Image) -> None:
    """A JPEG whose EXIF promises more than it holds."""
    exif = bytearray(orientation(1))
    exif[-12:-8] = b"\xff\x00\x00\x00"
    photograph.save(path, exif=bytes(exif[:-6]))


def test_warnings_come_by_file_and_never_raw(
    tmp_path: Path,
    photo_folder: Callable[..., Path],
    photograph: Image.Image,
    mmft: Mmft,
    recwarn: pytest.WarningsRecorder,
) -> None:
    root = photo_folder(per_class=8)
    for index in range(3):
        spoil_exif(root / "china" / f"odd{index}.jpg", photograph.rotate(40 * index))
    checked = mmft("data", "check", root)
    assert "3 odd but readable (odd)" in checked.out
    assert f"{root}/china/odd1.jpg has a warning when it is read: " in checked.out
    ran = mmft(*run_arguments(tmp_path / "run", "--dataset", root, "--epochs", "1"))
    assert ran.code == 0
    told = [line for line in ran.out.splitlines() if "a warning when it is read" in line]
    assert told and all(f", such as {root}/china/odd" in line for line in told)
    assert not [warning for warning in recwarn if "PIL" in warning.filename]


def test_messages_of_libtiff_do_not_come_through(
    tmp_path: Path, photograph: Image.Image, capfd: pytest.CaptureFixture[str]
) -> None:
    photograph.save(tmp_path / "a.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[200:260] = b"\xff" * 60
    (tmp_path / "a.tif").write_bytes(data)
    assert "cannot be decoded" in reason(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""


def test_only_the_first_page_is_read_and_this_is_said(
    tmp_path: Path, photograph: Image.Image
) -> None:
    for name in ("a.gif", "a.tif", "a.webp", "a.png"):
        other = photograph.transpose(Image.Transpose.ROTATE_180)
        photograph.save(tmp_path / name, save_all=True, append_images=[other])
        with remarks.collecting() as said:
            found = pixels(tmp_path / name)
        assert said == ["several frames or pages, of which only the first is read"]
        assert np.abs(found - np.asarray(photograph)).mean() < 8
        photograph.save(tmp_path / name)
        with remarks.collecting() as said:
            check_image(tmp_path / name, "id")
        assert said == []

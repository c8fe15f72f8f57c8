"""Which image files are sound: those that decode, of every kind, and nothing else."""

from __future__ import annotations

import io
import os
import random
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from mmft_core.errors import SampleError
from mmft_vision.images import check_image, open_image

FORMS = {
    "baseline.jpg": {},
    "progressive.jpg": {"progressive": True},
    "plain.png": {},
    "plain.webp": {},
    "plain.gif": {},
    "plain.bmp": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "plain.ppm": {},
}


@pytest.fixture(scope="module")
def photograph(photographs: dict[str, Image.Image]) -> Image.Image:
    return photographs["china"].crop((0, 0, 203, 151))


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    with warnings.catch_warnings():  # PIL warns of odd metadata.
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(params=FORMS)
def file(request: pytest.FixtureRequest, photograph: Image.Image, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    photograph.save(path, **FORMS[request.param])
    return path


def reason(path: Path) -> str | None:
    try:
        check_image(path, "id")
    except SampleError as error:
        assert error.sample_id == "id"
        return error.reason
    return None


def test_whole_files_are_sound(file: Path) -> None:
    assert reason(file) is None


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.97])
def test_files_that_were_cut_short_are_not(file: Path, share: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    assert reason(file) is not None


def test_what_is_called_sound_can_be_decoded_and_nothing_else_escapes(file: Path) -> None:
    data, dice = file.read_bytes(), random.Random(0)
    for _ in range(100):
        spoiled = bytearray(data)
        for _ in range(dice.randrange(1, 8)):
            spoiled[dice.randrange(min(len(data), 600))] = dice.randrange(256)
        file.write_bytes(spoiled)
        if reason(file) is None:
            open_image(file, "id").convert("RGB")


def test_the_reason_says_what_is_wrong(tmp_path: Path, photograph: Image.Image) -> None:
    jpeg = tmp_path / "a.jpg"
    photograph.save(jpeg)
    (tmp_path / "cut.jpg").write_bytes(jpeg.read_bytes()[:-400])
    (tmp_path / "text.jpg").write_text("Dear diary")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.jpg").mkdir()
    expected = {
        "cut.jpg": "truncated",
        "text.jpg": "is not an image that can be decoded",
        "empty.png": "the file is empty",
        "folder.jpg": "is a folder",
        "nowhere.jpg": "there is no such file",
        "a.jpg/inside.jpg": "there is no such file",
        "nul\0.jpg": "cannot be decoded",
        "x" * 300 + ".jpg": "cannot be read: file name too long",
    }
    for name, words in expected.items():
        assert words in (reason(tmp_path / name) or ""), name


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_of_every_mode_is_sound(tmp_path: Path, photograph: Image.Image, mode: str) -> None:
    path = tmp_path / "a.png"
    image = Image.new("I;16", (30, 20), 40000) if mode == "I;16" else photograph.convert(mode)
    image.save(path)
    assert reason(path) is None
    assert open_image(path, "id").size == image.size


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_of_every_mode_is_sound(tmp_path: Path, photograph: Image.Image, mode: str) -> None:
    path = tmp_path / "A.JPEG"
    photograph.convert(mode).save(path, "JPEG")
    assert reason(path) is None


def test_the_content_decides_and_not_the_suffix(tmp_path: Path, photograph: Image.Image) -> None:
    path = tmp_path / "really-a.jpg"
    photograph.save(path, "PNG")
    assert reason(path) is None


def test_a_program_for_ghostscript_is_no_picture(tmp_path: Path, photograph: Image.Image) -> None:
    path = tmp_path / "a.jpg"
    photograph.save(path, "EPS")
    assert reason(path) == "it is not an image that can be decoded"


def test_decompression_bombs_are_refused_unopened(
    tmp_path: Path, photograph: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    photograph.save(path)
    pixels = photograph.width * photograph.height
    for limit in (pixels - 1, pixels // 3):  # PIL's warning, and its error.
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(SampleError, match=r"203 x 151|decompression bomb"):
            open_image(path, "id")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    assert reason(path) is None


def test_opening_decodes_nothing_so_that_a_jpeg_can_be_drafted(
    tmp_path: Path, photographs: dict[str, Image.Image]
) -> None:
    path = tmp_path / "a.jpg"
    photographs["flower"].save(path)
    image = open_image(path, "id")
    assert image.size == (640, 427)
    image.draft("RGB", (100, 60))
    assert image.size == (160, 107)
    image.load()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path, photograph: Image.Image) -> None:
    path = tmp_path / "a.png"
    photograph.save(path)
    path.chmod(0)
    assert reason(path) == "may not be read"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_no_file_stays_open(file: Path) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would hold one itself

    broken = file.with_name("broken" + file.suffix)
    broken.write_bytes(file.read_bytes()[:60])
    before = opened()
    for _ in range(50):
        check_image(file, "id")
        open_image(file, "id").load()
        open_image(file, "id")
        assert reason(broken)
    assert opened() == before


def test_threads_do_not_disturb_each_other(tmp_path: Path, photograph: Image.Image) -> None:
    good = io.BytesIO()
    photograph.save(good, "JPEG")
    paths = []
    for i in range(200):
        path = tmp_path / f"{i}.jpg"
        path.write_bytes(good.getvalue() if i % 3 else good.getvalue()[:900])
        paths.append(path)
    assert reason(paths[1]) is None  # Which adds the one filter for PIL's warnings.
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        reasons = list(pool.map(reason, paths))
    assert [r is None for r in reasons] == [bool(i % 3) for i in range(200)]
    assert warnings.filters == filters

"""Pictures of other than 8 bits are read as they are, and 8 bits as ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mmft_vision.deep import is_deep, values
from mmft_vision.images import check_image, open_image
from mmft_vision.pixel_range import PixelRange
from mmft_vision.processing import to_rgb
from tests.vision.deep_files import Values, write_png, write_tiff

Write = Callable[[Path, Values], None]


def noise(*shape: int, high: int = 65536) -> Values:
    return np.random.default_rng(sum(shape)).integers(0, high, shape).astype(np.uint16)


def read(path: Path) -> Values:
    check_image(path, "id")
    image = open_image(path, "id")
    assert is_deep(image)
    found = values(image)
    assert (values(image) == found).all(), "it is not the same when it is asked for again"
    return found


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_pngs_of_any_channels_keep_both_bytes(tmp_path: Path, channels: int) -> None:
    pixels = noise(13, 17, channels).squeeze()
    write_png(tmp_path / "a.png", pixels)
    assert (read(tmp_path / "a.png") == pixels).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflated", [False, True])
def test_16_bit_tiffs_keep_both_bytes(
    tmp_path: Path, channels: int, order: str, deflated: bool
) -> None:
    pixels = noise(13, 17, channels).squeeze()
    write_tiff(tmp_path / "a.tif", pixels, order=order, deflated=deflated)
    assert (read(tmp_path / "a.tif") == pixels).all()


@pytest.mark.parametrize(
    "pixels",
    [
        np.array([[0.25, -3.5], [1e6, 7.0]], np.float32),
        np.array([[-1024, 3071], [0, 1]], np.int16),
        np.array([[-(2**30), 2**30], [0, 1]], np.int32),
        np.array([[0, 2**32 - 1], [2**31, 1]], np.uint32),
        np.array([[-128, 127], [0, -1]], np.int8),
    ],
    ids=lambda pixels: str(pixels.dtype),
)
def test_tiffs_of_one_channel_of_any_type(tmp_path: Path, pixels: Values) -> None:
    write_tiff(tmp_path / "a.tif", pixels)
    assert (read(tmp_path / "a.tif") == pixels).all()


def test_tiffs_whose_0_is_white(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", noise(5, 7), photometric=0)
    assert (read(tmp_path / "a.tif") == 65535 - noise(5, 7)).all()


@pytest.mark.parametrize("highest", [1023, 65535])
def test_netpbm_is_scaled_to_its_own_maximum(tmp_path: Path, highest: int) -> None:
    """Netpbm says in the file which value is white."""
    for magic, shape in (("P5", (4, 6)), ("P6", (4, 6, 3))):
        pixels = noise(*shape, high=highest + 1)
        header = f"{magic}\n6 4\n{highest}\n".encode()
        (tmp_path / "a.pnm").write_bytes(header + pixels.astype(">u2").tobytes())
        assert np.abs(read(tmp_path / "a.pnm") - pixels * (65535 / highest)).max() <= 1


ORIENTED: dict[str, Write] = {
    "gray.png": lambda path, v: write_png(path, v, _exif(6)),
    "rgb.png": lambda path, v: write_png(path, np.stack([v] * 3, 2), _exif(6)),
    "gray.tif": lambda path, v: write_tiff(path, v, orientation=6),
    "gray-deflated.tif": lambda path, v: write_tiff(path, v, orientation=6, deflated=True),
    "rgb.tif": lambda path, v: write_tiff(path, np.stack([v] * 3, 2), orientation=6),
    "float.tif": lambda path, v: write_tiff(path, v.astype(np.float32), orientation=6),
    "8-bit.tif": lambda path, v: write_tiff(path, v.astype(np.uint8), orientation=6),
    "8-bit.png": lambda path, v: Image.fromarray(v.astype(np.uint8)).save(path, exif=_exif(6)),
}


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("name", ORIENTED)
def test_all_come_upright(tmp_path: Path, name: str) -> None:
    lying = np.arange(12).reshape(3, 4).astype(np.uint16) * 20
    ORIENTED[name](tmp_path / name, lying)
    check_image(tmp_path / name, "id")
    rgb = np.asarray(to_rgb(open_image(tmp_path / name, "id"), PixelRange(0, 255)))
    assert (rgb == np.rot90(lying, -1)[..., None]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_as_pillow_has_it_for_8_bits(tmp_path: Path, orientation: int) -> None:
    lying = np.arange(12).reshape(3, 4).astype(np.uint16) * 20
    write_png(tmp_path / "a.png", np.stack([lying] * 3, 2), _exif(orientation))
    Image.fromarray(lying.astype(np.uint8)).save(tmp_path / "b.png", exif=_exif(orientation))
    deep, shallow = (
        np.asarray(to_rgb(open_image(tmp_path / name, "id"), PixelRange(0, 255)))
        for name in ("a.png", "b.png")
    )
    assert (deep == shallow).all()


def test_transparency_is_on_white_whatever_the_range(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint16)
    pixels[..., 0], pixels[:2, :, 3] = 1000, 65535
    write_png(tmp_path / "a.png", pixels)
    rgb = np.asarray(to_rgb(open_image(tmp_path / "a.png", "id"), PixelRange(0, 1000)))
    assert (rgb[:2] == (255, 0, 0)).all() and (rgb[2:] == 255).all()


def test_what_is_not_read_right_is_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", noise(4, 5, 3), planar=True)
    with pytest.raises(ValueError, match="a plane for each channel"):
        values(open_image(tmp_path / "a.tif", "id"))


# --- 8 bits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "LAB"])
def test_8_bits_stay_as_they_are(
    tmp_path: Path, photographs: dict[str, Image.Image], mode: str
) -> None:
    photograph = photographs["flower"].resize((40, 30))
    if mode == "LAB":
        spaces = [ImageCms.createProfile(space) for space in ("sRGB", "LAB")]
        image = ImageCms.profileToProfile(photograph, *spaces, outputMode="LAB")
        assert image is not None
    else:
        image = photograph.convert(mode)
    image.save(tmp_path / "a.tif")
    opened = open_image(tmp_path / "a.tif", "id")
    assert not is_deep(opened)
    found = np.asarray(to_rgb(opened, PixelRange(0, 4095))).astype(int)
    if mode == "LAB":
        assert np.abs(found - np.asarray(photograph)).mean() < 2
    else:
        assert (found == np.asarray(image.convert("RGB"))).all()


def test_a_palette_with_transparency_is_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.paste(0, (0, 0, 4, 8))
    image.save(tmp_path / "a.png", transparency=bytes([0, 255]))
    rgb = np.asarray(to_rgb(open_image(tmp_path / "a.png", "id")))
    assert (rgb[:, :4] == 255).all() and (rgb[:, 4:] == (200, 0, 0)).all()

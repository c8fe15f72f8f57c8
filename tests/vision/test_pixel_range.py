"""Which values become black and white is found once in the training data, told and kept."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmft_core import discover
from mmft_core.contracts import Split
from mmft_core.run import artifacts
from mmft_data_check.checking import check
from mmft_vision.images import open_image
from mmft_vision.options import AugmentationOptions
from mmft_vision.pixel_range import PixelRange, find
from mmft_vision.processing import ImageProcessor
from tests.conftest import Finished, run_arguments
from tests.serve.tools import same, serving
from tests.vision.deep_files import Values, write_png, write_tiff
from tests.vision.tools import open_dataset

Mmft = Callable[..., Finished]
Write = Callable[[Path, Values], None]

pytestmark = pytest.mark.usefixtures("narrow_pictures")


def png(path: Path, values: Values) -> None:
    write_png(path.with_suffix(".png"), values.astype(np.uint16))


def tiff(kind: Any) -> Write:
    return lambda path, values: write_tiff(path.with_suffix(".tif"), values.astype(kind))


def bright_and_dark(root: Path, write: Write, low: float, high: float, number: int = 8) -> Path:
    """Two classes of textured pictures: in the lower and in the upper half of a range."""
    random = np.random.default_rng(0)
    for place, label in enumerate(("dark", "bright")):
        (root / label).mkdir(parents=True)
        for index in range(number):
            share = (place + random.random((24, 24))) / 2
            write(root / label / f"{index}", low + share * (high - low))
    return root


def split_of(root: Path) -> Split:
    return open_dataset("image-folder", path=root, val=0, test=0).splits["train"]


@pytest.mark.parametrize(
    ("write", "low", "high", "expected"),
    [
        (png, 0, 65535, (0, 65535)),
        (png, 0, 4000, (0, 4095)),
        (png, 0, 9, (0, 15)),
        (png, 30000, 31000, (30000, 31000)),
        (tiff(np.int32), 0, 255, (0, 255)),
        (tiff(np.int16), -1024, 3071, (-1024, 3071)),
        (tiff(np.float32), 0, 1, (0, 1)),
        (tiff(np.float32), 0, 0.05, (0, 0.0625)),
        (tiff(np.float32), 0, 255, (0, 256)),
        (tiff(np.float32), -1, 1, (-1, 1)),
        (tiff(np.float32), 280, 310, (280, 310)),
    ],
)
def test_the_range_that_holds_all_values(
    tmp_path: Path, write: Write, low: float, high: float, expected: tuple[float, float]
) -> None:
    found = find(split_of(bright_and_dark(tmp_path / "d", write, low, high)), "image")
    assert found is not None
    assert (found.low, found.high) == pytest.approx(expected, rel=0.01, abs=0.01)


def test_floats_that_are_whole_are_as_integers(tmp_path: Path) -> None:
    root = bright_and_dark(tmp_path / "d", lambda p, v: tiff(np.float32)(p, np.rint(v)), 0, 255)
    assert find(split_of(root), "image") == PixelRange(0, 255)


@pytest.mark.parametrize("outlier", [65535, -9999.0, 3e38])
def test_single_values_far_off_do_not_count(tmp_path: Path, outlier: float) -> None:
    def write(path: Path, values: Values) -> None:
        values = values.copy()
        if path.name == "3":
            values[0, 0] = outlier
        tiff(np.float32 if abs(outlier) > 65535 or outlier < 0 else np.uint16)(path, values)

    root = bright_and_dark(tmp_path / "d", write, 10, 250)
    found = find(split_of(root), "image")
    assert found is not None and found.low >= 0 and 240 < found.high <= 256
    (told,) = {
        processor.inspect(open_image(path, "id"))
        for processor in [ImageProcessor(32, AugmentationOptions(), pixel_range=found)]
        for path in root.rglob("3.tif")
    }
    assert told is not None and told.endswith("span black to white; others are clipped")


@pytest.mark.parametrize(
    ("write", "high", "mark", "share"),
    [
        (tiff(np.float32), 30, -9999, 0.1),
        (tiff(np.float32), 30, -9999, 0.7),
        (tiff(np.float32), 30, 3e38, 0.1),
        (png, 450, 65535, 0.02),
    ],
)
def test_a_value_far_off_does_not_count_however_common(
    tmp_path: Path, write: Write, high: float, mark: float, share: float
) -> None:
    def marked(path: Path, values: Values) -> None:
        values = values.copy()
        values[: max(1, round(24 * share))] = mark
        write(path, values)

    found = find(split_of(bright_and_dark(tmp_path / "d", marked, high / 2, high)), "image")
    assert found is not None and found.low >= 0 and high <= found.high + 1 <= 2 * high
    processor = ImageProcessor(24, AugmentationOptions(augment="none"), pixel_range=found)
    path = next((tmp_path / "d" / "dark").iterdir())
    told = processor.inspect(open_image(path, "id")) or ""
    assert told.endswith("span black to white; others are clipped")
    pixels = processor.prepare(open_image(path, "id"), train=False)["pixels"][0].numpy()
    assert pixels[-1].std() > 10, "what the picture shows is still seen"


NO_DATA = [
    (np.float32, 0, 30, "-9999", -9999),
    (np.float32, 0, 30, "nan", np.nan),
    (np.float32, 0, 30, "-3.40282346638529e+38", np.finfo(np.float32).min),
    (np.float32, 0, 30, "100", 100),  # Too near to be told by its distance.
    (np.int16, -200, 200, "-400", -400),
    (np.uint16, 1000, 1200, "0", 0),
    (np.uint16, 1000, 1200, "2000.0", 2000),
]


@pytest.mark.parametrize(("kind", "low", "high", "tag", "mark"), NO_DATA)
@pytest.mark.parametrize("share", [0.2, 0.8])
def test_what_gdal_says_is_no_data_does_not_count(
    tmp_path: Path, kind: Any, low: float, high: float, tag: str, mark: float, share: float
) -> None:
    def write(tag: str | None, marks: bool) -> Write:
        def written(path: Path, values: Values) -> None:
            values = values.astype(kind)
            if marks:
                values[: round(24 * share)] = mark
            write_tiff(path.with_suffix(".tif"), values, no_data=tag)

        return written

    whole = find(split_of(bright_and_dark(tmp_path / "w", write(None, False), low, high)), "image")
    root = bright_and_dark(tmp_path / "d", write(tag, True), low, high)
    found = find(split_of(root), "image")
    assert whole is not None and found is not None
    assert found.low == pytest.approx(whole.low, abs=1) and found.high == pytest.approx(
        whole.high, abs=1
    )
    processor = ImageProcessor(24, AugmentationOptions(augment="none"), pixel_range=found)
    path = next((root / "dark").iterdir())
    told = processor.inspect(open_image(path, "id")) or ""
    assert f"{round(24 * share) / 24:.1%} of the pixels hold no data" in told
    assert "nearly flat" not in told
    pixels = processor.prepare(open_image(path, "id"), train=False)["pixels"][0].numpy()
    black = mark < low or np.isnan(mark)
    assert (pixels[0] == (0 if black else 255)).all() and pixels[-1].std() > 10


def test_no_data_without_the_tag_are_bad_values(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 576, dtype=np.float32).reshape(24, 24)
    values[:4] = np.nan
    processor = ImageProcessor(24, AugmentationOptions(), pixel_range=PixelRange(0, 1))
    for tag, fine in ((None, False), ("-9999", False), ("nonsense", False), ("nan", True)):
        write_tiff(tmp_path / "a.tif", values, no_data=tag)
        if fine:
            assert "16.7% of the pixels hold no data" in str(
                processor.inspect(open_image(tmp_path / "a.tif", "id"))
            )
        else:
            with pytest.raises(ValueError, match="96 of its 576 values are not finite numbers"):
                processor.inspect(open_image(tmp_path / "a.tif", "id"))


def test_a_model_of_8_bits_passes_over_no_data(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 576, dtype=np.float32).reshape(24, 24)
    values[:4] = -1
    processor = ImageProcessor(24, AugmentationOptions())
    write_tiff(tmp_path / "a.tif", values, no_data="-1")
    assert "values from 0 to 1" in str(processor.inspect(open_image(tmp_path / "a.tif", "id")))
    write_tiff(tmp_path / "b.tif", np.full((24, 24), -1, dtype=np.float32), no_data="-1")
    with pytest.raises(ValueError, match="it holds no data"):
        processor.inspect(open_image(tmp_path / "b.tif", "id"))


def test_the_check_passes_over_no_data(tmp_path: Path) -> None:
    def written(path: Path, values: Values) -> None:
        values = values.astype(np.float32)
        values[:18] = np.nan if path.parent.name == "dark" else -9999
        if path.name == "3":
            values[:] = np.nan
        tag = "nan" if path.parent.name == "dark" else "-9999"
        write_tiff(path.with_suffix(".tif"), values, no_data=tag)

    root = bright_and_dark(tmp_path / "d", written, 10, 250)
    write_tiff(root / "bright" / "3.tif", np.full((24, 24), -9999, np.float32), no_data="-9999")
    findings, notes = checked(root)
    assert sorted(findings) == [("blank", "3.tif"), ("blank", "3.tif")]
    assert any("values from 0 to 255" in note or "values from 0 to 256" in note for note in notes)


def test_marks_hide_no_flatness(tmp_path: Path) -> None:
    values = np.full((24, 24), 300.0) + np.arange(24)
    values[:3] = 65535
    png(tmp_path / "a", values)
    processor = ImageProcessor(24, AugmentationOptions(), pixel_range=PixelRange(0, 8191))
    assert "nearly flat" in (processor.inspect(open_image(tmp_path / "a.png", "id")) or "")


@pytest.mark.parametrize("tones", [(0, 65535), (0, 20000, 65535), (0, 30000)])
def test_pictures_of_few_tones_keep_them_all(tmp_path: Path, tones: tuple[int, ...]) -> None:
    def drawn(path: Path, values: Values) -> None:
        png(path, np.array(tones)[(values * 999).astype(int) % len(tones)])

    found = find(split_of(bright_and_dark(tmp_path / "d", drawn, 0, 1)), "image")
    assert found is not None and (found.low, found.high) in ((0, 65535), (0, 32767))


def test_pictures_of_8_bits_have_none(photo_folder: Callable[..., Path]) -> None:
    assert find(split_of(photo_folder(per_class=3)), "image") is None


def test_equal_values_everywhere_are_no_error(tmp_path: Path) -> None:
    root = bright_and_dark(tmp_path / "d", lambda p, v: png(p, np.full((8, 8), 700)), 0, 1)
    assert find(split_of(root), "image") == PixelRange(0, 1023)


def test_brightness_is_compared_across_pictures_and_not_within_one(tmp_path: Path) -> None:
    root = bright_and_dark(tmp_path / "d", png, 0, 4095)
    processor = ImageProcessor(32, AugmentationOptions(), pixel_range=PixelRange(0, 4095))
    means = {
        label: [
            processor.prepare(open_image(path, "id"), train=False)["pixels"].float().mean().item()
            for path in (root / label).iterdir()
        ]
        for label in ("dark", "bright")
    }
    assert np.allclose(means["dark"], 64, atol=10) and np.allclose(means["bright"], 191, atol=10)


def test_the_scaling_is_linear_and_exact_where_values_are_of_8_bits() -> None:
    whole = np.arange(256)
    assert (PixelRange(0, 255).to_bytes(whole) == whole).all()
    assert (PixelRange(0, 65535).to_bytes(whole * 257) == whole).all()
    assert (PixelRange(0, 1).to_bytes((whole / 255).astype(np.float32)) == whole).all()
    signed = np.array([-1.0, 0.0, 1.0, 7.0])
    assert PixelRange(-1, 1).to_bytes(signed).tolist() == [0, 128, 255, 255]


# --- what cannot be understood --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "pixel_range", "words"),
    [
        (np.float32, [0.1, np.nan, np.inf], PixelRange(0, 1), "2 of its 3 values are not finite"),
        (np.float32, [100.0, 200.0, 0.5], PixelRange(0, 1), "100, lie outside|200, lie outside"),
        (np.float32, [0.1, 0.9, 0.5], PixelRange(0, 4095), "fractions from 0 to 1"),
        (np.float32, [0.1, 0.9, 1.5], None, "does not know which of them are black"),
        (np.int32, [0, 9, 255], None, "values from 0 to 255"),
        (np.uint16, [0, 9, 4095], None, "values from 0 to 4,095"),
    ],
)
def test_each_such_file_is_told(
    tmp_path: Path, kind: Any, values: list[float], pixel_range: PixelRange | None, words: str
) -> None:
    write_tiff(tmp_path / "a.tif", np.array([values], kind))
    processor = ImageProcessor(32, AugmentationOptions(), pixel_range=pixel_range)
    for use in (processor.inspect, lambda raw: processor.prepare(raw, train=False)):
        with pytest.raises(ValueError, match=words):
            use(open_image(tmp_path / "a.tif", "id"))


@pytest.mark.parametrize(
    ("kind", "values", "white"),
    [
        (np.float32, [0.0, 1.0], 1),
        (np.uint16, [0, 65535], 65535),
        (np.uint16, [0, 0], 65535),
        (">u2", [0, 65535], 65535),
    ],
)
def test_a_model_of_8_bits_takes_others_where_their_type_says_how(
    tmp_path: Path, kind: Any, values: list[float], white: float
) -> None:
    written = np.array([values] * 2, kind)
    write_tiff(tmp_path / "a.tif", written, order=written.dtype.str[0].replace("=", "<"))
    processor = ImageProcessor(2, AugmentationOptions())
    pixels = processor.prepare(open_image(tmp_path / "a.tif", "id"), train=False)["pixels"]
    assert pixels[0, 0].tolist() == [round(255 * value / white) for value in values]


# --- a run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_and_dark(tmp_path_factory.mktemp("data") / "bits", png, 0, 4000, number=12)


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mmft_core.cli import main

    output = tmp_path_factory.mktemp("runs") / "run"
    more = ["--dataset", folder, "--epochs", "1", "--batch-size", "8"]
    main([str(argument) for argument in run_arguments(output, *more)])
    return output


def test_a_run_tells_and_keeps_the_range(run: Path, folder: Path) -> None:
    changed = json.loads((run / "results.json").read_text())["dataset"]["changed"]
    told = "picture of other than 8 bits: values from 0 to 4,095 (12 bits) span black to white"
    assert any(f"x {told}, such as {folder}/" in remark for remark in changed)
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["backbone"]["image"]["pixel_range"] == [0, 4095]
    processor = artifacts.load(run, discover()).processors["image"]
    assert isinstance(processor, ImageProcessor)
    assert processor.pixel_range == PixelRange(0, 4095)
    assert processor.manifest()["pixel_range"] == {"low": 0, "high": 4095}


def test_a_model_reads_others_by_its_own_range(run: Path, mmft: Mmft, tmp_path: Path) -> None:
    values = np.random.default_rng(5).integers(0, 2000, (32, 32))
    png(tmp_path / "deep", values)
    Image.fromarray(np.rint(values / 4095 * 255).astype(np.uint8)).save(tmp_path / "shallow.png")
    write_tiff(tmp_path / "fractions.tif", (values / 4095).astype(np.float32))
    processor = artifacts.load(run, discover()).processors["image"]
    deep, shallow = (
        processor.prepare(processor.read(tmp_path / name), train=False)["pixels"]
        for name in ("deep.png", "shallow.png")
    )
    assert (deep == shallow).all() and deep.float().std() > 20
    ended = mmft("predict", run, *(tmp_path / n for n in ("deep.png", "fractions.tif")))
    first, second = map(json.loads, ended.out.splitlines())
    assert "error" not in first and "fractions from 0 to 1" in second["error"]
    assert ended.code == 2 and "fractions from 0 to 1" in ended.err


def test_a_server_reads_uploads_by_the_same_range(run: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(6).integers(0, 4000, (32, 32))
    png(tmp_path / "deep", values)
    shallow, fractions = tmp_path / "shallow.png", tmp_path / "fractions.tif"
    Image.fromarray(np.rint(values / 4095 * 255).astype(np.uint8)).save(shallow)
    write_tiff(fractions, (values / 4095).astype(np.float32))
    with serving(run) as served:
        answers = [
            served.predict(image=(file.name, file.read_bytes()))
            for file in (tmp_path / "deep.png", shallow, fractions)
        ]
    assert answers[0].status_code == 200
    assert same(answers[0].json()["prediction"], answers[1].json()["prediction"])
    assert answers[2].status_code == 422 and "fractions from 0 to 1" in answers[2].text


def test_a_range_can_be_given(folder: Path, mmft: Mmft, tmp_path: Path) -> None:
    more = ["--dataset", folder, "--epochs", "1", "--set", "backbone.pixel_range=[0, 8191]"]
    assert mmft(*run_arguments(tmp_path / "run", *more)).code == 0
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert config["backbone"]["image"]["pixel_range"] == [0, 8191]
    more[-1] = "backbone.pixel_range=[9, 9]"
    refused = mmft(*run_arguments(tmp_path / "none", *more))
    assert refused.code == 2 and "pixel_range = [9, 9] is not a range" in refused.err


def test_bad_values_end_a_run_before_training(mmft: Mmft, tmp_path: Path) -> None:
    root = bright_and_dark(tmp_path / "d", tiff(np.float32), 0, 1)
    write_tiff(root / "dark" / "nan.tif", np.array([[0.5, np.nan]], np.float32))
    more = ["--dataset", root, "--epochs", "1"]
    refused = mmft(*run_arguments(tmp_path / "run", *more))
    assert refused.code == 2 and "nan.tif: 1 of its 2 values are not finite" in refused.err
    skipped = mmft(*run_arguments(tmp_path / "run", *more, "--on-bad-sample", "skip"))
    assert skipped.code == 0 and "nan.tif: 1 of its 2 values are not finite" in skipped.out


# --- the data check and previews ------------------------------------------------------------------


def checked(root: Path) -> tuple[list[tuple[str, str]], list[str]]:
    from mmft_vision.inspection import ImageInspector

    dataset = open_dataset("image-folder", path=root, val=0, test=0)
    report = check(dataset, {"image": ImageInspector()}, "class")
    return [(f.kind, Path(f.id).name) for f in report.findings], list(report.notes)


def test_the_check_tells_the_range_and_finds_nothing_wrong(folder: Path) -> None:
    findings, notes = checked(folder)
    assert findings == []
    assert (
        "pictures of other than 8 bits: values from 0 to 4,095 (12 bits) span black to white"
        in notes
    )


def test_the_check_finds_what_is_flat_for_a_network(tmp_path: Path) -> None:
    root = bright_and_dark(tmp_path / "d", png, 0, 65535)
    faint = np.random.default_rng(1).integers(0, 4, (24, 24)) * 30
    png(root / "dark" / "faint", faint)
    png(root / "dark" / "fainter", faint[::-1] // 2)
    png(root / "dark" / "empty", np.full((24, 24), 300))
    findings, _ = checked(root)
    assert sorted(findings) == [
        ("blank", "empty.png"),
        ("flat", "faint.png"),
        ("flat", "fainter.png"),
    ]


def test_previews_show_something(folder: Path) -> None:
    processor = ImageProcessor(32, AugmentationOptions(), pixel_range=PixelRange(0, 4095))
    preview = processor.preview(open_image(folder / "bright" / "0.png", "id"))
    assert 150 < np.asarray(Image.open(io.BytesIO(preview.data))).mean() < 230

"""What `mmft predict` takes, and that each input has its row in every format."""

from __future__ import annotations

import csv
import http.server
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Finished, make_photo_folder, run_arguments

Mmft = Callable[..., Finished]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, photographs: dict, tiny_backbone: None) -> Path:
    from mmft_core.cli import main

    folder = tmp_path_factory.mktemp("predict")
    data = make_photo_folder(folder / "photos", photographs, 6)
    main([str(a) for a in run_arguments(folder / "run", "--dataset", data, backbone="tiny")])
    return folder / "run"


@pytest.fixture
def album(tmp_path: Path, photographs: dict, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture, a damaged one before it, and what is hidden."""
    folder = tmp_path / "album"
    (folder / ".git").mkdir(parents=True)
    photographs["china"].resize((40, 40)).save(folder / "b.png")
    (folder / "a.png").write_bytes(b"no picture")
    for hidden in (".git/x.png", "._b.png", ".DS_Store"):
        (folder / hidden).write_bytes(b"\0\5\26\7")
    monkeypatch.chdir(tmp_path)
    return Path("album")


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def fed(content: bytes) -> None:
        stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)))
        monkeypatch.setattr(sys, "stdin", stream)

    return fed


def records(ended: Finished) -> list[dict]:
    return [json.loads(line) for line in ended.out.splitlines()]


def table(ended: Finished) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ended.out)))


class TestEachInputHasItsRow:
    def test_csv(self, run: Path, album: Path, mmft: Mmft) -> None:
        ended = mmft("predict", run, album, album / "a.png", "--format", "csv")
        rows = table(ended)
        assert [row["input"] for row in rows] == ["album/a.png", "album/b.png", "album/a.png"]
        assert "not an image" in rows[0]["error"] and not rows[0]["label"]
        assert rows[1]["label"] and not rows[1]["error"]
        assert ended.code == 2 and "2 of 3 inputs could not be read" in ended.err

    def test_csv_of_nothing_else(self, run: Path, album: Path, mmft: Mmft) -> None:
        ended = mmft("predict", run, album / "a.png", "--format", "csv")
        (row,) = table(ended)
        assert row["input"] == "album/a.png" and "not an image" in row["error"]

    def test_table(self, run: Path, album: Path, mmft: Mmft, monkeypatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        ended = mmft("predict", run, album, "--format", "table", "--top-k", "9")
        head, *lines = ended.out.splitlines()
        assert head.split() == ["input", "label", "probability", "error"]
        assert lines[0].startswith("album/a.png") and "is not an image" in lines[0]
        assert "1 of 2 inputs could not be read: album/a.png." in ended.err
        assert lines[-2].startswith("album/b.png") and {"china", "flower"} == {
            lines[-2].split()[1],
            lines[-1].split()[0],
        }

    def test_text_and_json(self, run: Path, album: Path, mmft: Mmft) -> None:
        first, second = records(mmft("predict", run, album))
        assert "not an image" in first["error"] and second["label"]
        assert mmft("predict", run, album, "--format", "text").out == f"\n{second['label']}\n"


def test_hidden_files_are_passed_over_and_told_of(run: Path, album: Path, mmft: Mmft) -> None:
    ended = mmft("predict", run, album)
    assert len(records(ended)) == 2
    assert "skipped 1 hidden file and 1 hidden folder, such as album/._b.png" in ended.err


class TestStandardInput:
    @pytest.mark.parametrize("form", ["png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"])
    def test_a_picture(
        self, run: Path, feed: Callable, photographs: dict, mmft: Mmft, form: str
    ) -> None:
        content = io.BytesIO()
        photographs["china"].resize((40, 40)).save(content, form)
        feed(content.getvalue())
        ended = mmft("predict", run, "-")
        (record,) = records(ended)
        assert record["input"] == "-" and record["label"] and ended.code == 0

    @pytest.mark.parametrize(
        "content", [b"PK\3\4\0\0 a zip", b"\xfe\xff\0a", bytes(range(256)), b"BM" + bytes(60)]
    )
    def test_another_file_is_one_sentence(
        self, run: Path, feed: Callable, mmft: Mmft, content: bytes
    ) -> None:
        feed(content)
        ended = mmft("predict", run, "-")
        (record,) = records(ended)
        assert record["input"] == "-" and ended.code == 2
        assert ended.err.count("\n") == 1 and "1 of 1 inputs could not be read" in ended.err

    def test_bytes_that_are_no_names(self, run: Path, feed: Callable, mmft: Mmft) -> None:
        feed(b"caf\xe9 \xff\n" * 5)
        ended = mmft("predict", run, "-")
        assert ended.code == 2 and not ended.out
        assert "Standard input is not UTF-8 in line 1" in ended.err

    def test_names_however_odd(self, run: Path, album: Path, feed: Callable, mmft: Mmft) -> None:
        (album / "\x1b[31m.png").write_bytes((album / "b.png").read_bytes())
        feed(b"\xef\xbb\xbfalbum/\x1b[31m.png\r\n\nalbum/a.png\ngone.png\nalbum/b.png")
        found = records(mmft("predict", run, "-", "--batch-size", "2"))
        assert [r["input"] for r in found] == [
            "album/\x1b[31m.png", "album/a.png", "gone.png", "album/b.png",
        ]  # fmt: skip
        assert ["label" in r for r in found] == [True, False, False, True]

    @pytest.mark.parametrize("end", [b"\0", b""])
    def test_nul_characters_separate_no_names(
        self, run: Path, album: Path, feed: Callable, mmft: Mmft, end: bytes
    ) -> None:
        feed(b"album/b.png\0album/a.png" + end)
        ended = mmft("predict", run, "-")
        assert ended.code == 2 and not ended.out
        assert "holds a NUL character in line 1" in ended.err and "tr '\\0' '\\n'" in ended.err

    def test_nothing(self, run: Path, feed: Callable, mmft: Mmft) -> None:
        feed(b"")
        ended = mmft("predict", run, "-")
        assert ended.code == 2 and "Standard input is empty" in ended.err

    def test_it_goes_alone(self, run: Path, album: Path, mmft: Mmft) -> None:
        ended = mmft("predict", run, "-", album)
        assert ended.code == 2 and "cannot be combined with other inputs" in ended.err


def test_names_that_begin_with_a_dash(run: Path, album: Path, mmft: Mmft) -> None:
    Path("-b.png").write_bytes((album / "b.png").read_bytes())
    ended = mmft("predict", run, "-b.png")
    assert ended.code == 2 and "go after --: mmft predict ... -- INPUT" in ended.err
    assert records(mmft("predict", run, "--", "-b.png"))[0]["input"] == "-b.png"
    ended = mmft("predict", run, "--topk", "3")
    assert "Did you mean" in ended.err and "go after" not in ended.err


class TestFormulas:
    @pytest.fixture
    def odd(self, album: Path) -> list[Path]:
        names = ["=cmd().png", "+1.png", "@x.png", "'=x.png", "plain.png"]
        for name in names:
            Path(name).write_bytes((album / "b.png").read_bytes())
        return list(map(Path, names))

    def test_they_become_text(self, run: Path, odd: list[Path], mmft: Mmft) -> None:
        rows = table(mmft("predict", run, *odd, "--format", "csv"))
        assert [row["input"] for row in rows] == [
            "'=cmd().png", "'+1.png", "'@x.png", "''=x.png", "plain.png",
        ]  # fmt: skip
        assert all(0 <= float(row["probability"]) <= 1 for row in rows)

    def test_unless_asked_not_to(self, run: Path, odd: list[Path], mmft: Mmft) -> None:
        rows = table(mmft("predict", run, *odd, "--format", "csv", "--raw"))
        assert [row["input"] for row in rows] == list(map(str, odd))
        ended = mmft("predict", run, *odd, "--raw", "--format", "jsonl")
        assert ended.code == 2 and "--raw needs --format csv" in ended.err

    def test_other_formats_are_left_alone(self, run: Path, odd: list[Path], mmft: Mmft) -> None:
        assert [r["input"] for r in records(mmft("predict", run, *odd))] == list(map(str, odd))


@pytest.fixture
def served(album: Path) -> Iterator[str]:
    """The address of the folder that the album lies in."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class TestAddresses:
    def test_each_is_a_row(
        self, run: Path, album: Path, served: str, feed: Callable, mmft: Mmft
    ) -> None:
        names = [f"{served}/album/{name}" for name in ("b.png", "a.png", "gone.png", "b.png")]
        (plain,) = records(mmft("predict", run, album / "b.png"))
        ended = mmft("predict", run, *names, "--allow-private-hosts")
        found = records(ended)
        assert [r["input"] for r in found] == names and ended.code == 2
        assert found[0]["label"] == plain["label"] == found[3]["label"]
        assert "not an image" in found[1]["error"] and "404" in found[2]["error"]
        feed("\n".join(names).encode())
        assert records(mmft("predict", run, "-", "--allow-private-hosts")) == found

    def test_private_hosts_and_limits(self, run: Path, served: str, mmft: Mmft) -> None:
        url = f"{served}/album/b.png"
        (record,) = records(mmft("predict", run, url))
        assert "private address 127.0.0.1, which --allow-private-hosts permits" in record["error"]
        more = ("--allow-private-hosts", "--max-download", "0.0001")
        (record,) = records(mmft("predict", run, url, *more))
        assert record["error"] == "it is larger than 0.0001 MB"

    def test_a_file_address(self, run: Path, album: Path, mmft: Mmft) -> None:
        url = (album.absolute() / "b.png").as_uri()
        (record,) = records(mmft("predict", run, url))
        assert record["input"] == str(album.absolute() / "b.png") and record["label"]

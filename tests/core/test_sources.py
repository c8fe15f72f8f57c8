"""What a user points at: files, folders, patterns, texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmft_core.contracts import Processor
from mmft_core.errors import DataError, SampleError
from mmft_core.inference.downloads import Limits, Remote
from mmft_core.inference.named import Hidden
from mmft_core.inference.sources import Source, Sources, Unusable, assign, expand, typed


class Texts(Processor):
    suffixes = (".txt", ".md")

    def prepare(self, raw, *, train):
        raise NotImplementedError

    def collate(self, items):
        raise NotImplementedError

    def read(self, source: Path) -> str:
        return source.read_text()

    def parse(self, text: str) -> str:
        return text


class Pictures(Texts):
    suffixes = (".png",)

    def parse(self, text: str) -> None:
        return None


class Rows(Pictures):
    suffixes = ()


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.txt", "a.md", "deep/c.txt", "picture.png"):
        path = tmp_path / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"in {name}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "notes"


@pytest.mark.parametrize(
    "argument, found",
    [
        ("notes/b.txt", ["notes/b.txt"]),
        ("notes", ["notes/a.md", "notes/b.txt", "notes/deep/c.txt"]),
        ("notes/*.txt", ["notes/b.txt"]),
        ("notes/**/*.txt", ["notes/b.txt", "notes/deep/c.txt"]),
        ("notes/picture.png", ["notes/picture.png"]),  # Whoever names a file means it.
    ],
)
def test_files(notes: Path, argument: str, found: list[str]) -> None:
    assert list(expand([argument], Texts())) == [Path(f) for f in found]


@pytest.mark.parametrize(
    "text",
    ["An ordinary sentence.", "What is this?", "see [1] and *that*", "a\nb", "x" * 9000, "~root x"],
)
def test_other_than_files_are_texts_where_the_model_reads_texts(notes: Path, text: str) -> None:
    assert list(expand([text], Texts())) == [text]
    assert why_not(text, Pictures()) == "there is no such file or folder"


def why_not(argument: str, processor: Processor) -> str:
    """Why an argument cannot be read, beside one that can."""
    source, _ = expand([argument, "notes/b.txt"], processor)
    return reason(source, processor)


def reason(source: Source, processor: Processor) -> str:
    return refusal(source, processor).reason


def refusal(source: Source, processor: Processor) -> SampleError:
    assert isinstance(source, Unusable)
    with pytest.raises(SampleError) as caught:
        Sources("any", [source], processor)[0]
    return caught.value


@pytest.mark.parametrize("argument", ["notes/gone.txt", "gone.md"])
def test_a_mistyped_file_is_no_text(notes: Path, argument: str) -> None:
    assert why_not(argument, Texts()) == "there is no such file or folder"


def test_a_folder_without_such_files_says_what_it_looked_for(notes: Path) -> None:
    assert why_not("notes/deep", Pictures()) == "the folder holds no files ending in .png"


@pytest.mark.parametrize("processor", [Texts(), Pictures()])
def test_a_table_is_no_single_input(notes: Path, processor: Processor) -> None:
    Path("notes/rows.csv").write_text("text\na text\n")
    (source,) = expand(["notes/rows.csv"], processor)
    assert reason(source, processor) == "it is a table, not a single input"
    assert "--dataset TABLE" in str(refusal(source, processor).hint)


def test_sources_are_read_when_they_are_needed(notes: Path) -> None:
    split = Sources("text", list(expand(["notes/b.txt", "A text."], Texts())), Texts())
    assert [split[i].inputs["text"] for i in range(2)] == ["in b.txt", "A text."]
    assert [split[i].id for i in range(2)] == ["notes/b.txt", "A text."]


def test_a_model_of_rows_is_given_no_files(notes: Path) -> None:
    for argument in ("notes/b.txt", "notes", "absent"):
        (source,) = expand([argument], Rows())
        assert reason(source, Rows()) == "the model reads no files"
        assert "--dataset" in str(refusal(source, Rows()).hint)


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("text")


def found(*arguments: str, processor: Processor | None = None) -> tuple[list[str], Hidden]:
    hidden = Hidden()
    sources = list(expand(arguments, processor or Pictures(), hidden=hidden))
    return [str(source) for source in sources], hidden


class TestHidden:
    def test_it_is_passed_over_and_counted(self, notes: Path) -> None:
        make("d/1.png", "d/._1.png", "d/.DS_Store", "d/.git/x.png", "d/deep/.2.png", "d/deep/2.png")
        names, hidden = found("d")
        assert names == ["d/1.png", "d/deep/2.png"]
        assert str(hidden) == "2 hidden files and 1 hidden folder, such as d/._1.png"
        names, hidden = found("d/*", "d/**/*.png")
        assert names == ["d/1.png", "d/1.png", "d/deep/2.png"]
        assert hidden.files >= 2

    def test_who_names_it_means_it(self, notes: Path) -> None:
        make("d/._1.png", "d/.git/x.png")
        names, hidden = found("d/._1.png", "d/.git", "d/.*")
        assert names == ["d/._1.png", "d/.git/x.png", "d/._1.png"] and not str(hidden)

    def test_a_folder_of_nothing_else(self, notes: Path) -> None:
        make("d/._1.png")
        assert "no files ending in .png, but 1 hidden file, such as d/._1.png" in why_not(
            "d", Pictures()
        )


class TestOddNames:
    @pytest.mark.parametrize("name", ["a[1].png", "[old]/a.png", "what?.png", "a\nb.png", "-a.png"])
    def test_a_file_is_named_before_a_pattern_is_seen(self, notes: Path, name: str) -> None:
        make(name)
        assert found(name)[0] == [name]

    def test_a_pattern_below_a_folder_whose_name_looks_like_one(self, notes: Path) -> None:
        make("pics [old]/a.png", "pics [old]/b.png", "pics o/c.png")
        assert found("pics [old]/*.png")[0] == ["pics [old]/a.png", "pics [old]/b.png"]
        assert found("pics [o]/*.png")[0] == ["pics o/c.png"]

    def test_a_folder_that_is_called_as_a_file(self, notes: Path) -> None:
        make("d/x.png/1.png")
        assert found("d")[0] == ["d/x.png/1.png"]

    def test_links_are_followed_and_loops_are_not(self, notes: Path) -> None:
        make("d/1.png", "elsewhere/2.png")
        Path("d/loop").symlink_to(Path("d").absolute())
        Path("d/other").symlink_to(Path("elsewhere").absolute())
        Path("d/gone.png").symlink_to("nowhere")
        assert found("d")[0] == ["d/1.png", "d/gone.png", "d/other/2.png"]

    def test_each_input_is_one_however_often_it_is_named(self, notes: Path) -> None:
        make("d/1.png")
        assert found("d/1.png", "d", "d/1.png")[0] == ["d/1.png"] * 3


class TestAddresses:
    LIMITS = Limits(Path())

    def expanded(self, argument: str, processor: Processor) -> object:
        (source,) = expand([argument], processor, self.LIMITS)
        return source

    def test_files_are_fetched_and_texts_are_not(self) -> None:
        url = "https://example.org/a%20b.PNG?size=1"
        assert self.expanded(url, Pictures()) == Remote(url, self.LIMITS)
        assert self.expanded("HTTP://example.org/", Pictures()) == Remote(
            "HTTP://example.org/", self.LIMITS
        )
        assert self.expanded("http://example.org/letter.txt", Texts()) == Remote(
            "http://example.org/letter.txt", self.LIMITS
        )
        for text in ("http://example.org/win", "https://example.org/a.txt is a link"):
            assert self.expanded(text, Texts()) == text

    def test_of_several_modalities_the_suffix_decides(self) -> None:
        both = {"text": Texts(), "image": Pictures()}
        urls = ["https://x.org/a.png", "https://x.org/a.txt", "https://x.org/photo", "a text"]
        read = [modality for modality, _ in assign(urls, both, self.LIMITS)]
        assert read == ["image", "text", "image", "text"]

    def test_file_addresses_are_paths(self, notes: Path) -> None:
        make("d [old]/ü 1.png")
        url = (Path.cwd() / "d [old]" / "ü 1.png").as_uri()
        assert [Path(n) for n in found(url)[0]] == [Path.cwd() / "d [old]" / "ü 1.png"]
        assert list(typed([url], Pictures())) == [Path.cwd() / "d [old]" / "ü 1.png"]
        assert "it is on the machine elsewhere" in why_not("file://elsewhere/a.png", Pictures())
        source, _ = typed(["file://elsewhere/a.png", url], Pictures())
        assert "it is on the machine elsewhere" in reason(source, Pictures())

    def test_where_nothing_is_fetched_it_is_refused(self, notes: Path) -> None:
        assert "only files on this machine" in why_not("https://example.org/a.png", Pictures())

    def test_what_no_modality_reads(self, notes: Path) -> None:
        both = {"image": Pictures(), "tabular": Rows()}
        (_, known), (modality, source) = assign(["notes/picture.png", "gone.png"], both)
        assert known == Path("notes/picture.png") and modality in both
        assert "that a model of image and tabular reads" in reason(source, both[modality])


class TestLines:
    def test_names(self, notes: Path) -> None:
        lines = ["\ufeffa.png\r\n", "\n", "  \n", " b.png\n", "https://x.org/c.png"]
        limits = Limits(Path())
        assert list(typed(lines, Pictures(), limits)) == [
            Path("a.png"),
            Path(" b.png"),
            Remote("https://x.org/c.png", limits),
        ]

    def test_texts(self) -> None:
        lines = ["\ufeffone\n", "\n", "\ufefftwo\r\n", "https://x.org/c.txt"]
        assert list(typed(lines, Texts())) == ["one", "", "two", "https://x.org/c.txt"]

    def test_bytes_that_are_no_text(self, notes: Path) -> None:
        name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
        for processor in (Texts(), Pictures()):
            with pytest.raises(DataError, match="not UTF-8 in line 2"):
                list(typed(["a", name], processor))
        make(name)
        assert list(typed([name], Pictures())) == [Path(name)]

    @pytest.mark.parametrize("lines", [[], ["\n", " \n"]])
    def test_nothing(self, lines: list[str]) -> None:
        with pytest.raises(DataError, match="Standard input is empty"):
            list(typed(lines, Pictures()))

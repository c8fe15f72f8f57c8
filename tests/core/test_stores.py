"""A vector store that an outside package adds, used by name; and broken ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mmft_core import discover
from mmft_core.cli import main
from mmft_core.errors import MmftError
from mmft_search import opening
from mmft_search.items import Identity
from mmft_search.opening import StoreRequest
from mmft_testing import plugin_checks
from tests.conftest import Finished, make_photo_folder
from tests.core.conftest import Site

Mmft = Callable[..., Finished]

HOOK = """
    from mmft_core import StoreSpec, hookimpl

    @hookimpl
    def register_store():
        return [
            StoreSpec(
                name="shelf",
                summary="A JSON file",
                build="acme_work:Shelf",
                options="acme_options:ShelfOptions",
            )
        ]
"""
OPTIONS = """
    from dataclasses import dataclass
    from typing import Annotated
    from msgspec import Meta

    @dataclass(frozen=True, kw_only=True)
    class ShelfOptions:
        board: Annotated[str, Meta(description="Name of the file.")] = "top"
"""
WORK = """
    import base64
    import json
    from types import SimpleNamespace
    import numpy as np
    from mmft_core.contracts import Preview
    from mmft_core.errors import RunDirectoryError
    from mmft_search.store import Found, Hit, Index, Quality, Store, Writer

    class Shelf(Store):
        def __init__(self, options, place):
            self.file, self.place = place.files / options.board, place

        @property
        def where(self):
            return f"the shelf's {self.file.name}"

        def writer(self):
            return ShelfWriter(self.file, self.place.identity)

        def index(self, *, exact=False):
            return ShelfIndex(self.file, self.place.identity)

    class ShelfWriter(Writer):
        def __init__(self, file, identity):
            self.file, self.identity = file, identity
            self.rows = json.loads(file.read_text()) if file.exists() else []

        def __len__(self):
            return len(self.rows)

        def parts(self):
            for library, files in {(r["library"], r["files"]) for r in self.rows}:
                rows = [r for r in self.rows if (r["library"], r["files"]) == (library, files)]
                yield Part(library, files, rows)

        def keep(self, part, mask):
            gone = [id(row) for row, kept in zip(part.rows, mask) if not kept]
            self.rows = [row for row in self.rows if id(row) not in gone]
            self.write()

        def append(self, items):
            for id, stamp, vector, preview in zip(
                items.ids, items.stamps, items.vectors, items.previews
            ):
                shown = preview and [preview.mime, base64.b64encode(preview.data).decode()]
                own = {"id": id, "stamp": stamp, "vector": vector.tolist(), "preview": shown}
                self.rows.append({"library": items.library, "files": items.files, **own})
            self.write()

        def write(self):
            self.file.parent.mkdir(exist_ok=True)
            self.file.write_text(json.dumps(self.rows))

        def finish(self, say):
            return Quality(kind="shelf", how="exact", milliseconds=1.0) if self.rows else None

    class Part:
        def __init__(self, library, files, rows):
            self.library, self.files, self.rows = library, files, rows
            self.ids, self.stamps = [r["id"] for r in rows], [r["stamp"] for r in rows]

        def __len__(self):
            return len(self.rows)

    class ShelfIndex(Index):
        how = "row by row"

        def __init__(self, file, identity):
            self.rows = json.loads(file.read_text()) if file.exists() else []
            self.identity = identity
            if not self.rows:
                raise RunDirectoryError("The shelf is empty.")

        def __len__(self):
            return len(self.rows)

        def search(self, vector, number):
            scores = np.array([row["vector"] for row in self.rows]) @ vector
            best = np.argsort(-scores)[:number].tolist()
            return [Hit(self.rows[n]["id"], float(scores[n]), str(n)) for n in best]

        def item(self, key):
            if not key.isdecimal() or int(key) >= len(self.rows):
                return None
            row = self.rows[int(key)]
            shown = row["preview"]
            preview = shown and Preview(shown[0], base64.b64decode(shown[1]))
            return Found(row["id"], row["stamp"], preview)
"""
IDENTITY = Identity(model="abc", run="run", modality="image")


@pytest.fixture
def pictures(tmp_path: Path, tiny_backbone: None) -> Path:
    """A run of image retrieval, barely trained."""
    run = tmp_path / "run"
    settings = ["engine.steps=1", "engine.workers=0", "backbone.image_size=32"]
    arguments = ["run", "--task", "image-retrieval", "--backbone", "tiny", "--weights", "none"]
    main([*arguments, "-o", str(run), *(a for s in settings for a in ("--set", s))])
    return run


def install(site: Site, work: str = WORK) -> None:
    site.install("mmft-acme", {"acme": "acme"}, acme=HOOK, acme_options=OPTIONS, acme_work=work)


def test_it_is_listed_and_does_what_the_kit_asks(site: Site, mmft: Mmft) -> None:
    install(site)
    assert "shelf" in mmft("plugins", "--kind", "store").out
    for check in plugin_checks("acme"):
        check.values[0]()


@pytest.mark.parametrize(
    ("right", "wrong", "check"),
    [
        ("argsort(-scores)", "argsort(scores)", "finds_what_is_nearest"),
        ("if not kept]", "if kept]", "keeps_what_is_not_dropped"),
        ("if not self.rows:", "if False:", "is_made_anew"),
    ],
)
def test_the_kit_finds_what_is_wrong(site: Site, right: str, wrong: str, check: str) -> None:
    assert right in WORK
    install(site, WORK.replace(right, wrong))
    checks = {param.id: param.values[0] for param in plugin_checks("acme")}
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        checks[f"acme/shelf-{check}"]()


def test_an_index_remembers_it_with_its_options(
    site: Site,
    mmft: Mmft,
    pictures: Path,
    photographs: dict[str, Image.Image],
    tmp_path: Path,
) -> None:
    install(site)
    place = tmp_path / "index"
    library = make_photo_folder(tmp_path / "library", photographs, 3)
    gone, kept, *_ = sorted(library.rglob("*.jpg"))
    made = ("index", pictures, library, "-o", place)
    first = mmft(*made, "--store", "shelf", "--set", "store.board=low")
    assert first.code == 0 and "6 new" in first.out and "6 items, shelf" in first.out, first.err
    assert len(json.loads((place / "files" / "low").read_text())) == 6
    gone.unlink()
    assert "0 new, 5 unchanged, 1 removed" in mmft(*made).out
    query = ("search", pictures, kept, "--index", place)
    (answer,) = map(json.loads, mmft(*query).out.splitlines())
    assert answer["found"][0]["id"] == str(kept) and len(answer["found"]) == 5
    other = mmft(*made, "--set", "store.board=high")
    assert other.code == 2 and "is kept by the shelf's low" in " ".join(other.err.split())
    faiss = mmft(*made, "--store", "faiss", "--rebuild")
    assert faiss.code == 0 and not (place / "files").exists(), faiss.err


@pytest.mark.parametrize(
    ("work", "words"),
    [
        ("raise RuntimeError('oh')", "cannot be loaded: RuntimeError: oh"),
        ("def Shelf(options, place): return 7", "'acme/shelf' built a int, not a Store"),
    ],
)
def test_a_broken_one_is_told_and_disturbs_no_other(
    site: Site, tmp_path: Path, work: str, words: str
) -> None:
    install(site, work)
    registry = discover()
    with pytest.raises(MmftError, match=words):
        opening.begin(tmp_path / "index", IDENTITY, StoreRequest(store="shelf"), registry)
    assert not (tmp_path / "index").exists()
    assert len(opening.begin(tmp_path / "index", IDENTITY, StoreRequest(), registry)) == 0


def test_what_is_gone_is_told_with_what_to_install(site: Site, tmp_path: Path) -> None:
    before = discover()
    install(site)
    opening.begin(tmp_path / "index", IDENTITY, StoreRequest(store="shelf"), discover())
    with pytest.raises(MmftError, match=r"no store named 'acme/shelf'.*install 'mmft-acme==1.0'"):
        opening.open_index(tmp_path / "index", before)

"""Folders that come as a whole or not at all."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmft_core.utils import filled_folder
from mmft_core.utils.files import replacing_folder


def test_a_folder_comes_with_those_above_it(tmp_path: Path) -> None:
    wanted = tmp_path / "above" / "wanted"
    with replacing_folder(wanted) as temporary:
        (temporary / "file").write_text("whole")
    assert (wanted / "file").read_text() == "whole"
    assert [path.name for path in tmp_path.rglob("*")] == ["above", "wanted", "file"]


def test_what_failed_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for wanted in (tmp_path / "above" / "more" / "wanted", tmp_path / "there" / "wanted"):
        with pytest.raises(ValueError), replacing_folder(wanted) as temporary:
            (temporary / "file").write_text("half")
            raise ValueError
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_folder_that_several_want_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def fill(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.2)  # The others ask for it meanwhile.
        (folder / "content").write_text("whole")

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: filled_folder(tmp_path / "cache", fill), range(3)))
    assert found == [tmp_path / "cache"] * 3 and len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]

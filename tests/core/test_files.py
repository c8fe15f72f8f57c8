"""Folders that come as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

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

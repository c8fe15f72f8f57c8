"""Data sets of the Hub and of folders, from strangers: no script is run, nothing is unpickled."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Finished
from tests.faults.garbage import bombs
from tests.safety.canary import NAME, write_canary
from tests.safety.hub_of_data import OWNER, DataHub
from tests.servers import serving

Mmft = Callable[..., Finished]
Fill = Callable[[Path, Path], None]

ROWS = "text,label\n" + "".join(f"a day of number {k},{'ab'[k % 2]}\n" for k in range(30))

CHECK = """
import contextlib, io, json, sys
from mmft_core.cli import main
found = {}
for name in sys.argv[1:]:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(["data", "check", "hub-text", "--task", "text-cls", "--set", f"dataset.id={name}"])
        except SystemExit as ending:
            code = ending.code
    found[name] = [code, out.getvalue(), err.getvalue()]
print(json.dumps(found))
"""


def csv(folder: Path) -> None:
    (folder / "train.csv").write_text(ROWS)


def scripted(folder: Path, mark: Path) -> None:
    """A script of the data set's name, as older versions of `datasets` executed them."""
    csv(folder)
    write_canary(folder, mark, folder.name)


def card(text: str) -> Fill:
    """A card whose head says how the data are read."""

    def fill(folder: Path, mark: Path) -> None:
        csv(folder)
        write_canary(folder, mark, "loader")
        for number, bomb in enumerate(bombs(mark)):
            (folder / f"{number}.pkl").write_bytes(bomb)
        (folder / "README.md").write_text(f"---\n{text}\n---\n# Data\n")

    return fill


def infos(folder: Path, mark: Path) -> None:
    csv(folder)
    kind = {"_type": f"{NAME}.Model", "dtype": f"__import__('{NAME}')"}
    told = {"features": {"text": kind, "label": kind}, "builder_name": NAME}
    (folder / "dataset_infos.json").write_text(json.dumps({"default": told}))


def pickles(folder: Path, mark: Path) -> None:
    for split, bomb in zip(("train", "test", "val"), bombs(mark), strict=False):
        for suffix in ("pkl", "pickle", "pt", "joblib"):
            (folder / f"{split}.{suffix}").write_bytes(bomb)


def tar_of_pickles(folder: Path, mark: Path) -> None:
    """What `webdataset` decodes by suffix."""
    with tarfile.open(folder / "train-0.tar", "w") as archive:
        for number, bomb in enumerate(bombs(mark)):
            members = {"txt": b"a day", "cls": b"1"}
            for suffix in ("pkl", "pickle", "pyd", "pth", "npy", "npz", "ten", "pb", "mp"):
                members[suffix] = bomb
            for suffix, content in members.items():
                told = tarfile.TarInfo(f"{number}.{suffix}")
                told.size = len(content)
                archive.addfile(told, io.BytesIO(content))


def parquet(folder: Path, mark: Path) -> None:
    kind = {"_type": f"{NAME}.Model", "dtype": f"__import__('{NAME}')"}
    told = {"info": {"features": {"text": kind, "label": kind}}}
    rows = pa.table({"text": ["a day"] * 20, "label": ["a", "b"] * 10})
    pq.write_table(
        rows.replace_schema_metadata({"huggingface": json.dumps(told)}), folder / "train.parquet"
    )


HUB: dict[str, tuple[Fill, int]] = {
    "own-script": (scripted, 2),
    "trusting": (card("trust_remote_code: true\nconfigs:\n- config_name: default"), 0),
    "pickle": (card("configs:\n- config_name: default\n  data_files: '*.pkl'"), 2),
    "yaml": (card(f"configs: !!python/object/apply:importlib.import_module [{NAME}]"), 2),
    "infos": (infos, 2),
    "pickles": (pickles, 2),
    "tar": (tar_of_pickles, 2),
    "parquet": (parquet, 2),
}


def test_data_sets_of_the_hub_execute_nothing(tmp_path: Path, mark: Path) -> None:
    """All in one process, for the libraries take long to be imported."""
    for name, (fill, _) in HUB.items():
        (tmp_path / "hub" / name).mkdir(parents=True)
        fill(tmp_path / "hub" / name, mark)
    ids = [f"{OWNER}/{name}" for name in HUB]
    root = Path(__file__).parents[2]
    paths = [tmp_path / "importable", root, root / "plugins", os.environ.get("PYTHONPATH", "")]
    with serving(DataHub(tmp_path / "hub")) as hub:
        environment = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_DATASETS_TRUST_REMOTE_CODE": "1",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
        }
        ran = subprocess.run(
            [sys.executable, "-c", CHECK, *ids],
            env=os.environ | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stderr
    assert not mark.exists()
    found = json.loads(ran.stdout.splitlines()[-1])
    for name, (_, code) in HUB.items():
        ended, out, err = found[f"{OWNER}/{name}"]
        assert ended == code and "Traceback" not in err, (name, out, err)
        assert (err.count("error: ") == 1) == (code == 2), (name, err)
    assert "scripts are no longer supported" in found[f"{OWNER}/own-script"][2]
    assert "trusting/loader.py" not in hub.asked and "trusting/train.csv" in hub.asked


# --- folders ------------------------------------------------------------------------------------


def saved(folder: Path) -> Path:
    """A folder as `Dataset.save_to_disk` writes it."""
    import datasets

    rows = [{"text": f"a day of number {k}", "label": "ab"[k % 2]} for k in range(30)]
    datasets.Dataset.from_list(rows).save_to_disk(str(folder))
    return folder


def edited(file: str, **settings: Any) -> Fill:
    def fill(folder: Path, mark: Path) -> None:
        told = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(told | settings))

    return fill


def pickled_rows(folder: Path, mark: Path) -> None:
    for file in folder.glob("*.arrow"):
        file.write_bytes(bombs(mark)[0])


FOLDERS: dict[str, tuple[Fill, tuple[int, ...]]] = {
    "a script of its name": (
        lambda folder, mark: write_canary(folder, mark, folder.name, "dataset", NAME),
        (0,),
    ),
    "a format by name": (edited("state.json", _format_type=NAME), (0, 2)),
    "settings of a format": (
        edited("state.json", _format_type="torch", _format_kwargs={"dtype": NAME}),
        (0, 2),
    ),
    "a file elsewhere": (edited("state.json", _data_files=[{"filename": "../x.arrow"}]), (2,)),
    "features by name": (
        edited(
            "dataset_info.json",
            features={"text": {"_type": f"{NAME}.Model"}, "label": {"_type": NAME}},
        ),
        (2,),
    ),
    "a builder by name": (edited("dataset_info.json", builder_name=NAME), (0,)),
    "rows that are a pickle": (pickled_rows, (2,)),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_saved_folders_execute_nothing(tmp_path: Path, mark: Path, mmft: Mmft, name: str) -> None:
    fill, codes = FOLDERS[name]
    folder = saved(tmp_path / "data")
    fill(folder, mark)
    for call in (("hub-text", "--set", f"dataset.id={folder}"), (folder,)):
        ended = mmft("data", "check", *call, "--task", "text-cls")
        assert not mark.exists()
        assert ended.code in codes and "Traceback" not in ended.err, ended.err
        assert (ended.err.count("error: ") == 1) == (ended.code == 2), ended.err


def test_parquet_beside_scripts_and_pickles_is_read_alone(
    tmp_path: Path, mark: Path, mmft: Mmft
) -> None:
    folder = tmp_path / "data"
    (folder / "data").mkdir(parents=True)
    rows = pa.table({"text": [f"day {k}" for k in range(30)], "label": ["a", "b"] * 15})
    pq.write_table(rows, folder / "data" / "train-00000-of-00001.parquet")
    write_canary(folder, mark, "data", "dataset", NAME)
    (folder / "dataset_infos.json").write_text(json.dumps({"default": {"builder_name": NAME}}))
    ended = mmft("data", "check", folder, "--task", "text-cls")
    assert ended.code == 0 and not mark.exists(), ended.err
    shutil.copytree(folder, tmp_path / "more")
    for number, bomb in enumerate(bombs(mark)):
        (tmp_path / "more" / "data" / f"{number}.pkl").write_bytes(bomb)
    ended = mmft("data", "check", tmp_path / "more", "--task", "text-cls")
    assert not mark.exists() and "Traceback" not in ended.err

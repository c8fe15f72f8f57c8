"""A Hub of data sets, on this machine, which remembers what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.servers import Handler, LocalServer

OWNER = "stranger"
COMMIT = "a" * 40


class DataHub(LocalServer):
    """Serves each folder within a folder as a data set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(_Handler)
        self.folder = folder
        self.asked: list[str] = []

    def names(self, data: str) -> list[str]:
        files = (p for p in (self.folder / data).rglob("*") if p.is_file())
        return sorted(p.relative_to(self.folder / data).as_posix() for p in files)


class _Handler(Handler):
    server: DataHub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.body()
        data, _, rest = self._parts(f"/api/datasets/{OWNER}/")
        if rest.startswith("paths-info/"):
            self.answer(200, [self._entry(data, name) for name in self.server.names(data)])
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        data, found, rest = self._parts(f"/api/datasets/{OWNER}/")
        file, named, place = self._parts(f"/datasets/{OWNER}/")
        if self.path == "/":
            self.answer(200, {})
        elif found and rest.startswith("tree/"):
            self.answer(200, [self._entry(data, name) for name in self.server.names(data)])
        elif found and (not rest or rest.startswith("revision/")):
            siblings = [{"rfilename": name} for name in self.server.names(data)]
            told = {"id": f"{OWNER}/{data}", "sha": COMMIT, "siblings": siblings}
            self.answer(200, told | {"private": False})
        elif named and place.startswith("resolve/"):
            self._file(file, place.split("/", 2)[2])
        else:
            self.send_error(404)

    def _parts(self, start: str) -> tuple[str, bool, str]:
        """The name of a data set in the path that is asked for, and what follows."""
        path = unquote(self.path.partition("?")[0])
        name, _, rest = path.removeprefix(start).partition("/")
        return name, path.startswith(start), rest

    def _file(self, data: str, name: str) -> None:
        if name not in self.server.names(data):
            lacking = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
            self.answer(404, {"error": "Entry not found"}, lacking)
            return
        self.server.asked.append(f"{data}/{name}")
        content = (self.server.folder / data / name).read_bytes()
        named = {"X-Repo-Commit": COMMIT, "ETag": f'"{data}-{name}"'}
        self.answer(200, content, {"Content-Type": "application/octet-stream"} | named)

    def _entry(self, data: str, name: str) -> dict[str, Any]:
        size = (self.server.folder / data / name).stat().st_size
        return {"type": "file", "size": size, "oid": COMMIT, "path": name}

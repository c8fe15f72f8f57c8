"""A server that speaks what is needed of the Hugging Face Hub, and keeps what it is given."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tests.servers import Handler, LocalServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_" + "x" * 34


class FakeHub(LocalServer):
    """Attributes:
    repos: by id whether it is private.
    files: by "USER/NAME/path" their content.
    cards: the cards that it was asked to validate.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.repos: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.cards: list[str] = []
        self.commits = 0


class _Handler(Handler):
    server: FakeHub

    def do_POST(self) -> None:
        body = self.body()
        path, hub = self.path.partition("?")[0], self.server
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid username or password."})
        if path == "/api/validate-yaml":
            hub.cards.append(json.loads(body)["content"])
            return self.answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            address = {"url": f"{hub.url}/{repo}", "name": repo, "id": repo}
            if repo in hub.repos:
                return self.answer(409, {"error": "You already created this model repo", **address})
            private = wanted.get("private") or wanted.get("visibility") == "private"
            hub.repos[repo] = bool(private)
            return self.answer(200, address)
        if "/preupload/" in path:
            modes = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": modes})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    **o,
                    "actions": {"upload": {"href": f"{hub.url}/upload/{o['oid']}", "header": {}}},
                }
                for o in json.loads(body)["objects"]
            ]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        if "/commit/" in path:
            repo = path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub.files[f"{repo}/{value['path']}"] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.files[f"{repo}/{value['path']}"] = hub.objects[value["oid"]]
            hub.commits += 1
            address = f"{hub.url}/{repo}/commit/{COMMIT}"
            return self.answer(200, {"success": True, "commitOid": COMMIT, "commitUrl": address})
        return self.answer(404, {"error": f"no {path}"})

    def do_PUT(self) -> None:
        body = self.body()
        self.server.objects[hashlib.sha256(body).hexdigest()] = body
        self.answer(200, {})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, files = self.path.partition("?")[0].lstrip("/"), self.server.files
        if path.startswith("api/whoami"):
            return self.answer(401, {"error": "who?"})
        if path.startswith("api/models/"):
            repo = "/".join(path.split("/")[2:4])
            names = [f.removeprefix(f"{repo}/") for f in files if f.startswith(f"{repo}/")]
            if "/tree/" in path:
                found = [
                    {
                        "type": "file",
                        "path": name,
                        "size": len(files[f"{repo}/{name}"]),
                        "oid": hashlib.sha1(files[f"{repo}/{name}"]).hexdigest(),
                    }
                    for name in names
                ]
                return self.answer(200, found)
            siblings = [{"rfilename": name} for name in names]
            return self.answer(200, {"id": repo, "sha": COMMIT, "siblings": siblings})
        repo, _, rest = path.partition("/resolve/")
        name = f"{repo}/{rest.partition('/')[2]}"
        if name not in files:
            return self.answer(404, {"error": "not found"}, {"X-Error-Code": "EntryNotFound"})
        return self.answer(200, files[name])

    def answer(self, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        own = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        super().answer(status, data, own | dict(headers or {}))

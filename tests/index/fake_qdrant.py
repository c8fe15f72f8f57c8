"""A server that speaks what is needed of Qdrant's REST, over the client's own engine in memory."""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models

from tests.servers import Handler, LocalServer

KEY = "a-key"


class FakeQdrant(LocalServer):
    """Attributes:
    keys: the keys that were shown.
    fail_after: after how many requests that write it breaks down; None for never.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.engine = QdrantClient(":memory:")
        self.turn = threading.Lock()
        self.keys: set[str | None] = set()
        self.fail_after: int | None = None


class _Handler(Handler):
    server: FakeQdrant

    def do_HEAD(self) -> None:
        self.answer(200, {})

    def do_GET(self) -> None:
        self._serve("GET")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        body = json.loads(self.body() or b"null")
        key = self.headers.get("api-key")
        self.server.keys.add(key)
        if key != KEY:
            self.answer(401, {"status": {"error": "Must provide an API key"}})
            return
        _, _, name, *rest = urlsplit(self.path).path.split("/")
        with self.server.turn:
            writes = (method, rest) == ("PUT", ["points"])
            if writes and self.server.fail_after is not None:
                self.server.fail_after -= 1
                if self.server.fail_after < 0:
                    self.answer(507, {"status": {"error": "No space left on device"}})
                    return
            result = self._do(method, name, "/".join(rest), body)
        self.answer(200, {"result": result, "status": "ok", "time": 0.0})

    def _do(self, method: str, name: str, what: str, body: Any) -> Any:
        engine = self.server.engine
        if (method, what) == ("GET", "exists"):
            return {"exists": engine.collection_exists(name)}
        if (method, what) == ("PUT", ""):
            vectors = models.VectorParams(**body["vectors"])
            return engine.create_collection(name, vectors_config=vectors)
        if (method, what) == ("DELETE", ""):
            return engine.delete_collection(name)
        if (method, what) == ("PUT", "points"):
            engine.upsert(name, [models.PointStruct(**point) for point in body["points"]])
            return {"operation_id": 0, "status": "completed"}
        if what == "points/delete":
            engine.delete(name, body["points"])
            return {"operation_id": 0, "status": "completed"}
        if what == "points/count":
            return {"count": engine.count(name, exact=True).count}
        if what == "points":
            return _plain(engine.retrieve(name, body["ids"]))
        if what == "points/scroll":
            asked = {k: body.get(k) for k in ("limit", "offset", "with_payload")}
            vectors = bool(body.get("with_vector"))
            points, offset = engine.scroll(name, **asked, with_vectors=vectors)
            return {"points": _plain(points), "next_page_offset": offset}
        assert what == "points/query", (method, what)
        found = engine.query_points(
            name,
            query=body["query"]["nearest"],
            limit=body["limit"],
            with_payload=body["with_payload"],
        )
        return {"points": _plain(found.points)}


def _plain(points: Any) -> list[Any]:
    return [point.model_dump(mode="json", exclude_none=True) for point in points]

"""Talking to Qdrant: whatever goes wrong ends in one sentence, and in seconds."""

from __future__ import annotations

import atexit
import contextlib
import os
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from mmft_core.errors import (
    ConfigError,
    MmftError,
    RunDirectoryError,
    StorageError,
    WeightsError,
    first_line,
)
from mmft_core.weights import is_there
from mmft_search.folder import QDRANT
from mmft_search.qdrant_files import open_files

API_KEY = "QDRANT_API_KEY"
"""The environment variable of a server's key."""

LOCAL_UNTIL = 20_000
"""Qdrant itself recommends a server for more items than that."""

_PORT = 6333
_SECONDS = 60
"""How long a server may take for one request, once it is known to answer at all."""


class Connection:
    """A server, or the files in a folder, which one process has at a time.

    Raises:
        ConfigError: the URL is not valid.
        StorageError: the server cannot be reached.
        RunDirectoryError: another process has the folder.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        warnings.filterwarnings("ignore", "Local mode", UserWarning)  # mmft says it itself, once.
        with self.asked():
            if url:
                key = os.environ.get(API_KEY)
                self._client = QdrantClient(
                    url=_reached(url), api_key=key, timeout=_SECONDS, check_compatibility=False
                )
            else:
                self._client = open_files(folder / QDRANT)
        # At the interpreter's end, Qdrant would close it after its modules are gone, and complain.
        atexit.register(self._client.close)

    def close(self) -> None:
        self._client.close()
        atexit.unregister(self._client.close)

    def count(self, name: str) -> int:
        """How many points a collection has; 0 if it does not exist."""
        with self.asked() as client:
            there = client.collection_exists(name)
            return int(client.count(name, exact=True).count) if there else 0

    def nearest(
        self, name: str, vector: Sequence[float], number: int, *, exact: bool
    ) -> Sequence[Any]:
        """The points of a collection that are nearest to a vector, without their previews."""
        with self.asked() as client:
            found = client.query_points(
                name,
                query=vector,
                limit=number,
                with_payload=["id", "raw"],
                search_params=models.SearchParams(exact=exact),
            )
        return list(found.points)

    @contextlib.contextmanager
    def asked(self) -> Iterator[QdrantClient]:
        """The client, whose errors become ours.

        Raises:
            StorageError: it does not answer, refuses, or cannot write.
        """
        try:
            yield getattr(self, "_client", None)
        except MmftError:
            raise
        except ResponseHandlingException as error:
            raise StorageError(
                f"Qdrant at {self.url} does not answer: {first_line(error.source)}.",
                hint="What it holds is kept; run `mmft index` again to continue.",
            ) from error
        except UnexpectedResponse as error:
            raise self._refused(error) from error
        except RuntimeError as error:
            if "already accessed" not in str(error):
                raise
            raise RunDirectoryError(
                f"Another process uses the index in {self.folder}.",
                hint="Only one process at a time can use Qdrant's own files; a server (--url) "
                "serves many.",
            ) from error
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"Qdrant's files in {self.folder} cannot be used: {first_line(error)}.",
            ) from error

    def _refused(self, error: UnexpectedResponse) -> StorageError:
        said = f"{error.status_code} {error.reason_phrase}".strip()
        if error.status_code in (401, 403):
            return StorageError(
                f"Qdrant at {self.url} refuses the key: {said}.",
                hint=f"Give its key in the environment variable {API_KEY}.",
            )
        with contextlib.suppress(ValueError, KeyError, TypeError):  # Not an answer of Qdrant's.
            said = f"{said}, {error.structured()['status']['error']}"
        return StorageError(f"Qdrant at {self.url} cannot do that: {said}.")


def _reached(url: str) -> str:
    """The URL with its port, of a server that answers."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"--url {url} is not the URL of a server.", hint="For example: http://localhost:6333"
        )
    if parts.port is None:
        url = parts._replace(netloc=f"{parts.netloc}:{_PORT}").geturl()
    try:
        is_there(url)
    except WeightsError as error:
        raise StorageError(
            f"Qdrant cannot be reached: {error.message}", hint="Start it, or correct --url."
        ) from None
    return url

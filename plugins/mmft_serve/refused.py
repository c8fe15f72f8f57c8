"""What a request is refused with: a status, and one sentence that says why."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse


class RefusedError(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP, 4xx where the request is at fault.
        message: one sentence.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers

    def response(self) -> JSONResponse:
        # It may quote what was sent, such as half of a surrogate pair.
        message = self.message.encode("utf-8", "replace").decode()
        return JSONResponse({"error": message}, self.status, self.headers)

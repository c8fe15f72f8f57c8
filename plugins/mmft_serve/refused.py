"""What a request is refused with: a status, and one sentence that says why."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

OPENAI = "/v1/"
"""Below this path requests are answered as OpenAI's API answers them."""

_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class RefusedError(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP, 4xx where the request is at fault.
        message: one sentence.
        code: a word for it, for programs; "" for none.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        code: str = "",
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.headers, self.code = status, message, headers, code

    def response(self, path: str = "") -> JSONResponse:
        """The answer to a request to a path, in the form that its clients know."""
        # It may quote what was sent, such as half of a surrogate pair.
        message = self.message.encode("utf-8", "replace").decode()
        if not path.startswith(OPENAI):
            return JSONResponse({"error": message}, self.status, self.headers)
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {
            "message": message,
            "type": _TYPES.get(self.status, kind),
            "param": None,
            "code": self.code or None,
        }
        return JSONResponse({"error": error}, self.status, self.headers)

"""Errors of the service, in the shape in which clients of OpenAI expect them."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from starlette.requests import Request
from starlette.responses import JSONResponse

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"


class ApiError(Exception):
    """A request that is refused, or failed.

    Parameters
    ----------
    status : int
    message : str
        For the user of the client: what was wanted, and what came. It has no text of a recording.
    kind : str
        `type` of the answer: a class of errors.
    code : str, optional
        What programs compare.
    param : str, optional
        The parameter of the request that is wrong.
    headers : mapping, optional
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID_REQUEST,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.code, self.param = status, message, kind, code, param
        self.headers = dict(headers or {})

    def to_json(self) -> dict[str, dict[str, str | None]]:
        """The body of the answer."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.to_json(), self.status, self.headers)


def busy(message: str, *, code: str, wait_seconds: float) -> ApiError:
    """429: the client shall try again after so many seconds, at least one."""
    return ApiError(429, message, kind="requests", code=code, headers={"Retry-After": str(max(1, ceil(wait_seconds)))})


def stopping() -> ApiError:
    """503: the server ends."""
    return ApiError(
        503,
        "The server is stopping: send the request again when it is back.",
        kind=SERVER_ERROR,
        code="server_stopping",
        headers={"Retry-After": "5", "Connection": "close"},
    )


def crashed() -> ApiError:
    """500: the process that worked on the request has ended."""
    return ApiError(500, "The recogniser crashed on this request.", kind=SERVER_ERROR, code="worker_crashed")


async def answer_api_error(_request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that raised `ApiError`."""
    assert isinstance(error, ApiError)
    return error.response()


async def answer_unexpected(_request: Request, _error: Exception) -> JSONResponse:
    """The answer to a request that failed by a fault of the program, which is in the log."""
    return ApiError(500, "The server had an error while processing the request.", kind=SERVER_ERROR).response()

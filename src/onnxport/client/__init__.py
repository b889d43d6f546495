"""The HTTP client of a served model: rows go out as JSON, answers and typed errors come back. Imports nothing heavy."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from onnxport.client.answers import Answer, foreign
from onnxport.client.bodies import CHUNK_ROWS, encode_chunks, encode_row, list_rows
from onnxport.client.connection import Connection
from onnxport.errors import ConnectionFailed, Detail, RejectedRows

TIMEOUT = 30.0


class Client:
    """Calls a served model. Threads may share one client; it holds one connection pool: close it, or use `with`.
    A forked process opens connections of its own.

    base_url: where the server listens, with its path prefix if it has one. api_key: sent as a bearer token.
    timeout: seconds that one call may take, retries included. chunk_rows: longer lists go out in several requests.
    verify: False, or an SSLContext that knows a private certificate authority.

    Every call raises ConnectionFailed where no answer came, and ServerError (RejectedRows, ServerBusy) where the answer
    is none that was asked for. Redirects are not followed: they would turn a POST into a GET.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout: float = TIMEOUT,
        chunk_rows: int = CHUNK_ROWS,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        if chunk_rows <= 0:
            raise ValueError("chunk_rows must be positive")
        self._connection = Connection(base_url, _headers(api_key), timeout=timeout, verify=verify)
        self._chunk_rows = chunk_rows
        self.base_url = self._connection.base_url

    def predict(self, data: Any) -> Any:
        """Answers one row or many, exactly as `Model.predict` does.

        data: a mapping `{feature: value}`; a list of these; or a DataFrame with the features as columns. None, NaN and
        pandas' NA go out as null, numpy's scalars as Python's. Integers and floats arrive with every digit.

        Returns one answer for a mapping, else a list in the order of the rows. Raises RejectedRows naming each fault.
        """
        if isinstance(data, Mapping):
            return _expect(self._post(encode_row(data)), dict)
        answers: list[Any] = []
        for rows, body in encode_chunks(list_rows(data), self._chunk_rows):
            try:
                answers += self._answers(body, len(rows))
            except RejectedRows as err:
                if not rows.start:
                    raise
                details = [_moved(detail, rows.start) for detail in err.details]
                raise RejectedRows(err.status, details, err.request_id) from err
        return answers

    def model(self) -> dict[str, Any]:
        """What the server says of its model: signature, name, version, digest, parity (GET /model)."""
        return self._get("/model")

    def openapi(self) -> dict[str, Any]:
        """The API's description (GET /openapi.json)."""
        return self._get("/openapi.json")

    def ready(self) -> bool:
        """Whether the server takes requests now; False also where nothing answers."""
        return self._probe("/health/ready")

    def live(self) -> bool:
        """Whether the server is alive, if perhaps not ready; False also where nothing answers."""
        return self._probe("/health/live")

    def close(self) -> None:
        """Closes the connections; the client can't be used any longer."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.base_url!r})"

    def _answers(self, body: bytes, rows: int) -> list[Any]:
        answer = self._post(body)
        answers: list[Any] = _expect(answer, list)
        if len(answers) != rows:
            raise foreign(
                answer.status, f"{answer.url} gave {len(answers)} answers for {rows} rows"
            )
        return answers

    def _post(self, body: bytes) -> Answer:
        return self._connection.call("POST", "/predict", body)

    def _get(self, path: str) -> dict[str, Any]:
        document: dict[str, Any] = _expect(self._connection.call("GET", path), dict)
        return document

    def _probe(self, path: str) -> bool:
        try:
            answer = self._connection.try_call("GET", path)
        except ConnectionFailed:
            return False
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return False
        answer.document()
        return True


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"User-Agent": "onnxport", "Accept": "application/json"}
    if api_key is None:
        return headers
    if not (api_key.isascii() and api_key.isprintable() and api_key.split() == [api_key]):
        raise ValueError("the API key is empty or holds characters that no key has")
    return {**headers, "Authorization": f"Bearer {api_key}"}


def _expect(answer: Answer, kind: type) -> Any:
    document = answer.document()
    if not isinstance(document, kind):
        raise foreign(answer.status, f"{answer.url} answered another kind of JSON than asked for")
    return document


def _moved(detail: Detail, start: int) -> Detail:
    """A fault of one chunk, its row counted over the whole list."""
    if not detail.loc or not isinstance(detail.loc[0], int):
        return detail
    row, message = detail.loc[0], detail.message
    named = f"row {row}"
    if message.startswith(named):
        message = f"row {row + start}{message.removeprefix(named)}"
    return Detail(detail.code, (row + start, *detail.loc[1:]), message, detail.hint)

"""Every answer carries a request id: the caller's own if it is harmless, a new one otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests

from tests.server import models

PATHS = ["/model", "/health/live", "/docs", "/openapi.json", "/nowhere", "/predict"]


@pytest.mark.parametrize("path", PATHS)
def test_a_harmless_id_comes_back(running: Callable[..., str], path: str) -> None:
    answer = requests.get(
        running(models.iris()) + path, headers={"X-Request-ID": "Order-66"}, timeout=20
    )
    assert answer.headers["X-Request-ID"] == "Order-66"
    if answer.status_code >= 400:
        assert answer.json()["request_id"] == "Order-66"


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 65, "a\tb", "é".encode(), "../etc", "a,b"])
def test_anything_else_is_replaced(running: Callable[..., str], sent: str | bytes | None) -> None:
    headers = {} if sent is None else {"X-Request-ID": sent}
    url = running(models.iris()) + "/predict"
    first = requests.post(url, data=b"{}", headers=headers, timeout=20)
    again = requests.post(url, data=b"{}", headers=headers, timeout=20)
    assert re.fullmatch(r"[0-9a-f]{32}", first.headers["X-Request-ID"])
    assert first.json()["request_id"] == first.headers["X-Request-ID"]
    assert first.headers["X-Request-ID"] != again.headers["X-Request-ID"]

"""The docs pages in a real browser that reaches no other address."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.server import models

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync""".split()  # noqa: SIM905
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(needs_chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=needs_chromium, args=[*FLAGS, OFFLINE])


@dataclass
class Watched:
    """A page, what it asked for, and what its console complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1200, "height": 1600})
    seen = Watched(page)
    page.on("request", lambda request: seen.asked.append(request.url))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: seen.complaints.append(message.text) if message.type != "log" else None,
    )
    yield seen
    page.close()


def foreign(urls: list[str], url: str) -> list[str]:
    ours = urlsplit(url).netloc
    return [u for u in urls if not u.startswith(("data:", "blob:")) and urlsplit(u).netloc != ours]


def addresses(page: Page) -> list[str]:
    """Every address that stands in an attribute of the rendered page."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('[src],[href],[action]')]
                 .map(e => e.src?.baseVal ?? e.src ?? e.href?.baseVal ?? e.href ?? e.action)
                 .filter(u => typeof u === 'string' && u.startsWith('http'))"""
    )
    return found


def press_execute(page: Page) -> Locator:
    """Opens POST /predict, presses "Try it out" and "Execute", and waits for the answer's status."""
    page.locator("#operations-model-predict .opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    answer = page.locator(".live-responses-table tbody .response-col_status").first
    answer.wait_for(timeout=20_000)
    return answer


MADE = [models.iris(), models.odd_names(), models.every_kind()]


@pytest.mark.parametrize("made", MADE, ids=[made.name for made in MADE])
def test_try_it_out_answers_200(
    running: Callable[..., str], watched: Watched, made: models.Made
) -> None:
    url, page = running(made), watched.page
    page.goto(f"{url}/")
    answer = press_execute(page)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"docs-{made.name.replace(' ', '-')}.png", full_page=True)
    assert answer.inner_text().startswith("200")
    assert "prediction" in page.locator(".live-responses-table").inner_text()
    assert watched.complaints == []
    assert foreign(watched.asked, url) == []
    assert foreign(addresses(page), url) == []


def test_redoc_shows_the_model(running: Callable[..., str], watched: Watched) -> None:
    url, page = running(models.odd_names()), watched.page
    page.goto(f"{url}/redoc")
    page.get_by_text("sepal length (cm)").first.wait_for(timeout=20_000)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=SHOTS / "redoc.png")
    assert watched.complaints == []
    assert foreign(watched.asked, url) == []
    assert foreign(addresses(page), url) == []


def test_the_pages_work_below_a_proxys_prefix(
    running: Callable[..., str], watched: Watched
) -> None:
    url, page = running(models.iris(), "--root-path", "/shop/iris"), watched.page
    page.goto(f"{url}/shop/iris/docs")
    assert press_execute(page).inner_text().startswith("200")
    assert f"{url}/shop/iris/predict" in watched.asked
    assert watched.complaints == []


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_no_other_address_stands_in_a_page_and_no_script_inside_it(
    running: Callable[..., str], path: str
) -> None:
    url = running(models.iris())
    answer = requests.get(url + path, timeout=5)
    assert "//" not in answer.text
    assert "<script>" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'")
    assert "script-src" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for asset in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        got = requests.get(f"{url}/{asset}", timeout=5)
        assert got.status_code == 200
        assert "max-age" in got.headers["Cache-Control"]
        again = requests.get(
            f"{url}/{asset}", headers={"If-None-Match": got.headers["ETag"]}, timeout=5
        )
        assert (again.status_code, again.content) == (304, b"")


def test_redocs_remote_logo_is_gone(running: Callable[..., str]) -> None:
    script = requests.get(
        f"{running(models.iris())}/docs/assets/redoc.standalone.js", timeout=5
    ).text
    assert len(script) > 500_000
    assert "cdn.redoc.ly" not in script
    assert "redocly.com/redoc" not in script

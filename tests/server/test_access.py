"""Who may call what: routes, hosts, origins, and addresses that others reach."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright

import onnxport
from onnxport.errors import SettingsError
from onnxport.keys import new_key
from onnxport.server.access import Access, Verdict, open_access
from onnxport.server.cors import origins
from onnxport.server.documentation import documentation
from onnxport.server.hosts import read_hosts
from onnxport.server.problems import describe
from onnxport.server.routes import route_of
from onnxport.server.run import bind
from onnxport.settings import Settings
from tests.server import models
from tests.server.callers import Answer, ask, calling
from tests.server.test_pages import FLAGS
from tests.serving import ServerProcess

ModelFile = Callable[[models.Made], Path]
OURS, OTHER = new_key("ours"), new_key("other")
KEY = OURS.key.encode()
WITH_KEY = b"X-API-Key: " + KEY
HOSTS = "api.example.com,*.shop.example,127.0.0.1,[::1]"
PAGE = "https://page.example"
Serve = Callable[..., str]


@pytest.fixture(scope="module")
def serve_guarded(
    model_file: ModelFile, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serve]:
    """`serve_guarded(*options)`: a server with a key, once for these options."""
    path = tmp_path_factory.mktemp("access") / "keys.txt"
    path.write_text(OURS.line, "utf-8")
    running: dict[tuple[str, ...], ServerProcess] = {}

    def start(*options: str) -> str:
        if options not in running:
            keys = ("--api-key-file", str(path), *options)
            running[options] = ServerProcess(
                "serve", model_file(models.reciprocal()), "--port", "0", *keys
            )
        return running[options].url

    yield start
    assert [server.stop() for server in running.values()] == [0] * len(running)


@pytest.fixture(scope="module")
def keyed(serve_guarded: Serve) -> str:
    """With a key, and nothing else."""
    return serve_guarded()


@pytest.fixture(scope="module")
def hosted(serve_guarded: Serve) -> str:
    """With a key, a list of hosts, and pages of another origin."""
    return serve_guarded("--hosts", HOSTS, "--cors-origins", PAGE, "--public", "docs,model")


# ------------------------------------------------------------------------------------------------ routes


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/predict", "predict"),
        ("/model", "model"),
        ("/metrics", "metrics"),
        *((path, "health") for path in ("/health/live", "/health/ready", "/healthz", "/ping")),
        *((path, "docs") for path in ("/", "/docs", "/redoc", "/openapi.json")),
        ("/docs/assets/favicon.png", "docs"),
        *((path, "other") for path in ("", "//", "*", "/predict/", "//predict", "/Predict")),
        *((path, "other") for path in ("/docs/", "/docs/assets", "/docs/assets/a/b", "/health")),
        *((path, "other") for path in ("/predict\n", "/model\0", "/health/live/../model")),
    ],
)
def test_the_table_of_routes(path: str, route: str) -> None:
    assert route_of(path) == route


def test_every_route_of_the_application_is_in_the_table(model_file: ModelFile) -> None:
    """None that the application answers is 'other'."""
    routers = [onnxport.router(model_file(models.reciprocal())), documentation(title="x")]
    paths = {str(route.path) for each in routers for route in each.routes}  # type: ignore[attr-defined]
    assert {"/predict", "/model", "/docs", "/docs/assets/{name}"} <= paths
    assert {path for path in paths if route_of(path) == "other"} == set()


PATHS = [
    b"/model",
    b"/model?x=/health/live",
    b"/%6dodel",
    b"/mode%6C",
    b"/model%0a",
    b"/model%00",
    b"/model/",
    b"//model",
    b"/./model",
    b"/health/live/../../model",
    b"/health/live/..%2f..%2fmodel",
    b"/health/live%3f/../model",
    b"/health/live;/model",
    b"/health/live#/model",
    b"/docs/assets/../../model",
    b"/docs/assets/%2e%2e/%2e%2e/model",
    b"/docs/assets/..%2f..%2fmodel",
    b"\\model",
    b"model",
    b"*",
    b"http://127.0.0.1/model",
    b"http://x/health/live/../../model",
    b"http:/health/live",
]
TRICKS = [
    b"Host: x",
    b"Host: a/../x",
    b"Host: x/health/live?a=",
    b"Host: x/health/live#",
    b"Host: evil@good",
    b"Host: x:80/docs?",
    b"Host: ",
    b"Host: \xff",
    b"X-Nothing: x",
    b"X-Original-URL: /health/live",
    b"X-Forwarded-Prefix: /health",
    b"X-Forwarded-Host: x/health/live?",
    b"X-HTTP-Method-Override: OPTIONS",
]


@pytest.mark.parametrize("header", TRICKS)
def test_no_path_and_no_host_leads_around_the_key(keyed: str, header: bytes) -> None:
    """CVE-2026-48710 was such a way: what the Host header said became part of the path that was judged."""
    for path in PATHS:
        answer = ask(keyed, b"GET " + path + b" HTTP/1.1", header)
        assert answer.status in (200, 400, 401), path
        assert answer.status != 200 or answer.body == {"status": "live"}, path
    assert ask(keyed, b"GET /%6dodel HTTP/1.1", header, WITH_KEY).body["name"] == "reciprocal"


@pytest.mark.parametrize(
    ("public", "opened"),
    [
        ("", set[str]()),
        ("docs", {"docs"}),
        ("model", {"model"}),
        ("metrics,model,docs", {"docs", "metrics", "model"}),
    ],
)
def test_what_is_public_is_told_by_the_settings(public: str, opened: set[str]) -> None:
    access = keyed_access(Settings(public=public))
    for path in ("/predict", "/model", "/metrics", "/docs", "/docs/assets/a.js", "/", "/x"):
        route = route_of(path)
        assert (access.judge(route, []).refusal is None) == (route in opened)
    assert access.judge("health", []) == Verdict()


def test_without_keys_everything_is_open() -> None:
    access = open_access(Settings(public=""), {})
    assert {access.judge(route_of(path), []) for path in ("/predict", "/x", "/docs")} == {Verdict()}
    assert not access.asks_for_keys


def test_below_a_prefix(serve_guarded: Serve) -> None:
    url = serve_guarded("--root-path", "/iris")
    for prefix in (b"", b"/iris"):
        assert ask(url, b"GET %b/model HTTP/1.1" % prefix, b"Host: x").code == "unauthorized"
        assert ask(url, b"GET %b/model HTTP/1.1" % prefix, b"Host: x", WITH_KEY).status == 200
        assert ask(url, b"GET %b/ping HTTP/1.1" % prefix, b"Host: x").status == 200
    for path in (b"/iris/iris/ping", b"/irisping", b"/iris/ping/iris", b"/iris", b"/ping/iris"):
        assert ask(url, b"GET %b HTTP/1.1" % path, b"Host: x").code == "unauthorized"


def test_router_leaves_keys_to_its_application(
    model_file: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONNXPORT_API_KEY_HASHES", OURS.line)
    path = model_file(models.reciprocal())
    routes = onnxport.router(path)
    assert "security" not in str([route.openapi_extra for route in routes.routes])  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------- judgement, by itself


def keyed_access(told: Settings) -> Access:
    return open_access(told, {"ONNXPORT_API_KEY_HASHES": f"{OURS.line},{OTHER.line}"})


def test_a_verdict_names_the_key_and_is_a_value() -> None:
    access = keyed_access(Settings())
    headers = [(b"x-api-key", KEY)]
    assert access.judge("predict", headers) == Verdict("ours")
    assert access.judge("predict", headers) == access.judge("model", headers)
    assert access.judge("predict", [(b"authorization", b"Bearer " + OTHER.key.encode())]) == (
        Verdict("other")
    )
    assert access.judge("docs", headers) == Verdict()
    assert access.generation == 0


KEYED = keyed_access(Settings())
KEYS = st.sampled_from([KEY, OTHER.key.encode(), b"", KEY[:-1], b"no"]) | st.binary(max_size=80)
NAMES = st.sampled_from([b"authorization", b"x-api-key", b"x-api-keys", b"cookie", b"host"])
SCHEMES = st.sampled_from([b"", b"Bearer ", b"bearer  ", b"Basic ", b"Bearer"])
HEADERS = st.lists(st.tuples(NAMES, st.tuples(SCHEMES, KEYS).map(b"".join)), max_size=5)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(headers=HEADERS)
def test_nobody_is_let_in_but_by_one_right_key(headers: list[tuple[bytes, bytes]]) -> None:
    """Said another way than the code says it: which texts the two headers may have."""
    verdict = KEYED.judge("predict", headers)
    told = {name: [v for n, v in headers if n == name] for name in (b"authorization", b"x-api-key")}
    bearer = rb"(?i:bearer)[ \t]+%b[ \t]*"
    rightly = [
        known.id
        for known in (OURS, OTHER)
        if told[b"x-api-key"] + told[b"authorization"]
        and len(told[b"x-api-key"]) <= 1 >= len(told[b"authorization"])
        and all(value.strip(b" \t") == known.key.encode() for value in told[b"x-api-key"])
        and all(
            re.fullmatch(bearer % known.key.encode(), value)
            or (told[b"x-api-key"] and not re.match(rb"(?i:bearer)[ \t]", value))
            for value in told[b"authorization"]
        )
    ]
    assert verdict.key_id == (rightly[0] if rightly else None)
    assert (verdict.refusal is None) == bool(rightly)
    if verdict.refusal is not None:
        problem = describe(verdict.refusal)
        assert problem.status == 401
        assert not any(known.key in problem.details[0].message for known in (OURS, OTHER))


# ------------------------------------------------------------------------------------------------- hosts

TAKEN = [
    b"api.example.com",
    b"API.Example.COM",
    b"api.example.com:8000",
    b"api.example.com:",
    b"a.shop.example",
    b"a.b.shop.example:443",
    b"127.0.0.1:1",
    b"[::1]",
    b"[::1]:8000",
]
NOT_TAKEN = [
    b"",
    b"example.com",
    b"xapi.example.com",
    b"api.example.com.evil.example",
    b"shop.example",
    b".shop.example",
    b"-.shop.example",
    b"evilshop.example",
    b"a/../x",
    b"evil@api.example.com",
    b"api.example.com@evil",
    b"api.example.com/health/live",
    b"api.example.com:80:80",
    b"api.example.com:port",
    b"api.example.com:123456",
    b"api.example.com, evil",
    b"api.example.com evil",
    b"api.example.com\tevil",
    b"api.example.com#",
    b"api.example.com?",
    b"api.example.com\\.shop.example",
    b"evil/.shop.example",
    b"evil?.shop.example",
    b"evil:80.shop.example",
    b"\xe1pi.example.com",
    "api\u2024example.com".encode(),
    b"127.0.0.2",
    b"::1",
    b"[::1",
    b"[::2]",
    b"*.shop.example",
    b"*",
]


def hosted_predict(url: str, *lines: bytes) -> Answer:
    return ask(url, b"POST /predict HTTP/1.1", *lines, WITH_KEY, body=b'{"x":1}')


@pytest.mark.parametrize("host", TAKEN)
def test_a_listed_host(hosted: str, host: bytes) -> None:
    assert hosted_predict(hosted, b"Host: " + host).status == 200


@pytest.mark.parametrize("host", NOT_TAKEN)
def test_a_host_that_is_not_listed(hosted: str, host: bytes) -> None:
    answer = hosted_predict(hosted, b"Host: " + host, b"X-Request-ID: h-1")
    assert (answer.status, answer.code) == (400, "bad_host")
    assert answer.body["detail"][0]["loc"] == ["header", "host"]
    assert answer.headers["x-request-id"] == "h-1"
    public = ask(hosted, b"GET /docs HTTP/1.1", b"Host: " + host)
    assert public.code == "bad_host"


def test_host_missing_or_doubled(hosted: str) -> None:
    good = b"Host: api.example.com"
    assert hosted_predict(hosted).code == "bad_host"
    assert hosted_predict(hosted, good, good).code == "bad_host"
    assert hosted_predict(hosted, good, b"Host: evil").code == "bad_host"
    assert hosted_predict(hosted, b"Host: evil", good).code == "bad_host"
    assert hosted_predict(hosted, b"X-Forwarded-Host: api.example.com").code == "bad_host"


def test_an_absolute_target_stands_for_nothing(hosted: str) -> None:
    """Neither does its host count in place of Host, nor against it: it is no part of what is answered."""
    evil = (b"POST http://api.example.com/predict HTTP/1.1", b"Host: evil", WITH_KEY)
    assert ask(hosted, *evil, body=b'{"x":1}').code == "bad_host"
    good = (b"POST http://evil/predict HTTP/1.1", b"Host: api.example.com", WITH_KEY)
    assert ask(hosted, *good, body=b'{"x":1}').body == {"prediction": 1.0}


def test_a_good_host_opens_its_own_request_alone(hosted: str) -> None:
    with calling(hosted) as caller:
        for _ in range(4):
            line = b"POST /predict HTTP/1.1"
            good = caller.ask(line, b"Host: api.example.com", WITH_KEY, body=b'{"x":1}')
            assert good.status == 200
            assert caller.ask(line, b"Host: evil", WITH_KEY, body=b'{"x":1}').code == "bad_host"


def test_a_load_balancer_asks_for_health_by_address(hosted: str) -> None:
    for lines in ((b"Host: 10.0.0.7:8000",), (), (b"Host: a", b"Host: b")):
        assert ask(hosted, b"GET /health/ready HTTP/1.1", *lines).status == 200


@pytest.mark.parametrize(
    "listed", ["https://a.example", "a.example:80", "a.example/x", "*", "*a.example", "a b", "é.x"]
)
def test_a_list_of_hosts_that_could_not_match_is_refused(listed: str) -> None:
    with pytest.raises(SettingsError, match="--hosts has "):
        read_hosts(f"good.example,{listed}")
    with pytest.raises(SettingsError, match="--hosts has "):
        bind(Settings(port=0, hosts=listed))


# --------------------------------------------------------------------------------------------------- CORS


def preflight(url: str, origin: str, method: str = "POST") -> requests.Response:
    asked = {
        "Origin": origin,
        "Host": "api.example.com",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,x-api-key,x-request-id",
    }
    return requests.options(f"{url}/predict", headers=asked, timeout=20)


def cors_headers(answer: requests.Response) -> dict[str, str]:
    return {k.lower(): v for k, v in answer.headers.items() if k.lower().startswith("access-")}


def test_a_preflight_needs_no_key(hosted: str) -> None:
    answer = preflight(hosted, PAGE)
    told = cors_headers(answer)
    assert answer.status_code == 200
    assert told["access-control-allow-origin"] == PAGE
    assert told["access-control-allow-methods"] == "GET, POST"
    assert {"authorization", "content-type", "x-api-key", "x-request-id"} <= set(
        told["access-control-allow-headers"].lower().split(", ")
    )
    assert "access-control-allow-credentials" not in told


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://page.example", f"{PAGE}.evil.example", "null"]
)
def test_another_origin_is_not_allowed(hosted: str, origin: str) -> None:
    assert preflight(hosted, origin).status_code == 400
    asked = {"Origin": origin, "Host": "api.example.com"}
    answer = requests.get(f"{hosted}/model", headers=asked, timeout=20)
    for told in (cors_headers(preflight(hosted, origin)), cors_headers(answer)):
        assert "access-control-allow-origin" not in told


def test_no_other_method_is_allowed(hosted: str) -> None:
    assert preflight(hosted, PAGE, "DELETE").status_code == 400


def test_answers_and_refusals_can_be_read_by_the_page(hosted: str) -> None:
    def post(key: str, host: str = "api.example.com") -> requests.Response:
        headers = {"Origin": PAGE, "Host": host, "X-API-Key": key}
        return requests.post(f"{hosted}/predict", data=b'{"x":1}', headers=headers, timeout=20)

    for key, status in ((OURS.key, 200), ("no", 401)):
        answer = post(key)
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Access-Control-Expose-Headers"] == "X-Request-ID"
        assert "Origin" in answer.headers["Vary"]
    assert post(OURS.key, host="evil").json()["detail"][0]["type"] == "bad_host"


def test_unless_asked_for_there_is_no_word_of_cors(keyed: str) -> None:
    told = {"Origin": PAGE, "X-API-Key": OURS.key}
    answers = [
        preflight(keyed, PAGE),
        requests.get(f"{keyed}/model", headers=told, timeout=20),
        requests.post(f"{keyed}/predict", data=b'{"x":1}', headers=told, timeout=20),
    ]
    assert [answer.status_code for answer in answers] == [401, 200, 200]
    assert [cors_headers(answer) for answer in answers] == [{}, {}, {}]
    assert not any("Vary" in answer.headers for answer in answers)


@pytest.mark.browser
def test_a_page_of_another_origin_calls_the_api(
    serve_guarded: Serve, needs_chromium: str, tmp_path: Path
) -> None:
    """In a real browser, which asks beforehand, and hides what it wasn't told to show."""
    (tmp_path / "page.html").write_text("<title>a page</title>", "utf-8")
    with serving_files(tmp_path) as page_url, sync_playwright() as playwright:
        url = serve_guarded("--cors-origins", page_url)
        page = playwright.chromium.launch(executable_path=needs_chromium, args=FLAGS).new_page()
        page.goto(f"{page_url}/page.html")
        called = page.evaluate(CALL, [url, OURS.key])
        assert called == [200, {"prediction": 1}, "p-1"]
        refused = page.evaluate(CALL, [url, "no"])
        assert (refused[0], refused[1]["detail"][0]["type"]) == (401, "unauthorized")
        with pytest.raises(PlaywrightError, match="Failed to fetch"):
            page.evaluate(CALL, [serve_guarded(), OURS.key])


CALL = """async ([url, key]) => {
  const answer = await fetch(url + "/predict", {
    method: "POST",
    headers: {"Content-Type": "application/json", "Authorization": "Bearer " + key, "X-Request-ID": "p-1"},
    body: '{"x":1}',
  });
  return [answer.status, await answer.json(), answer.headers.get("X-Request-ID")];
}"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Files over HTTP, without a log."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_files(folder: Path) -> Iterator[str]:
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "listed", ["page.example", "https://page.example/", "https://a*.example", "null", "https://u@a"]
)
def test_an_origin_that_no_browser_sends_is_refused(listed: str) -> None:
    with pytest.raises(SettingsError, match="--cors-origins has "):
        origins(listed)
    with pytest.raises(SettingsError, match="--cors-origins has "):
        onnxport.create_app(
            models.write(models.reciprocal()), settings=Settings(cors_origins=listed)
        )


def test_origins_are_read_as_browsers_write_them() -> None:
    assert origins("https://Page.example, http://localhost:3000,*") == [
        PAGE,
        "http://localhost:3000",
        "*",
    ]


# ------------------------------------------------------------------------------ addresses that others reach


def test_an_address_that_others_reach_needs_a_key(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reached = Settings(host="0.0.0.0", port=0)
    with pytest.raises(SettingsError, match="make one with `onnxport key`"):
        bind(reached)
    monkeypatch.setenv("ONNXPORT_API_KEY_HASHES", OURS.line)
    bind(reached).close()
    assert caplog.records == []


def test_without_one_the_log_says_so_loudly(caplog: pytest.LogCaptureFixture) -> None:
    bind(Settings(port=0, insecure=True)).close()
    assert caplog.records == []
    bind(Settings(host="0.0.0.0", port=0, insecure=True)).close()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "WHOEVER REACHES THIS ADDRESS MAY CALL THE API" in record.getMessage()


# ------------------------------------------------------------------------------------------------ OpenAPI


def operations(url: str, **headers: str) -> dict[str, Any]:
    document = requests.get(f"{url}/openapi.json", headers=headers, timeout=20).json()
    return {
        "schemes": document["components"].get("securitySchemes"),
        **{path: next(iter(methods.values())) for path, methods in document["paths"].items()},
    }


def test_the_description_tells_how_keys_are_sent(keyed: str) -> None:
    told = operations(keyed)
    assert told["schemes"] == {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path in ("/predict", "/model"):
        assert told[path]["security"] == [{"bearer": []}, {"apiKey": []}]
        refusal = told[path]["responses"]["401"]["content"]["application/json"]
        assert refusal["schema"] == {"$ref": "#/components/schemas/Error"}
        assert refusal["examples"]["unauthorized"]["value"]["detail"][0]["type"] == "unauthorized"
    for path in ("/health/live", "/health/ready"):
        assert "security" not in told[path]
        assert "401" not in told[path]["responses"]


def test_what_is_public_is_described_so(hosted: str) -> None:
    told = operations(hosted, Host="api.example.com")
    assert "security" in told["/predict"]
    assert "security" not in told["/model"]
    assert "401" not in told["/model"]["responses"]
    for path in ("/model", "/predict"):
        assert "`bad_host`" in told[path]["responses"]["400"]["description"]
    assert "400" not in told["/health/live"]["responses"]


def test_without_keys_there_is_no_word_of_them(model_file: ModelFile) -> None:
    document = onnxport.create_app(model_file(models.reciprocal())).openapi()
    assert "securitySchemes" not in document["components"]
    assert "401" not in document["paths"]["/predict"]["post"]["responses"]

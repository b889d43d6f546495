"""HTTP to one registry, and the only importer of httpx2 here: who may hear our credentials, and for how long we listen.

Credentials go to the registry itself and to the token server that it names, never to where it redirects. Plain http is
spoken on this machine's own addresses alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address

import httpx2

from onnxport.errors import BuildError, shorten
from onnxport.image.credentials import Credentials
from onnxport.image.manifests import MAX_DOCUMENT
from onnxport.image.reference import DOCKER_HUB
from onnxport.image.registry.answers import Answer, Place
from onnxport.image.registry.patience import Pace, Patience
from onnxport.image.registry.tokens import PULL, Authorization

_HUB_API = "registry-1.docker.io"
_MAX_REFUSAL = 65536
_MAX_REDIRECTS = 5
_COMMIT_RATE = 1 << 20  # bytes a second that a registry checks and keeps an upload with, at least
_CHECK = "check the name and whether it is up, then run the command again"
_NOT_TLS = ("WRONG_VERSION_NUMBER", "record layer failure")  # OpenSSL's words, 1.1 to 3


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a repository.

    doing: such as "push team/iris". missing: what isn't there if the answer is 404. body: gives the bytes of an upload,
    anew for each try. size: how many they are.
    """

    method: str
    path: str
    repository: str
    doing: str
    missing: str
    actions: str = PULL
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterator[bytes]] | None = None
    size: int = 0


class Wire:
    """One pool of connections. Failures that may pass are raised as PassingError; nothing is tried again here."""

    def __init__(self, registry: str, credentials: Credentials | None, patience: Patience) -> None:
        self.registry = registry
        self._credentials, self._patience = credentials, patience
        host = _HUB_API if registry == DOCKER_HUB else registry
        self._is_near = _is_loopback(httpx2.URL(f"https://{host}").host)
        self._origin = httpx2.URL(f"{'http' if self._is_near else 'https'}://{host}")
        self._is_settled = not self._is_near
        self._standings: dict[str, Authorization] = {}
        self._http: httpx2.Client | None = None

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def call(self, request: Request, *fine: int) -> Answer:
        """The answer, if its status is among these; else raises what it stands for."""
        with self.exchange(request) as response:
            answer = self._read(response, self.place(request))
        if answer.status not in fine:
            raise self.place(request).refuse(answer)
        return answer

    @contextmanager
    def download(self, request: Request) -> Iterator[Iterator[bytes]]:
        """The pieces of a body, wherever the registry keeps it."""
        place = self.place(request)
        with self.exchange(request) as response:
            if response.status_code != HTTPStatus.OK:
                raise place.refuse(self._read(response, place))
            yield self._pieces(response, place)

    def place(self, request: Request) -> Place:
        return Place(self.registry, request.doing, request.missing, self._credentials)

    @contextmanager
    def exchange(self, request: Request) -> Iterator[httpx2.Response]:
        """The answer, unread, after authorization and, for what is fetched, redirects."""
        place = self.place(request)
        response = self._authorized(request, place)
        try:
            for _ in range(_MAX_REDIRECTS):
                if request.method != "GET" or not response.has_redirect_location:
                    break
                target = self._resolve(response.headers["Location"])
                response.close()
                response = self._send(request, target, self._standing(request), place)
            yield response
        finally:
            response.close()

    def _authorized(self, request: Request, place: Place) -> httpx2.Response:
        self._settle(place)
        url = self._resolve(request.path)
        standing = self._standing(request)
        response = self._send(request, url, standing, place)
        if response.status_code != HTTPStatus.UNAUTHORIZED or not self._is_ours(url):
            return response
        demands = response.headers.get_list("WWW-Authenticate")
        if not standing.accept(demands, request.actions):
            return response
        response.close()
        return self._send(request, url, standing, place)

    def _settle(self, place: Place) -> None:
        """Finds out once whether a registry on this machine speaks https; all others have to."""
        if self._is_settled:
            return
        probe = self._client.build_request(
            "GET", self._origin.join("/v2/"), timeout=self._patience.timeout
        )
        answer = self._answer(probe, place)
        if answer.status == HTTPStatus.BAD_REQUEST and b"HTTPS" in answer.content:
            self._origin = self._origin.copy_with(scheme="https")
        self._is_settled = True

    def _standing(self, request: Request) -> Authorization:
        name = request.repository
        if name not in self._standings:
            self._standings[name] = Authorization(
                self.registry, name, self._credentials, self._ask_token
            )
        return self._standings[name]

    def _send(
        self, request: Request, url: httpx2.URL, standing: Authorization, place: Place
    ) -> httpx2.Response:
        headers = {"Accept-Encoding": "identity", **request.headers}
        if self._is_ours(url):
            authorization = standing.header(request.actions)
            headers |= {"Authorization": authorization} if authorization else {}
        if request.body is not None:
            headers |= {"Content-Length": str(request.size)}
        content = request.body() if request.body is not None else None
        seconds = self._patience.timeout
        timeout = httpx2.Timeout(seconds, read=seconds + request.size / _COMMIT_RATE)
        built = self._client.build_request(
            request.method, url, headers=headers, content=content, timeout=timeout
        )
        return self._open(built, place)

    def _ask_token(
        self, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> Answer:
        place = Place(self.registry, "get a token", "token server", self._credentials)
        built = self._client.build_request(
            "POST" if form else "GET",
            self._resolve(url),
            headers=dict(headers),
            data=dict(form) if form else None,
            timeout=self._patience.timeout,
        )
        answer = self._answer(built, place)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= 500:
            raise place.refuse(answer)
        return answer

    def _open(self, built: httpx2.Request, place: Place) -> httpx2.Response:
        with _told(self._name(built.url), place):
            return self._client.send(built, stream=True, auth=None, follow_redirects=False)

    def _answer(self, built: httpx2.Request, place: Place) -> Answer:
        response = self._open(built, place)
        try:
            return self._read(response, place)
        finally:
            response.close()

    def _read(self, response: httpx2.Response, place: Place) -> Answer:
        """A document's whole body; of a refusal no more than its words need."""
        is_fine = response.is_success
        limit = MAX_DOCUMENT if is_fine else _MAX_REFUSAL
        content = bytearray()
        for piece in self._pieces(response, place):
            content += piece
            if len(content) > limit:
                break
        if is_fine and len(content) > limit:
            raise BuildError(
                f"{self.registry} sends more than {limit} bytes where a small document was asked for; is it a registry?"
            )
        return Answer(response.status_code, response.headers, bytes(content[:limit]))

    def _pieces(self, response: httpx2.Response, place: Place) -> Iterator[bytes]:
        pace = Pace(self._patience)
        with _told(self._name(response.url), place):
            for piece in response.iter_raw():
                pace.count(len(piece))
                yield piece

    def _resolve(self, location: str) -> httpx2.URL:
        """Where a path, a redirect or a token server's address leads. Raises BuildError where it must not lead."""
        try:
            url = self._origin.join(location)
        except httpx2.InvalidURL as err:
            raise self._astray("to an address that is none") from err
        if (
            url.host == self._origin.host
            and self._origin.scheme == "https"
            and url.scheme == "http"
        ):
            url = url.copy_with(scheme="https")  # a proxy before the registry that hides its TLS
        if url.scheme == "http" and self._is_near and _is_loopback(url.host):
            return url
        if url.scheme != "https" or not url.host or url.userinfo:
            raise self._astray(f"to {shorten(url.host) or 'nowhere'} without TLS or with a user")
        return url

    def _astray(self, where: str) -> BuildError:
        return BuildError(
            f"{self.registry} sends us {where}, and nothing is sent there; ask the registry's owner to correct it"
        )

    def _is_ours(self, url: httpx2.URL) -> bool:
        ours = self._origin
        return (url.scheme, url.host, url.port) == (ours.scheme, ours.host, ours.port)

    def _name(self, url: httpx2.URL) -> str:
        """Who is spoken to, in the words of a message."""
        if url.host == self._origin.host:
            return self.registry
        return f"{shorten(url.host)}, where {self.registry} sends us,"

    @property
    def _client(self) -> httpx2.Client:
        if self._http is None:
            self._http = httpx2.Client(
                headers={"User-Agent": "onnxport"},
                trust_env=not self._is_near,  # a proxy can't reach this machine's own addresses
                verify=httpx2.create_ssl_context(),
            )
        return self._http


@contextmanager
def _told(who: str, place: Place) -> Iterator[None]:
    """Failures of the network, in words that hold no address but the host's: URLs carry keys."""
    try:
        yield
    except (TimeoutError, httpx2.TimeoutException) as err:
        raise place.failed(f"{who} is too slow") from err
    except (httpx2.ConnectError, httpx2.ProxyError) as err:
        if any(words in str(err) for words in _NOT_TLS):
            what = f"{who} doesn't speak TLS, and images go over plain http to this machine alone"
            raise BuildError(f"{what}; put a server with TLS before it") from err
        if "CERTIFICATE_VERIFY_FAILED" in str(err):
            what = f"{who} shows no certificate that this machine trusts"
            raise BuildError(f"{what}; name its authority's file in SSL_CERT_FILE") from err
        why = shorten(re.sub(r"^\[Errno -?\d+\] ", "", str(err)), 120)
        raise place.failed(f"{who} can't be reached ({why})", _CHECK) from err
    except httpx2.TransportError as err:
        raise place.failed(f"{who} broke off the connection") from err
    except UnicodeError as err:
        raise BuildError(f"{who} is no host's name; correct it") from err


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

"""What the preflight looks at: each part is read or made once, when the first check asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from onnxport.deploy import access
from onnxport.deploy.bundle import make_bundle
from onnxport.deploy.intent import Intent
from onnxport.deploy.names import Names, names_of, registry_host
from onnxport.deploy.options import option_settings, variables
from onnxport.deploy.preflight.members import Member, members
from onnxport.deploy.wanted import service_role
from onnxport.errors import BuildError, DeployError, OnnxportError, SettingsError, shorten
from onnxport.image.order import Built
from onnxport.image.parts import Image
from onnxport.image.store import Store
from onnxport.modelfile import ModelFile, read_model_file

if TYPE_CHECKING:
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.observed import Observed
    from onnxport.deploy.preflight.rehearsal import Rehearsal
    from onnxport.image.engine import Engine
    from onnxport.image.trial import Trial

Need = Literal["model", "image", "engine", "account"]
_T = TypeVar("_T")

NOBODY = "000000000000"  # an account that nobody has: names are as long with it as with any other
_NO_DIGEST = "sha256:" + "0" * 64
_WHY: Mapping[Need, tuple[str, str]] = {
    "model": ("there is no model file", "name one with model in onnxport.toml or --model"),
    "image": ("the image isn't built yet", "`onnxport deploy` builds it, and looks again"),
    "engine": ("no container engine is here", "install docker or podman to have the image tried"),
    "account": (
        "there are no AWS credentials",
        "log in, such as with `aws configure` or `aws sso login`",
    ),
}
WITHOUT_BOTO3 = ("boto3 isn't installed", "pip install '.[aws]' in the clone of onnxport")
_LINE = 100  # characters of an engine's words; runc tells every one of its callers


class Missing(OnnxportError):
    """A check can't be made. fix: what would let it. lacks: the part that isn't there, or ""."""

    def __init__(self, why: str, fix: str = "", lacks: Need | Literal[""] = "") -> None:
        self.why, self.fix, self.lacks = why, fix, lacks
        super().__init__(why)


def without_credentials() -> Missing:
    return Missing(*_WHY["account"], "account")


class Subject:
    """folder: where onnxport.toml is. reasons: for each part that is None, why, in words; behind a semicolon the fix.

    bundle: the source bundle's bytes, where they are others than those that the intent makes. observed: what was seen
    of the account already. store: where it is kept what was found in layers; the cache of builds by default.
    """

    def __init__(
        self,
        intent: Intent,
        folder: Path,
        *,
        model: Path | None = None,
        built: Built | None = None,
        engine: Engine | None = None,
        cloud: Cloud | None = None,
        observed: Observed | None = None,
        bundle: bytes | None = None,
        store: Store | None = None,
        reasons: Mapping[Need, str] | None = None,
    ) -> None:
        self.intent, self.folder = intent, folder
        self._model, self._built, self._engine, self._cloud = model, built, engine, cloud
        self._bundle, self._store, self._reasons = bundle, store, reasons or {}
        self._known: dict[str, Any] = {"observed": observed} if observed else {}

    # ------------------------------------------------------------------------------------------------ parts

    @property
    def model(self) -> Path:
        return self._there("model", self._model)

    @property
    def built(self) -> Built:
        return self._there("image", self._built)

    @property
    def has_image(self) -> bool:
        return self._built is not None

    @property
    def has_engine(self) -> bool:
        """Whether an engine is here that can run the image."""
        if self._engine is None or self._built is None:
            return False
        return self._engine.platform == self.image.platform

    @property
    def engine(self) -> Engine:
        return self._there("engine", self._engine)

    @property
    def cloud(self) -> Cloud:
        """AWS, where it answers us; whether it does is asked once."""
        cloud = self._there("account", self._cloud)
        try:
            self.once("account", lambda: cloud.account)
        except DeployError as err:
            from onnxport.deploy.aws.inspection import lacks_credentials

            if lacks_credentials(err):
                raise without_credentials() from err
            raise Missing("AWS wasn't asked: see P40", err.remedy, "account") from err
        return cloud

    @property
    def raw_cloud(self) -> Cloud:
        """AWS, whether it answers or not."""
        return self._there("account", self._cloud)

    @property
    def has_account(self) -> bool:
        try:
            return bool(self.cloud)
        except Missing:
            return False

    def _there(self, need: Need, part: _T | None) -> _T:
        if part is None:
            why, fix = _WHY[need]
            told, _, own = self._reasons.get(need, why).rpartition("; ")
            raise Missing(told or own, own if told else fix, need)
        return part

    def require(self, needs: Sequence[Need]) -> None:
        """Raises Missing for the first part that isn't here."""
        parts: Mapping[Need, object] = {
            "model": self._model,
            "image": self._built,
            "engine": self._engine,
            "account": self._cloud,
        }
        for need in needs:
            self._there(need, parts[need])

    def once(self, name: str, make: Callable[[], _T]) -> _T:
        """What `make` gave or raised when it was first asked for."""
        if name not in self._known:
            try:
                self._known[name] = make()
            except OnnxportError as err:
                self._known[name] = err
        found = self._known[name]
        if isinstance(found, OnnxportError):
            raise found
        made: _T = found
        return made

    # ---------------------------------------------------------------------------------------------- derived

    @property
    def file(self) -> ModelFile:
        return self.once("file", lambda: read_model_file(self.model))

    @property
    def image(self) -> Image:
        """The one for the intent's architecture: a deployment builds no other."""
        return self.built.images[0]

    @property
    def config(self) -> dict[str, Any]:
        """How the image's container runs, in Docker's words."""
        told: dict[str, Any] = json.loads(self.image.config).get("config") or {}
        return told

    @property
    def names(self) -> Names:
        return names_of(self.intent, self.cloud.account.id if self.has_account else NOBODY)

    @property
    def key_lines(self) -> tuple[str, ...]:
        """Raises SettingsError where the key isn't here."""

        def read() -> tuple[str, ...]:
            key = access.read_key(self.intent, self.folder)
            return access.hash_lines(self.intent, self.folder, key)

        return self.once("keys", read)

    @property
    def settings(self) -> dict[tuple[str, str], str]:
        """The environment's, by namespace and name; without keys where these aren't here, which P32 tells.

        Raises SettingsError for what Elastic Beanstalk wouldn't take.
        """

        def make() -> dict[tuple[str, str], str]:
            names, keys = self.names, tuple[str, ...]()
            with suppress(SettingsError):
                keys = self.key_lines
            made = option_settings(
                self.intent,
                instance_profile=names.instance_profile,
                service_role=self._service_role(),
                key_lines=keys,
            )
            return {(one["Namespace"], one["OptionName"]): one["Value"] for one in made}

        return self.once("settings", make)

    def _service_role(self) -> str:
        """The one that a deployment takes; ours where the account can't be asked."""
        with suppress(Missing, DeployError):
            self.require(("account",))
            return service_role(self.intent, self.observed, self.names)
        return self.names.service_role

    @property
    def variables(self) -> dict[str, str]:
        """What the container is told, keys aside."""
        told = variables(self.intent, ())
        return {name: str(value) for name, value in told.items()}

    @property
    def reference(self) -> str:
        """The image by its digest, or by one of zeros as long as it isn't built."""
        account = self.cloud.account.id if self.has_account else NOBODY
        own = f"{registry_host(self.intent.region, account)}/{self.names.repository}"
        digest = self._built.digest if self._built else _NO_DIGEST
        return f"{self.intent.image.repository.removesuffix(':latest') or own}@{digest}"

    @property
    def store(self) -> Store:
        return self.once("store", lambda: self._store or Store())

    @property
    def bundle(self) -> bytes:
        if self._bundle is not None:
            return self._bundle
        return self.once("bundle", lambda: make_bundle(self.intent, self.reference).content)

    @property
    def members(self) -> tuple[Member, ...]:
        """What stands in the bundle."""
        return self.once("members", lambda: members(self.bundle))

    @property
    def observed(self) -> Observed:
        def look() -> Observed:
            from onnxport.deploy.aws.observing import observe

            digest = self._built.digest if self._built else ""
            return observe(self.cloud, self.intent, digest=digest)

        return self.once("observed", look)

    @property
    def rehearsal(self) -> Rehearsal:
        from onnxport.deploy.preflight.rehearsal import rehearse

        return self.once("rehearsal", lambda: rehearse(self.model, self.intent))

    @property
    def trial(self) -> Trial:
        """The image, run by an engine: what `onnxport build --check` does."""

        def make() -> Trial:
            from onnxport.image.trial import lent, runnable, try_image

            image, engine, model = self.image, self.engine, self.model
            try:
                runnable(engine, [image.platform])
                with lent(engine, image) as identity:
                    return try_image(engine, identity, model, lambda _: None)
            except BuildError as err:  # the engine's: the image's faults stand in the results
                what, _, fix = str(err).rpartition("; ")
                raise Missing(_in_a_line(what or fix), fix if what else "") from err

        return self.once("trial", make)


def _in_a_line(words: str) -> str:
    """An engine's words: what was done, and the last causes of what it tells by colons."""
    if len(words) <= _LINE:
        return words
    doing, *causes = words.split(": ")
    told = causes.pop() if causes else ""
    while causes and len(f"{doing}: ... {causes[-1]}: {told}") <= _LINE:
        told = f"{causes.pop()}: {told}"
    return shorten(f"{doing}: ... {told}" if told else doing, _LINE)

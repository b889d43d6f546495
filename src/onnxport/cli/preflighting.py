"""`onnxport deploy --preflight`, and the same checks before a plan is applied: gathers what is there, and tells."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxport.cli.commands import FAILED, say
from onnxport.cli.intents import Told
from onnxport.cli.reporting import Reporter, reporting
from onnxport.errors import DeployError, OnnxportError, SettingsError, shorten

if TYPE_CHECKING:
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.observed import Observed
    from onnxport.deploy.preflight.finding import Finding, Outcome
    from onnxport.deploy.preflight.subject import Need, Subject
    from onnxport.image.engine import Engine
    from onnxport.image.order import Built

# What the plan tells by itself, with the plan beside it or with what a broken-off run has left in mind.
_OF_THE_PLAN = frozenset({"P46", "P47", "P53", "P54"})
_ALONE = "`onnxport deploy --preflight` has an engine try it"
_TOLD = 120  # characters of a warning before a plan
_OUTCOMES: tuple[Outcome, ...] = ("ok", "warning", "failed", "skipped")


def known_ids(given: Iterable[str]) -> frozenset[str]:
    """The ids of checks that a user names. Raises UsageError for one that is none."""
    if not given:
        return frozenset()
    from onnxport.deploy.preflight.table import CHECKS

    ids = frozenset(each.upper() for each in given)
    if unknown := sorted(ids - {check.id for check in CHECKS}):
        raise click.UsageError(
            f"there is no check {', '.join(unknown)}; `onnxport deploy --preflight` tells all by their ids"
        )
    return ids


def preflight(told: Told, *, as_json: bool, skipped: frozenset[str]) -> int:
    """Makes all checks with what is there: without credentials, a model or an engine, those that need none.

    skipped: ids of checks that may fail.
    """
    from onnxport.deploy.preflight import run

    with reporting() as reporter:
        subject, broken = _gather(told, reporter)
        found = run(subject, None if as_json else _Telling())
    faults = [one for one in found if one.outcome == "failed" and one.id not in skipped]
    passed = not broken and not faults
    if as_json:
        document = {"passed": passed, "findings": [one.to_json() for one in found]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        limits = _unseen(found) if passed else ""
        click.echo(f"preflight {'passed' if passed else 'failed'}: {_sums(found)}{limits}")
    if broken:
        say(broken)
    return 0 if passed else FAILED


class _Telling:
    """Tells findings as they come; why several are skipped is told with the first of them."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], str] = {}

    def __call__(self, one: Finding) -> None:
        head = f"{one.id}  {one.outcome:<7}  {one.title}"
        if one.outcome == "skipped":
            first = self._told.setdefault((one.looked_at, one.fix), one.id)
            if first != one.id:
                click.echo(f"{head}: as {first}")
                return
        click.echo(f"{head}: {one.looked_at}")
        if one.fix and one.outcome != "ok":
            click.echo(f"{'':14}-> {one.fix}")


def _sums(found: Sequence[Finding]) -> str:
    counts = Counter(one.outcome for one in found)
    plural = {"warning": "s" if counts["warning"] > 1 else ""}
    return ", ".join(
        f"{counts[name]} {name}{plural.get(name, '')}" for name in _OUTCOMES if counts[name]
    )


def _unseen(found: Sequence[Finding]) -> str:
    """What a preflight that passed must not be taken for."""
    why = dict.fromkeys(one.looked_at for one in found if one.lacks in ("model", "account"))
    return f"; only what could be looked at has passed: {', '.join(why)}" if why else ""


# ------------------------------------------------------------------------------------------------ what there is


def _gather(told: Told, reporter: Reporter) -> tuple[Subject, str]:
    """The subject, and why its image can't be built, or nothing."""
    from onnxport.deploy.preflight.subject import Subject

    reasons: dict[Need, str] = {}
    model = _model(told, reasons)
    built, broken = _built(told, model, reasons, reporter)
    subject = Subject(
        told.intent,
        told.folder,
        model=model,
        built=built,
        engine=_engine(reasons) if built else None,
        cloud=_cloud(told, reasons),
        reasons=reasons,
    )
    return subject, broken


def _model(told: Told, reasons: dict[Need, str]) -> Path | None:
    from onnxport.deploy.locating import find_model

    try:
        return find_model(told.intent, told.folder)
    except SettingsError as err:
        reasons["model"] = str(err)
        return None


def _built(
    told: Told, model: Path | None, reasons: dict[Need, str], reporter: Reporter
) -> tuple[Built | None, str]:
    from onnxport.deploy.images import prepare
    from onnxport.deploy.locating import find_base

    if model is None:
        reasons["image"] = "there is no model file to build it of; name one, as P01 says"
        return None, ""
    reporter.doing(f"building the image of {model.name}")
    try:
        base = find_base(told.intent, told.folder)
        return prepare(model, told.intent, reporter.say, base=base).built, ""
    except OnnxportError as err:
        reasons["image"] = "the image can't be built"
        return None, f"the image can't be built: {err}"


def _engine(reasons: dict[Need, str]) -> Engine | None:
    from onnxport.image.engine import find_engine

    try:
        return find_engine()
    except OnnxportError as err:
        reasons["engine"] = str(err)
        return None


def _cloud(told: Told, reasons: dict[Need, str]) -> Cloud | None:
    from onnxport.deploy.preflight.subject import WITHOUT_BOTO3

    try:
        from onnxport.deploy.aws.session import Cloud
    except ModuleNotFoundError:
        reasons["account"] = "; ".join(WITHOUT_BOTO3)
        return None
    try:
        return Cloud(told.intent.region)
    except DeployError as err:
        reasons["account"] = str(err)
        return None


# ------------------------------------------------------------------------------------------ before a plan is applied


def look_before(
    told: Told,
    *,
    model: Path,
    built: Built,
    cloud: Cloud,
    observed: Observed,
    reporter: Reporter,
    skipped: frozenset[str],
) -> None:
    """The same checks before anything is changed. Raises DeployError for the first that fails.

    skipped: ids of checks that may fail; that they do is told.
    """
    from onnxport.deploy.preflight import Subject, run

    reporter.doing("checking all that can be checked beforehand")
    subject = Subject(
        told.intent,
        told.folder,
        model=model,
        built=built,
        cloud=cloud,
        observed=observed,
        reasons={"engine": _ALONE},
    )
    found = run(subject)
    failed = [one for one in found if one.outcome == "failed" and one.id not in _OF_THE_PLAN]
    for one in failed:
        if one.id in skipped:
            say(f"warning: {one.id}, {one.title}, fails and is skipped: {one.looked_at}")
    faults = [one for one in failed if one.id not in skipped]
    if faults:
        first, *others = faults
        more = f" (and {', '.join(one.id for one in others)})" if others else ""
        instead = f"if the check is wrong, --skip {first.id}"
        raise DeployError(
            f"{first.id}, {first.title}: {first.looked_at}{more}",
            remedy=f"{first.fix}; {instead}" if first.fix else instead,
        )
    reporter.say(f"preflight: {_sums(found)}; `onnxport deploy --preflight` tells each")
    for one in found:
        if one.outcome == "warning":
            reporter.say(f"warning: {one.id}, {one.title}: {shorten(one.looked_at, _TOLD)}")

"""The command that takes a model file to AWS: what is wanted, the plan, the question, the deed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxport.cli import preflighting
from onnxport.cli.commands import Command, say
from onnxport.cli.files import JSON_OPTION
from onnxport.cli.intents import (
    FILE_OPTION,
    YES_OPTION,
    Told,
    confirm,
    intent_options,
    key_lines_of,
    read_told,
)
from onnxport.cli.plans import DRY_RUN, execute, show
from onnxport.cli.reporting import Reporter, reporting
from onnxport.errors import DeployError

if TYPE_CHECKING:
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.images import Prepared
    from onnxport.deploy.intent import Intent
    from onnxport.deploy.observed import Observed
    from onnxport.deploy.plan import BrokenOff, Plan
    from onnxport.deploy.wanted import Wanted


@click.command(cls=Command)
@click.argument("model_file", metavar="[MODEL]", required=False, type=click.Path(path_type=Path))
@click.option("--init", is_flag=True, help="Write onnxport.toml and an API key, and do no more.")
@click.option(
    "--export",
    type=click.Choice(["cloudformation"]),
    help="Print the intent as a template of another tool, and do no more.",
)
@click.option("--preflight", is_flag=True, help="Check all that can be checked, and do no more.")
@click.option(
    "--skip",
    multiple=True,
    metavar="ID",
    help="A check of the preflight that may fail, such as P41; can be given several times.",
)
@DRY_RUN
@YES_OPTION
@JSON_OPTION
@FILE_OPTION
@intent_options()
def deploy(
    model_file: Path | None,
    init: bool,
    export: str | None,
    preflight: bool,
    skip: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
    file: Path,
    **flags: Any,
) -> int:
    """Deploy a model file to AWS Elastic Beanstalk: for the first time, or its next version.

    Prints the plan first: what changes, which permissions that needs, and what it costs. What broke off is gone on
    with; what fails is taken back.
    """
    if init:
        return _init(file, model_file, flags)
    if model_file is not None:
        flags["model"] = str(model_file.resolve())
    told = read_told(file, flags)
    skipped = preflighting.known_ids(skip)
    if export:
        return _export(told)
    if preflight:
        return preflighting.preflight(told, as_json=as_json, skipped=skipped)
    with reporting() as reporter:
        case = _case(told, reporter)
        plan, complaint = _priced(_with_note_for_callers(case, _plan(case)), told.intent)
    show(plan, as_json=as_json, to_stdout=dry_run)
    if complaint:
        raise DeployError(complaint)
    if not plan.is_harmless:
        _look(case, skipped)
    if dry_run:
        return 0
    if not plan.is_harmless:
        confirm("Apply this plan?", yes=yes)
    with reporting() as reporter:
        _run(dataclasses.replace(case, reporter=reporter), plan)
    _tell_result(case, plan, as_json=as_json)
    return 0


def _init(file: Path, model_file: Path | None, flags: Mapping[str, Any]) -> int:
    from onnxport.deploy.intent import FILE_NAME
    from onnxport.deploy.starting import init

    if file.name != FILE_NAME:
        raise click.UsageError(
            f"--init writes {FILE_NAME}, not {file.name}; copy it under another name afterwards"
        )
    if model_file is not None:
        raise click.UsageError(
            "--init needs no model; leave it out, or name the file with --model, which is written down"
        )
    started = init(file.resolve().parent, flags)
    for name in started.made:
        click.echo(f"wrote {name}")
    for name in started.kept:
        click.echo(f"kept {name}, as it was")
    click.echo("next: look into onnxport.toml, then run `onnxport deploy --dry-run`")
    return 0


def _export(told: Told) -> int:
    """Without credentials: nothing of it depends on the account."""
    from onnxport.deploy.export import cloudformation
    from onnxport.deploy.names import names_of

    _, lines = key_lines_of(told)
    repository = names_of(told.intent, account="").repository
    click.echo(cloudformation(told.intent, key_lines=lines, repository=repository), nl=False)
    return 0


# ------------------------------------------------------------------------------------------------ what is wanted


@dataclass(frozen=True, slots=True)
class _Case:
    """One run of a command, and all that it knows."""

    told: Told
    reporter: Reporter
    cloud: Cloud
    model: Path
    key: str | None
    prepared: Prepared
    observed: Observed
    wanted: Wanted
    going_on: BrokenOff | None


def _case(told: Told, reporter: Reporter) -> _Case:
    """In the order of what is cheap to find wrong: files, credentials, image, account."""
    from onnxport.deploy.aws.observing import observe
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.images import prepare
    from onnxport.deploy.journal import broken_off, refuse_other_run
    from onnxport.deploy.locating import find_base, find_model
    from onnxport.deploy.wanted import put_together

    intent = told.intent
    refuse_other_run(told.state)
    model = find_model(intent, told.folder)
    key, lines = key_lines_of(told)
    cloud = Cloud(intent.region)
    account = cloud.account
    reporter.doing(f"building the image of {model.name}")
    prepared = prepare(model, intent, reporter.say, base=find_base(intent, told.folder))
    for warning in prepared.warnings:
        say(f"warning: {warning}")
    reporter.doing(f"looking at account {account.id}, {account.region}")
    observed = observe(cloud, intent, digest=prepared.facts.digest)
    wanted = put_together(
        intent, prepared.facts, observed, key_lines=lines, moment=datetime.now(UTC)
    )
    last = broken_off(told.state)
    return _Case(told, reporter, cloud, model, key, prepared, observed, wanted, last)


def _plan(case: _Case) -> Plan:
    from onnxport.deploy.planner import plan_deploy

    last = case.going_on
    if last:
        say(
            f"the last `onnxport {last.kind}` broke off at {last.step!r}; this run goes on from what is there"
        )
    return plan_deploy(case.wanted, case.observed, going_on=last)


def _with_note_for_callers(case: _Case, plan: Plan) -> Plan:
    """The plan, and what callers of the live model will notice of the new one."""
    from onnxport.deploy.golden import note_for_callers
    from onnxport.deploy.slots import find_slots
    from onnxport.deploy.traffic import url_of

    live = find_slots(case.wanted.names, case.observed).live
    if plan.is_harmless or live is None or not live.is_ready:
        return plan
    note = note_for_callers(url_of(live), case.model, case.key)
    return dataclasses.replace(plan, notes=(*plan.notes, note)) if note else plan


def _priced(plan: Plan, intent: Intent) -> tuple[Plan, str | None]:
    """The plan with what it costs, and a sentence where that is beyond the budget."""
    from onnxport.deploy.cost import estimate, over_budget

    told = estimate(intent)
    complaint = None if plan.is_harmless else over_budget(intent, told)
    return dataclasses.replace(plan, cost=told.to_json(), cost_lines=tuple(told.lines())), complaint


def _look(case: _Case, skipped: frozenset[str]) -> None:
    """Raises DeployError for what would fail later."""
    with reporting() as reporter:
        preflighting.look_before(
            case.told,
            model=case.model,
            built=case.prepared.built,
            cloud=case.cloud,
            observed=case.observed,
            reporter=reporter,
            skipped=skipped,
        )


# --------------------------------------------------------------------------------------------------------- doing it


def _run(case: _Case, plan: Plan) -> None:
    from onnxport.deploy.site import Site

    site = Site(
        cloud=case.cloud,
        names=case.wanted.names,
        live=case.observed.live,
        timeout=case.told.intent.longest_update,
        say=case.reporter.say,
        tell_event=case.reporter.event,
        model=case.model,
        api_key=case.key,
        prepared=case.prepared,
        bundle=case.wanted.bundle,
    )
    execute(case.told, plan, site, case.reporter, case.going_on)


def _tell_result(case: _Case, plan: Plan, *, as_json: bool) -> None:
    from onnxport.deploy.status import address

    url = address(case.told.intent, case.observed.live.full)
    image = case.wanted.image
    if as_json:
        result = {"url": url, "image": case.wanted.reference, "model_digest": image.model_digest}
        click.echo(json.dumps({"plan": plan.to_json(), "applied": True, **result}, indent=2))
        return
    click.echo(f"{image.model} {image.model_version} is live: {url}")
    click.echo(f"docs: {url}/docs")
    click.echo(f"check it: onnxport check {url} --model {case.model.name}{_key_hint(case.told)}")


def _key_hint(told: Told) -> str:
    return f" --api-key-file {told.intent.key_file}" if told.intent.auth == "keys" else ""

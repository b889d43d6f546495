"""The commands about a deployment on AWS: deploy, status, logs, rollback, destroy, open."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxport.cli import preflighting
from onnxport.cli.commands import FAILED, Command, say
from onnxport.cli.files import JSON_OPTION
from onnxport.cli.intents import (
    FILE_OPTION,
    YES_OPTION,
    Told,
    confirm,
    intent_options,
    key_lines_of,
    known_keys,
    of_all,
    read_told,
)
from onnxport.cli.reporting import Reporter, reporting
from onnxport.errors import DeployError

if TYPE_CHECKING:
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.images import Prepared
    from onnxport.deploy.intent import Intent
    from onnxport.deploy.observed import Observed
    from onnxport.deploy.plan import Plan
    from onnxport.deploy.wanted import Wanted

_DRY_RUN = click.option("--dry-run", is_flag=True, help="Print the plan, and change nothing.")


@click.command(cls=Command)
@click.argument("model_file", metavar="[MODEL]", required=False, type=click.Path(path_type=Path))
@click.option("--init", is_flag=True, help="Write onnxport.toml and an API key, and do no more.")
@click.option(
    "--export",
    type=click.Choice(["cloudformation"]),
    help="Print the intent as a template of another tool, and do no more.",
)
@click.option("--preflight", is_flag=True, help="Check all that can be checked, and do no more.")
@_DRY_RUN
@YES_OPTION
@JSON_OPTION
@FILE_OPTION
@intent_options()
def deploy(
    model_file: Path | None,
    init: bool,
    export: str | None,
    preflight: bool,
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
        return _init(file.resolve().parent)
    if model_file is not None:
        flags["model"] = str(model_file.resolve())
    told = read_told(file, flags)
    if export:
        return _export(told)
    if preflight:
        return preflighting.preflight(told, as_json=as_json)
    with reporting() as reporter:
        case = _case(told, reporter)
        plan, complaint = _priced(_plan(case), told.intent)
    _show(plan, as_json=as_json, to_stdout=dry_run)
    if complaint:
        raise DeployError(complaint)
    if not plan.is_harmless:
        _look(case)
    if dry_run:
        return 0
    if not plan.is_harmless:
        confirm("Apply this plan?", yes=yes)
    with reporting() as reporter:
        _run(dataclasses.replace(case, reporter=reporter), plan)
    _tell_result(case, plan, as_json=as_json)
    return 0


def _init(folder: Path) -> int:
    from onnxport.deploy.starting import init

    started = init(folder)
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


def _case(told: Told, reporter: Reporter) -> _Case:
    """In the order of what is cheap to find wrong: files, credentials, image, account."""
    from onnxport.deploy.aws.observing import observe
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.images import prepare
    from onnxport.deploy.locating import find_base, find_model
    from onnxport.deploy.wanted import put_together

    intent = told.intent
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
    return _Case(told, reporter, cloud, model, key, prepared, observed, wanted)


def _plan(case: _Case) -> Plan:
    from onnxport.deploy.journal import unfinished
    from onnxport.deploy.planner import plan_deploy

    broken_at = unfinished(case.told.state)
    if broken_at:
        say(f"the last run broke off at {broken_at!r}; this one goes on from what is there")
    return plan_deploy(case.wanted, case.observed, goes_on=broken_at is not None)


def _priced(plan: Plan, intent: Intent) -> tuple[Plan, str | None]:
    """The plan with what it costs, and a sentence where that is beyond the budget."""
    from onnxport.deploy.cost import estimate, over_budget

    told = estimate(intent)
    complaint = None if plan.is_harmless else over_budget(intent, told)
    return dataclasses.replace(plan, cost=told.to_json(), cost_lines=tuple(told.lines())), complaint


def _look(case: _Case) -> None:
    """Raises DeployError for what would fail later."""
    with reporting() as reporter:
        preflighting.look_before(
            case.told,
            model=case.model,
            built=case.prepared.built,
            cloud=case.cloud,
            observed=case.observed,
            reporter=reporter,
        )


def _show(plan: Plan, *, as_json: bool, to_stdout: bool) -> None:
    if as_json and to_stdout:
        click.echo(json.dumps({"plan": plan.to_json(), "applied": False}, indent=2))
    else:
        click.echo("\n".join(plan.lines()), err=as_json)


# --------------------------------------------------------------------------------------------------------- doing it


def _run(case: _Case, plan: Plan) -> None:
    from onnxport.deploy.actions import Site

    site = Site(
        cloud=case.cloud,
        names=case.wanted.names,
        live=case.observed.live,
        timeout=case.told.intent.update.timeout,
        say=case.reporter.say,
        tell_event=case.reporter.event,
        model=case.model,
        api_key=case.key,
        prepared=case.prepared,
        bundle=case.wanted.bundle,
    )
    _execute(case.told, plan, site, case.reporter)


def _execute(told: Told, plan: Plan, site: Any, reporter: Reporter) -> None:
    from onnxport.deploy.actions import actions_at
    from onnxport.deploy.executor import run
    from onnxport.deploy.journal import Journal

    with Journal(told.state, plan) as journal:
        try:
            run(plan, actions_at(site), journal, reporter.step)
        except KeyboardInterrupt:
            reporter.stop()
            say(
                f"interrupted; nothing is taken back. `onnxport {plan.kind}` goes on from here, "
                "`onnxport destroy` removes it all"
            )
            raise


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


# ----------------------------------------------------------------------------------------------------- going back


@click.command(cls=Command)
@click.option("--to", metavar="VERSION", help="The label of a version, else the one before.")
@_DRY_RUN
@YES_OPTION
@JSON_OPTION
@of_all
@intent_options("update.watch", "update.keep", "update.strategy")
def rollback(
    to: str | None, dry_run: bool, yes: bool, as_json: bool, file: Path, **flags: Any
) -> int:
    """Go back to the version before: swap back, or deploy it anew. Aborts an update that is going on."""
    from onnxport.deploy.aws.observing import observe
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.going_back import plan_rollback
    from onnxport.deploy.journal import unfinished
    from onnxport.deploy.names import names_of
    from onnxport.deploy.wanted import settings_of

    told = read_told(file, flags)
    key, lines = key_lines_of(told)
    cloud = Cloud(told.intent.region)
    names = names_of(told.intent, cloud.account.id)
    observed = observe(cloud, told.intent, tagged=True)
    plan = plan_rollback(
        told.intent,
        names,
        observed,
        settings_of(told.intent, names, observed, lines),
        moment=datetime.now(UTC),
        to=to,
        goes_on=unfinished(told.state) is not None,
    )
    _show(plan, as_json=as_json, to_stdout=dry_run)
    if dry_run:
        return 0
    confirm("Go back?", yes=yes)
    _run_without_image(told, cloud, observed, plan, key)
    if as_json:
        click.echo(json.dumps({"plan": plan.to_json(), "applied": True}, indent=2))
    else:
        click.echo(f"done: {plan.title}")
    return 0


def _run_without_image(
    told: Told, cloud: Cloud, observed: Observed, plan: Plan, key: str | None
) -> None:
    from onnxport.deploy.actions import Site
    from onnxport.deploy.names import names_of

    with reporting() as reporter:
        site = Site(
            cloud=cloud,
            names=names_of(told.intent, observed.account.id),
            live=observed.live,
            timeout=told.intent.update.timeout,
            say=reporter.say,
            tell_event=reporter.event,
            model=_model_if_here(told),
            api_key=key,
        )
        _execute(told, plan, site, reporter)


def _model_if_here(told: Told) -> Path | None:
    from onnxport.deploy.locating import find_model
    from onnxport.errors import SettingsError

    try:
        return find_model(told.intent, told.folder)
    except SettingsError:
        return None


@click.command(cls=Command)
@click.option("--images", is_flag=True, help="Remove the image repository too, with all images.")
@click.option("--purge", is_flag=True, help="Remove the logs in CloudWatch too.")
@_DRY_RUN
@YES_OPTION
@JSON_OPTION
@of_all
def destroy(
    images: bool, purge: bool, dry_run: bool, yes: bool, as_json: bool, file: Path, **flags: Any
) -> int:
    """Remove all that onnxport made for a deployment, known by its tags; then look again."""
    from onnxport.deploy.aws import logging
    from onnxport.deploy.aws.observing import observe
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.names import SLOTS, names_of
    from onnxport.deploy.takedown import Extent, leftovers, plan_destroy

    told = read_told(file, flags)
    cloud = Cloud(told.intent.region)
    names = names_of(told.intent, cloud.account.id)

    def look() -> tuple[Observed, Extent]:
        groups = [g for slot in SLOTS for g in logging.groups(cloud, names.log_groups(slot))]
        return observe(cloud, told.intent, tagged=True), Extent(images, purge, tuple(groups))

    observed, extent = look()
    plan = plan_destroy(told.intent, names, observed, extent)
    _show(plan, as_json=as_json, to_stdout=dry_run)
    if dry_run:
        return 0
    left: list[str] = []
    if plan.steps:
        confirm(f"This removes {told.intent.name} for good.", yes=yes, word=told.intent.name)
        _run_without_image(told, cloud, observed, plan, None)
        left = leftovers(told.intent, names, *look())
    if as_json:
        done = {"plan": plan.to_json(), "applied": True, "left": left}
        click.echo(json.dumps(done, indent=2))
    elif not left:
        click.echo(f"{told.intent.name} is gone" if plan.steps else plan.title)
    if left:
        say(f"still there: {', '.join(left)}; run `onnxport destroy` again in a few minutes")
        return FAILED
    return 0


# -------------------------------------------------------------------------------------------------------- looking


@click.command(cls=Command)
@JSON_OPTION
@of_all
def status(as_json: bool, file: Path, **flags: Any) -> int:
    """Show health and its causes, what is live, versions, and what differs from onnxport.toml.

    The exit code is 0 where the live environment is well.
    """
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.journal import unfinished
    from onnxport.deploy.status import read_status
    from onnxport.modelfile import read_model_file

    told = read_told(file, flags)
    _, lines = known_keys(told)
    model = _model_if_here(told)
    found = read_status(
        Cloud(told.intent.region),
        told.intent,
        key_lines=lines,
        model_digest=read_model_file(model).digest if model else "",
    )
    broken_at = unfinished(told.state)
    if as_json:
        click.echo(json.dumps({**found.to_json(), "unfinished": broken_at}, indent=2))
    else:
        click.echo("\n".join(found.lines()))
    if broken_at:
        say(f"the last run broke off at {broken_at!r}; `onnxport deploy` goes on from there")
    return 0 if found.is_well else FAILED


@click.command(cls=Command)
@click.option("--follow", "-f", is_flag=True, help="Go on with lines as they come, until Ctrl-C.")
@click.option("--since", metavar="TIME", help="Such as 10m, 2h, 1d, or 2026-01-31T12:00.")
@click.option("--tail", type=click.IntRange(min=1), help="The last so many lines alone.")
@click.option("--slot", type=click.Choice(["blue", "green"]), help="Not the live one, but this.")
@click.option("--diagnose", is_flag=True, help="Look for known troubles, and say what helps.")
@JSON_OPTION
@of_all
def logs(
    follow: bool,
    since: str | None,
    tail: int | None,
    slot: str | None,
    diagnose: bool,
    as_json: bool,
    file: Path,
    **flags: Any,
) -> int:
    """Print the server's logs from CloudWatch, or the last lines of its machines."""
    from onnxport.deploy import logs as reading
    from onnxport.deploy.aws.session import Cloud

    told = read_told(file, flags)
    moment = reading.parse_since(since) if since else None
    cloud = Cloud(told.intent.region)
    source = reading.find_source(cloud, told.intent, slot)
    if diagnose:
        return _tell_findings(reading.diagnose_environment(cloud, source), as_json=as_json)
    lines = reading.read_log(cloud, source, since=moment, tail=tail)
    _print_lines(lines, as_json=as_json)
    if follow:
        start = lines[-1].moment if lines else moment or datetime.now(UTC)
        printed = {line.id for line in lines}
        following = reading.follow_log(cloud, source, start)
        _print_lines((line for line in following if line.id not in printed), as_json=as_json)
    return 0


def _print_lines(lines: Iterable[Any], *, as_json: bool) -> None:
    for line in lines:
        if as_json:
            told = {"time": line.moment.isoformat(), "source": line.source, "text": line.text}
            click.echo(json.dumps(told, ensure_ascii=False))
        else:
            click.echo(f"{line.moment.astimezone():%Y-%m-%d %H:%M:%S} {line.source} {line.text}")


def _tell_findings(findings: list[Any], *, as_json: bool) -> int:
    if as_json:
        told = [
            {
                "name": one.signature.name,
                "meaning": one.signature.meaning,
                "remedy": one.signature.remedy,
                "line": one.line,
                "count": one.count,
            }
            for one in findings
        ]
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return 0
    for one in findings:
        click.echo(f"{one.signature.meaning} ({one.count} lines, such as: {one.line[:200]})")
        click.echo(f"  {one.signature.remedy}")
    if not findings:
        click.echo("no known trouble shows; read the lines with `onnxport logs --since 1h`")
    return 0


@click.command(cls=Command)
@click.option("--browser", is_flag=True, help="Open it in the browser, too.")
@of_all
def open(browser: bool, file: Path, **flags: Any) -> int:
    """Print the address of the live deployment's documentation page."""
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.logs import find_environment
    from onnxport.deploy.status import address

    told = read_told(file, flags)
    environment = find_environment(Cloud(told.intent.region), told.intent)
    url = f"{address(told.intent, environment.cname)}/docs"
    click.echo(url)
    if browser:
        click.launch(url)
    return 0

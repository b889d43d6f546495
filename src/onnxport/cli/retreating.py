"""The commands that take a deployment back, or away: rollback, destroy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxport.cli.commands import FAILED, Command, say
from onnxport.cli.files import JSON_OPTION
from onnxport.cli.intents import (
    YES_OPTION,
    Told,
    confirm,
    intent_options,
    key_lines_of,
    model_if_here,
    of_all,
    read_told,
)
from onnxport.cli.plans import DRY_RUN, execute, show
from onnxport.cli.reporting import reporting

if TYPE_CHECKING:
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.observed import Observed
    from onnxport.deploy.plan import BrokenOff, Plan


@click.command(cls=Command)
@click.option(
    "--to",
    metavar="VERSION",
    help="The label of a version, or its model's version; else the one before.",
)
@DRY_RUN
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
    from onnxport.deploy.journal import broken_off
    from onnxport.deploy.names import names_of
    from onnxport.deploy.status import address
    from onnxport.deploy.wanted import settings_of
    from onnxport.modelfile import read_model_file

    told = read_told(file, flags)
    model, last = model_if_here(told), broken_off(told.state)
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
        going_on=last,
        known_model=read_model_file(model).digest if model else "",
    )
    show(plan, as_json=as_json, to_stdout=dry_run)
    if dry_run:
        return 0
    confirm("Go back?", yes=yes)
    _run_without_image(told, cloud, observed, plan, key, last)
    url = address(told.intent, observed.live.full)
    if as_json:
        click.echo(json.dumps({"plan": plan.to_json(), "applied": True, "url": url}, indent=2))
    else:
        click.echo(f"done: {plan.title}; {url}")
    return 0


def _run_without_image(
    told: Told,
    cloud: Cloud,
    observed: Observed,
    plan: Plan,
    key: str | None,
    going_on: BrokenOff | None,
) -> None:
    from onnxport.deploy.names import names_of
    from onnxport.deploy.site import Site

    with reporting() as reporter:
        site = Site(
            cloud=cloud,
            names=names_of(told.intent, observed.account.id),
            live=observed.live,
            timeout=told.intent.longest_update,
            say=reporter.say,
            tell_event=reporter.event,
            model=model_if_here(told),
            api_key=key,
        )
        execute(told, plan, site, reporter, going_on)


@click.command(cls=Command)
@click.option("--images", is_flag=True, help="Remove the image repository too, with all images.")
@click.option("--purge", is_flag=True, help="Remove the logs in CloudWatch too.")
@DRY_RUN
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
    from onnxport.deploy.journal import broken_off
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
    show(plan, as_json=as_json, to_stdout=dry_run)
    if dry_run:
        return 0
    left: list[str] = []
    if plan.steps:
        confirm(f"This removes {told.intent.name} for good.", yes=yes, word=told.intent.name)
        _run_without_image(told, cloud, observed, plan, None, broken_off(told.state))
        left = leftovers(told.intent, names, *look())
    if as_json:
        done = {"plan": plan.to_json(), "applied": True, "left": left}
        click.echo(json.dumps(done, indent=2))
    elif not left and plan.steps:
        click.echo(f"{told.intent.name} is gone")
    if left:
        say(f"still there: {', '.join(left)}; run `onnxport destroy` again in a few minutes")
        return FAILED
    return 0

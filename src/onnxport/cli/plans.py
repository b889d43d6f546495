"""Plans on the command line: shown, and run with a journal."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from onnxport.cli.intents import Told
from onnxport.cli.reporting import Reporter

if TYPE_CHECKING:
    from onnxport.deploy.plan import BrokenOff, Plan
    from onnxport.deploy.site import Site

DRY_RUN = click.option("--dry-run", is_flag=True, help="Print the plan, and change nothing.")


def show(plan: Plan, *, as_json: bool, to_stdout: bool) -> None:
    """To stderr where stdout is for the result's JSON."""
    if as_json and to_stdout:
        click.echo(json.dumps({"plan": plan.to_json(), "applied": False}, indent=2))
    else:
        click.echo("\n".join(plan.lines()), err=as_json)


def execute(
    told: Told, plan: Plan, site: Site, reporter: Reporter, going_on: BrokenOff | None
) -> None:
    """Runs it. Raises what a step raised; Ctrl-C leaves what was done. going_on: the run that broke off before it."""
    from onnxport.deploy.actions import actions_at
    from onnxport.deploy.executor import run
    from onnxport.deploy.journal import Journal
    from onnxport.deploy.site import Unwritten

    if all(
        step.action == "abort" for step in plan.steps
    ):  # of a run that goes on, and writes the journal
        run(plan, actions_at(site), Unwritten(), reporter.step)
        return
    with Journal(told.state, plan, going_on) as journal:
        run(plan, actions_at(dataclasses.replace(site, notes=journal)), journal, reporter.step)

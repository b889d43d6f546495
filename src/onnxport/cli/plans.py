"""Plans on the command line: shown, and run with a journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from onnxport.cli.commands import say
from onnxport.cli.intents import Told
from onnxport.cli.reporting import Reporter

if TYPE_CHECKING:
    from onnxport.deploy.environments import Site
    from onnxport.deploy.plan import Plan

DRY_RUN = click.option("--dry-run", is_flag=True, help="Print the plan, and change nothing.")


def show(plan: Plan, *, as_json: bool, to_stdout: bool) -> None:
    """To stderr where stdout is for the result's JSON."""
    if as_json and to_stdout:
        click.echo(json.dumps({"plan": plan.to_json(), "applied": False}, indent=2))
    else:
        click.echo("\n".join(plan.lines()), err=as_json)


def execute(told: Told, plan: Plan, site: Site, reporter: Reporter) -> None:
    """Runs it. Raises what a step raised; Ctrl-C leaves what was done."""
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

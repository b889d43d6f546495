"""The commands that look at a deployment: status, logs, open."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from onnxport.cli.commands import FAILED, Command, say
from onnxport.cli.files import JSON_OPTION
from onnxport.cli.intents import known_keys, model_if_here, of_all, read_told
from onnxport.errors import DeployError


@click.command(cls=Command)
@JSON_OPTION
@of_all
def status(as_json: bool, file: Path, **flags: Any) -> int:
    """Show health and its causes, what is live, versions, and what differs from onnxport.toml.

    The exit code is 0 where the live environment is well.
    """
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.journal import broken_off
    from onnxport.deploy.status import read_status
    from onnxport.modelfile import read_model_file

    told = read_told(file, flags)
    _, lines = known_keys(told)
    model = model_if_here(told)
    found = read_status(
        Cloud(told.intent.region),
        told.intent,
        key_lines=lines,
        model_digest=read_model_file(model).digest if model else "",
    )
    last = broken_off(told.state)
    if as_json:
        click.echo(
            json.dumps({**found.to_json(), "unfinished": last.step if last else None}, indent=2)
        )
    else:
        click.echo("\n".join(found.lines()))
    if last:
        say(
            f"the last `onnxport {last.kind}` broke off at {last.step!r}; the same command goes on from there"
        )
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
    """Print the address of the live deployment's documentation page. Fails while the environment isn't Ready."""
    from onnxport.deploy.aws.session import Cloud
    from onnxport.deploy.logs import find_environment
    from onnxport.deploy.status import address

    told = read_told(file, flags)
    environment = find_environment(Cloud(told.intent.region), told.intent)
    if not environment.is_ready:
        raise DeployError(
            f"{environment.name} is {environment.status}, and what answers there isn't certain",
            remedy="wait until `onnxport status` says Ready, then run the same command again",
        )
    url = f"{address(told.intent, environment.cname)}/docs"
    click.echo(url)
    if browser:
        click.launch(url)
    return 0

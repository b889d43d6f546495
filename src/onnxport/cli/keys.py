"""The command that makes an API key."""

from __future__ import annotations

import json

import click

from onnxport.cli.commands import Command
from onnxport.cli.files import JSON_OPTION
from onnxport.keys import new_key
from onnxport.settings import ENV_PREFIX

_HASHES = f"{ENV_PREFIX}API_KEY_HASHES"


@click.command(cls=Command)
@click.option("--id", "name", help="What logs call the key; by default something random.")
@JSON_OPTION
def key(name: str | None, as_json: bool) -> None:
    """Make an API key, and the id:sha256 line by which a server knows it.

    The key is shown once and kept nowhere; the line is no secret. Several lines let several keys in, so that an old one
    works until its callers have the new one.
    """
    made = new_key(name)
    if as_json:
        told = {"id": made.id, "key": made.key, "sha256": made.sha256, "line": made.line}
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(
        f"key   {made.key}\n"
        "      for the caller alone, who sends it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY';\n"
        "      it is kept nowhere and can't be shown again\n"
        f"line  {made.line}\n"
        f"      for the server: into the file of its --api-key-file, or into {_HASHES}"
    )

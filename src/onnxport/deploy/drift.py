"""What settings are otherwise than they should be. Only those that we set are compared, and variables of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxport.deploy import server_settings
from onnxport.deploy.known_options import CALLED

_NUMBER = re.compile(r"(?:/|\bv)(\d+(?:\.\d+)+)\b")

Setting = Mapping[str, str]
Live = Mapping[tuple[str, str], str]

VARIABLES = "aws:elasticbeanstalk:application:environment"
_IN_ANY_ORDER = frozenset({"Subnets", "ELBSubnets"})  # told back in an order of their own
_WORD = re.compile(r"[^,\s]+")
_OUR_VARIABLES = "ONNXPORT_"
_FIXED = frozenset(
    {
        ("aws:ec2:instances", "SupportedArchitectures"),
        ("aws:elasticbeanstalk:environment", "LoadBalancerType"),
        ("aws:ec2:vpc", "VPCId"),
    }
)


@dataclass(frozen=True, slots=True)
class Drift:
    """changed: options with the values that they should have. former: those of them that have another, as it is.

    added: those that have none. extra: variables of ours that should be gone. fixed: names of changed options that
    can't change while an environment lives.
    """

    changed: tuple[Setting, ...]
    former: tuple[Setting, ...]
    added: tuple[Setting, ...]
    extra: tuple[Setting, ...]

    @property
    def is_any(self) -> bool:
        return bool(self.changed or self.extra)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(setting["OptionName"] for setting in (*self.changed, *self.extra)))

    @property
    def told(self) -> str:
        """A few of them, by the names of onnxport.toml where it has one."""
        names = sorted({called(_key(one)) for one in (*self.changed, *self.extra)})
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

    @property
    def fixed(self) -> tuple[str, ...]:
        keys = {(s["Namespace"], s["OptionName"]) for s in self.changed}
        return tuple(sorted(name for space, name in keys if (space, name) in _FIXED))


def drift(wanted: Sequence[Setting], live: Live) -> Drift:
    """What to change on an environment whose settings are `live`."""
    keys = {(s["Namespace"], s["OptionName"]) for s in wanted}
    changed = [s for s in wanted if not _is_same(s, live.get(_key(s)))]
    former = [{**s, "Value": live[_key(s)]} for s in changed if live.get(_key(s))]
    added = [_name(s) for s in changed if not live.get(_key(s))]
    extra = [
        {"Namespace": space, "OptionName": name}
        for space, name in sorted(live)
        if space == VARIABLES and name.startswith(_OUR_VARIABLES) and (space, name) not in keys
    ]
    return Drift(tuple(changed), tuple(former), tuple(added), tuple(extra))


def called(key: tuple[str, str]) -> str:
    """An option of Elastic Beanstalk as onnxport.toml names it, with AWS's name behind, or AWS's alone."""
    ours = CALLED.get(key) or server_settings.VARIABLES.get(key[1])
    return f"{ours} ({key[1]})" if ours else key[1]


def platform_number(platform: str) -> str:
    """The version of a platform, such as 4.10.1, in its ARN or in the name of its stack; else the whole text."""
    found = _NUMBER.search(platform)
    return found[1] if found else platform


def is_same_platform(one: str, other: str) -> bool:
    """By ARN or by name; where one is the one and one the other, by the version."""
    if one.startswith("arn:") == other.startswith("arn:"):
        return one == other
    return platform_number(one) == platform_number(other)


def _key(setting: Setting) -> tuple[str, str]:
    return setting["Namespace"], setting["OptionName"]


def _name(setting: Setting) -> dict[str, str]:
    return {k: v for k, v in setting.items() if k != "Value"}


def _is_same(setting: Setting, found: str | None) -> bool:
    """Documents by what they say, lists by their words, roles by their names: Beanstalk writes them its own way."""
    wanted = setting["Value"]
    if found is None:
        return wanted == ""
    if setting["OptionName"] in _IN_ANY_ORDER:
        return set(_WORD.findall(wanted)) == set(_WORD.findall(found))
    if wanted == found or wanted.replace(", ", ",") == found.replace(", ", ","):
        return True
    if found.startswith("arn:") and not wanted.startswith("arn:"):
        return found.endswith(f"/{wanted}")
    return wanted.startswith("{") and _document(wanted) == _document(found)


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

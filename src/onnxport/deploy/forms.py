"""The forms that values of `onnxport.toml` must have: a test for each, and the words that say what is wanted."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from onnxport.errors import BuildError
from onnxport.image.reference import parse_reference

MAX_TEXT = 1024  # far above any name, path or ARN


@dataclass(frozen=True, slots=True)
class Form:
    """test: whether a value of the right type is of the form. wanted: the form in words, after "must be"."""

    test: Callable[[Any], bool]
    wanted: str
    choices: tuple[str, ...] = ()


def pattern(expression: str, wanted: str, *, empty: bool = False) -> Form:
    compiled = re.compile(expression)
    words = f"empty, or {wanted}" if empty else wanted
    return Form(lambda v: (empty and v == "") or compiled.fullmatch(v) is not None, words)


def choice(*allowed: str) -> Form:
    return Form(lambda v: v in allowed, f"one of {', '.join(allowed)}", allowed)


def between(low: float, high: float, of_what: str) -> Form:
    return Form(lambda v: low <= v <= high, f"{of_what} from {low:,} to {high:,}")


def each(form: Form, wanted: str, *, least: int = 0, most: int = 16) -> Form:
    """A list of values of one form, none of them twice."""
    return Form(
        lambda v: (
            least <= len(v) <= most and len(set(v)) == len(v) and all(form.test(x) for x in v)
        ),
        wanted,
    )


def is_plain(text: str) -> bool:
    """Whether a text is short and has printable characters alone: no line breaks, no controls, no lone surrogates."""
    return len(text) <= MAX_TEXT and text.isprintable()


def near(word: str, known: Sequence[str]) -> str | None:
    """What was probably meant, or None."""
    folded = {name.lower().replace("_", "-"): name for name in known}
    wanted = word[:64].lower().replace("_", "-")
    found = difflib.get_close_matches(wanted, list(folded), n=1, cutoff=0.7)
    return folded[found[0]] if found else None


def suggestion(word: str, known: Sequence[str]) -> str:
    """The end of a complaint: what was probably meant, or nothing."""
    found = near(word, known)
    return f"; did you mean {found}?" if found else ""


def clean_name(text: str) -> str:
    """The nearest name that an application may have, or nothing."""
    ascii_only = re.sub(r"[^a-z0-9]+", "-", text[:200].lower()).strip("-0123456789")
    return ascii_only[:30].strip("-")


def _is_repository(text: str) -> bool:
    try:
        reference = parse_reference(text)
    except BuildError:
        return False
    return reference.digest is None and reference.tag in (None, "latest") and ":" not in text[-8:]


def _is_domain(text: str) -> bool:
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    is_name = re.fullmatch(rf"({label}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?", text) is not None
    return is_name and len(text) <= 253 and not text.endswith("elasticbeanstalk.com")


_REGION = (
    r"(us|eu|ap|sa|ca|me|af|il|mx|cn|us-gov)-"
    r"(north|south|east|west|central|northeast|northwest|southeast|southwest)-[1-9]"
)
_REGIONS = (
    *("af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
    *("ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3"),
    *("ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1"),
    *("eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1"),
    *("me-south-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"),
)  # for suggestions alone: there will be others

# One word of small letters: the environment's name adds "-green" and may have 40 characters; a repository's name has
# no two hyphens side by side.
NAME = pattern(
    r"(?=.{2,34}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*",
    "2 to 34 small letters, digits and single hyphens, the first a letter",
)
OPTIONAL_NAME = Form(lambda v: v == "" or NAME.test(v), f"empty, or {NAME.wanted}")
REGION = Form(
    lambda v: re.fullmatch(_REGION, v) is not None, "a region such as eu-central-1", _REGIONS
)
CNAME = pattern(
    r"(?=.{4,58}\Z)[a-z0-9]+(-+[a-z0-9]+)*",
    "4 to 58 small letters, digits and inner hyphens",
    empty=True,
)
INSTANCE_TYPE = pattern(r"[a-z][a-z0-9-]{0,15}\.[a-z0-9-]{2,16}", "a type such as t3.small")
INSTANCE_TYPES = each(INSTANCE_TYPE, "one or more different types such as t3.small", least=1)
VPC = pattern(r"vpc-[0-9a-f]{8,17}", "an id such as vpc-0a1b2c3d", empty=True)
SUBNETS = each(
    pattern(r"subnet-[0-9a-f]{8,17}", ""), "up to 16 different ids such as subnet-0a1b2c3d"
)
DOMAIN = Form(
    lambda v: v == "" or _is_domain(v),
    "empty, or a name of your own in small letters such as api.example.com",
)
CERTIFICATE = pattern(
    r"arn:aws(-cn|-us-gov)?:acm:[a-z0-9-]+:[0-9]{12}:certificate/[0-9a-f-]{36}",
    "the ARN of a certificate in ACM",
    empty=True,
)
ROLE = pattern(r"[A-Za-z0-9+=,.@_-]{1,64}", "the name of a role, without path or ARN", empty=True)
REPOSITORY = Form(
    lambda v: v == "" or _is_repository(v),
    "empty for ECR, or a repository without a tag such as docker.io/me/iris",
)
PATH = pattern(r"(/[A-Za-z0-9._~-]+)+/?|/", "a path such as /health/ready")
FILE = pattern(r"[^\0-\x1f\x7f]{1,1000}", "a path of 1 to 1,000 characters")
OPTIONAL_FILE = pattern(r"[^\0-\x1f\x7f]{1,1000}", "a path of 1 to 1,000 characters", empty=True)
RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653)
RETENTION = Form(
    lambda v: v in RETENTION_DAYS,
    f"a number of days that CloudWatch knows: {', '.join(map(str, RETENTION_DAYS))}",
)

"""How much memory instance types have, by their names alone, for when no account can be asked."""

from __future__ import annotations

import re

_GIB = 1 << 30
# https://docs.aws.amazon.com/ec2/latest/instancetypes: burstable types by their size, others by family and processors.
_BURSTABLE = {
    "nano": 0.5,
    "micro": 1,
    "small": 2,
    "medium": 4,
    "large": 8,
    "xlarge": 16,
    "2xlarge": 32,
}  # GiB
_PER_PROCESSOR = {"c": 2, "m": 4, "r": 8}  # GiB
_PROCESSORS = {"medium": 1, "large": 2, "xlarge": 4}
_TYPE = re.compile(r"([a-z])[5-9][a-z]*(?:-flex)?\.([a-z0-9]+)")
_MANY = re.compile(r"(\d{1,2})xlarge")


def memory_of(instance_type: str) -> int | None:
    """Bytes, or None for a type whose name doesn't tell."""
    if re.fullmatch(r"t[2-4][a-z]*\.[a-z0-9]+", instance_type):
        size = instance_type.partition(".")[2]
        return int(_BURSTABLE[size] * _GIB) if size in _BURSTABLE else None
    found = _TYPE.fullmatch(instance_type)
    if found is None or found[1] not in _PER_PROCESSOR:
        return None
    processors = _processors(found[2])
    return processors * _PER_PROCESSOR[found[1]] * _GIB if processors else None


def _processors(size: str) -> int:
    many = _MANY.fullmatch(size)
    return 4 * int(many[1]) if many else _PROCESSORS.get(size, 0)

"""Checks of the option settings, offline: P31, P32, P33."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnxport.deploy import known_options as known
from onnxport.deploy.agreement import conflicts
from onnxport.deploy.preflight.finding import Said, judged
from onnxport.deploy.preflight.subject import Subject

Settings = Mapping[tuple[str, str], str]

_FIX = "correct it in onnxport.toml; `onnxport deploy --init` shows all options"
# Set by Elastic Beanstalk or by Docker inside the container, or read by the image before our own settings.
_RESERVED = frozenset({"PATH", "HOME", "HOSTNAME", "PORT", "LD_LIBRARY_PATH", "PYTHONPATH"})
_RESERVED_HEADS = ("AWS_", "EB_", "RDS_")
_UNITS = {
    "CPUUtilization": "Percent",
    "Latency": "Seconds",
    "TargetResponseTime": "Seconds",
    "RequestCount": "Count",
    "NetworkIn": "Bytes",
    "NetworkOut": "Bytes",
}


def options_known(subject: Subject) -> Said:
    """P31"""
    faults = [one.told for one in conflicts(subject.intent)]
    if not faults:
        faults = [*known.faults(subject.settings)]
    count = 0 if faults else len(subject.settings)
    return judged(faults, f"{count} option settings, each known and in its range", _FIX)


def variables_fit(subject: Subject) -> Said:
    """P32"""
    keys, settings = subject.key_lines, subject.settings
    size = known.size_of_variables(settings)
    hashes = "the hash of 1 key" if len(keys) == 1 else f"the hashes of {len(keys)} keys"
    return judged(
        variable_faults(settings),
        f"the variables take {size:,} of {known.MAX_VARIABLES:,} bytes, with {hashes}",
        "give fewer keys in more_keys, or fewer settings in [server]",
    )


def variable_faults(settings: Settings) -> Iterator[str]:
    """Too many bytes, and names that mean something else to Elastic Beanstalk or the container."""
    size = known.size_of_variables(settings)
    if size > known.MAX_VARIABLES:
        yield f"the variables take {size:,} bytes, and {known.MAX_VARIABLES:,} are allowed"
    for space, name in settings:
        if space == known.VARIABLES and (name in _RESERVED or name.startswith(_RESERVED_HEADS)):
            yield f"the variable {name} is Elastic Beanstalk's or the container's own"


def values_agree(subject: Subject) -> Said:
    """P33"""
    return judged(
        value_faults(subject.settings),
        "retention, scaling and its bounds agree with each other",
        _FIX,
    )


def value_faults(settings: Settings) -> Iterator[str]:
    """Values that are each allowed, and wrong together."""
    days = settings.get((known.LOGS, "RetentionInDays"))
    if days is not None and not known.KNOWN[known.LOGS]["RetentionInDays"](days):
        yield f"CloudWatch keeps logs for no {days} days"
    measure, unit = (settings.get((known.TRIGGER, name)) for name in ("MeasureName", "Unit"))
    if measure in _UNITS and unit != _UNITS[measure]:
        yield f"{measure} is counted in {_UNITS[measure]}, not in {unit}"
    yield from _above(settings, known.GROUP, "MinSize", "MaxSize")
    yield from _above(settings, known.TRIGGER, "LowerThreshold", "UpperThreshold")


def _above(settings: Settings, space: str, low: str, high: str) -> Iterator[str]:
    least, most = settings.get((space, low), ""), settings.get((space, high), "")
    if least.isdecimal() and most.isdecimal() and int(least) > int(most):
        yield f"{low} {least} is above {high} {most}"

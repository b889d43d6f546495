"""Makes the checks of the table, one after the other, and tells each as it comes."""

from __future__ import annotations

from collections.abc import Callable

from onnxport.deploy.preflight.finding import Finding, Said, failed, skipped
from onnxport.deploy.preflight.subject import WITHOUT_BOTO3, Missing, Subject
from onnxport.deploy.preflight.table import CHECKS, Check
from onnxport.errors import DeployError, OnnxportError

Tell = Callable[[Finding], None]


def run(subject: Subject, tell: Tell | None = None) -> list[Finding]:
    """All findings, in the order of the table. tell: is told each as soon as it is there.

    Changes nothing anywhere. What can't be looked at is skipped, with the reason.
    """
    found = []
    for check in CHECKS:
        finding = look(check, subject)
        found.append(finding)
        if tell is not None:
            tell(finding)
    return found


def look(check: Check, subject: Subject) -> Finding:
    """One check of a subject."""
    said = _said(check, subject)
    return Finding(check.id, check.title, said.outcome, said.looked_at, said.fix, said.lacks)


def _said(check: Check, subject: Subject) -> Said:
    """Where AWS doesn't answer, the check can't be made; any other error is what it looks for."""
    try:
        subject.require(check.needs)
        return check.look(subject)
    except Missing as err:
        return skipped(err.why, err.fix, err.lacks)
    except ModuleNotFoundError as err:  # what asks AWS is imported where it is used
        if (err.name or "").partition(".")[0] not in ("boto3", "botocore"):
            raise
        return skipped(*WITHOUT_BOTO3, "account")
    except DeployError as err:
        return skipped(f"{err.step}: {err.what}" if err.step else err.what, err.remedy)
    except OnnxportError as err:
        what, _, fix = str(err).rpartition("; ")
        return failed(what or str(err), fix if what else "")

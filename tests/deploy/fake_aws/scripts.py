"""Failures on request: which there are, which are due, and how often."""

from __future__ import annotations

from dataclasses import dataclass

# What strikes a call, before Elastic Beanstalk or any other service sees it, or its answer.
OF_CALLS = {
    "throttling": "calls are answered with Throttling: Rate exceeded",
    "expired_credentials": "calls are answered with ExpiredToken, those of every service",
    "access_denied": "calls are answered with AccessDenied",
    "internal_error": "calls are answered with status 500",
    "connection_lost": "the connection is closed before the call is looked at",
    "answer_lost": "the call takes effect, and the connection is closed instead of its answer",
}
# What strikes an environment or the account.
OF_STATES = {
    "missing_instance_profile": "the instance profile doesn't exist at launch",
    "role_unknown": "CreateApplication and CreateEnvironment don't know a role that was just made",
    "image_not_found": "the instance finds no such image",
    "wrong_architecture": "the image is for another architecture than the instance",
    "bad_gateway": "the container listens on no port that nginx asks: 502",
    "health_404": "the health path answers 404",
    "quota": "the account has as many environments, versions and applications as it may",
    "swap_refused": "SwapEnvironmentCNAMEs finds an environment that isn't Ready",
    "ill_after_swap": "the environment that a swap gives the other's address turns red",
    "late_news": "for 30 seconds after a swap environments are described as they were before it",
    "launch_timeout": "the instance tells nothing until the time is up",
    "reverted_update": "an update of the configuration fails and is taken back",
    "security_group_left": "termination leaves the security group behind",
    "version_failed": "the processing of an application version fails",
}
FAILURES = {**OF_CALLS, **OF_STATES}
_ONCE = frozenset(OF_CALLS) | {"swap_refused", "role_unknown", "ill_after_swap", "late_news"}


@dataclass
class Script:
    """A failure to come. times: how often still; None is always. operation, environment: which alone, or ""."""

    fail: str
    times: int | None = None
    operation: str = ""
    environment: str = ""
    service: str = ""

    def fits(self, *, operation: str, environment: str, service: str) -> bool:
        return (
            self.operation in ("", operation)
            and self.environment in ("", environment)
            and self.service in ("", service)
        )


class Scripts:
    """Those that are due."""

    def __init__(self) -> None:
        self._due: list[Script] = []

    def add(self, script: Script) -> None:
        """A failure of calls strikes once unless it says how often; one of environments stays."""
        if script.times is None and script.fail in _ONCE:
            script.times = 1
        self._due.append(script)

    def clear(self) -> None:
        self._due.clear()

    def strikes(
        self, fail: str, *, operation: str = "", environment: str = "", service: str = ""
    ) -> bool:
        """Whether this failure happens now; counts it."""
        for script in self._due:
            is_due = script.fail == fail and script.times != 0
            if is_due and script.fits(
                operation=operation, environment=environment, service=service
            ):
                if script.times is not None:
                    script.times -= 1
                return True
        return False

"""The fake from outside, as tests hold it: a process, its address, its control."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.deploy.fake_aws import children

REGION = "eu-central-1"
_ROOT = Path(__file__).resolve().parents[3]


class FakeAws:
    """Runs from `with` to its end. folder: for the registry's files. rate: its seconds for each of ours.

    live: each environment runs its image's model behind nginx, and its CNAME is 127.0.0.1:port.
    """

    def __init__(self, folder: Path, rate: float = 100.0, *, live: bool = False) -> None:
        self.log: list[str] = []
        self.folder = folder
        command = [sys.executable, "-m", "tests.deploy.fake_aws", str(folder), "0", str(rate)]
        command += ["live"] if live else []
        self._process = subprocess.Popen(
            children.tied(command),
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"fake AWS on (\S+) registry (\S+)", line)
        if found is None:
            self.close()
            raise AssertionError("fake AWS didn't start:\n" + "".join(self.log))
        self.url, self.registry = found[1], "" if found[2] == "none" else found[2]

    def _read(self) -> None:
        assert self._process.stderr is not None
        self.log.extend(self._process.stderr)

    @property
    def env(self) -> dict[str, str]:
        """The variables that lead boto3, and whatever uses it, here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAFAKEFAKEFAKEFAKE",
            "AWS_SECRET_ACCESS_KEY": "none-that-opens-anything",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def script(self, fail: str, **how: Any) -> None:
        """A failure to come: its name, and times, operation, environment or service, if not all."""
        self.control("script", {"fail": fail, **how})

    def calls(self, service: str = "") -> list[dict[str, Any]]:
        """What came since the last reset: service, operation, region, parameters, status, error."""
        found: list[dict[str, Any]] = self.control("calls")
        return [one for one in found if service in ("", one["service"])]

    def advance(self, seconds: float) -> None:
        self.control("advance", {"seconds": seconds})

    def rate(self, seconds: float) -> None:
        """Its seconds for each of ours from now on; 0 stops its clock."""
        self.control("clock", {"rate": seconds})

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.control("state")
        return found

    def reset(self, **how: Any) -> None:
        self.control("reset", how)

    def control(self, name: str, given: dict[str, Any] | None = None) -> Any:
        """Raises AssertionError with what the fake says of a request that it doesn't take."""
        request = urllib.request.Request(
            f"{self.url}/onnxport-fake/{name}",
            data=None if given is None else json.dumps(given).encode(),
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as err:
            with err:
                raise AssertionError(err.read().decode()) from None

    def close(self) -> None:
        children.stop(self._process)
        self._reader.join(timeout=5)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

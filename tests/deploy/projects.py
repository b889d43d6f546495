"""A user's folder with a model file and an onnxport.toml, the commands run in it, and what is in the account then."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

import onnxport
from tests.deploy.fake_aws.process import REGION, FakeAws

_TOML = """\
app = "iris"
region = "{region}"
budget = 50.0

[image]
base = "{base}"

[update]
watch = 1
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def told(self) -> dict[str, Any]:
        """What `--json` prints."""
        document = json.loads(self.stdout)
        assert isinstance(document, dict)
        return document

    @property
    def sentence(self) -> str:
        """The last message that is ours."""
        assert "Traceback" not in self.stderr, self.stderr
        return [line for line in self.stderr.splitlines() if line.startswith("onnxport: ")][-1]


class Project:
    """A folder. models: files by version."""

    def __init__(self, folder: Path, aws: FakeAws, models: dict[str, Path], base: Path) -> None:
        self.folder, self.aws, self._models = folder, aws, models
        self.cache = base.parent / "image-cache"  # that of the tests of images, too
        self.toml = folder / "onnxport.toml"
        self.toml.write_text(_TOML.format(region=REGION, base=base))
        self._base = base
        self.use("1.0")
        assert self.run("deploy", "--init").code == 0

    def use(self, version: str) -> None:
        """Takes another version of the model."""
        (self.folder / "iris.onnx").write_bytes(self._models[version].read_bytes())

    def copy(self, folder: Path) -> Project:
        """The same intent and key in another folder, as on another machine."""
        folder.mkdir()
        shutil.copy(self.folder / "onnxport.key", folder)
        made = Project(folder, self.aws, self._models, self._base)
        shutil.copy(self.toml, folder)
        return made

    def configure(self, text: str) -> None:
        """More lines at the end of onnxport.toml."""
        self.toml.write_text(self.toml.read_text() + text)

    @property
    def key(self) -> str:
        return (self.folder / "onnxport.key").read_text().strip()

    def run(self, *words: str, env: dict[str, str] | None = None) -> Done:
        """Runs `onnxport` here, with the fake's credentials."""
        process = self.start(*words, env=env)
        out, err = process.communicate(timeout=120)
        return Done(process.returncode, out, err)

    def start(self, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "onnxport", *words],
            cwd=self.folder,
            env={
                **os.environ,
                "XDG_CACHE_HOME": str(self.cache),
                **self.aws.env,
                **(env or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a shell's background jobs ignore it, and what they start inherits that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def deploy(self, *words: str) -> dict[str, Any]:
        """Deploys, and gives what `--json` prints."""
        done = self.run("deploy", "--yes", "--json", *words)
        assert done.code == 0, done.stderr
        return done.told

    def stop_at(self, pattern: str, *words: str, with_signal: int = signal.SIGKILL) -> Done | None:
        """Runs a command, and ends it when a line of stderr fits; None where none did and it came to its end."""
        process = self.start(*words)
        assert process.stderr is not None
        lines = []
        hit = False
        for line in process.stderr:
            lines.append(line)
            if not hit and re.search(pattern, line):
                hit = True
                process.send_signal(with_signal)
        assert process.stdout is not None
        out = process.stdout.read()
        process.wait(timeout=60)
        for pipe in (process.stdout, process.stderr):
            pipe.close()
        done = Done(process.returncode, out, "".join(lines))
        if not hit:
            assert done.code == 0, done.stderr
        return done if hit else None

    def client(self, url: str) -> onnxport.Client:
        return onnxport.Client(url, api_key=self.key)

    def served(self, url: str) -> str:
        """The version of the model behind an address."""
        with self.client(url) as client:
            return str(client.model()["version"])


class Account:
    """What is in the fake's account, looked at by boto3 itself."""

    def __init__(self, aws: FakeAws) -> None:
        self.aws = aws
        self._session = boto3.Session(
            aws_access_key_id="look", aws_secret_access_key="look", region_name=REGION
        )

    def client(self, service: str) -> Any:
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        return self._session.client(  # type: ignore[call-overload]
            service, endpoint_url=self.aws.url, config=config
        )

    def environments(self) -> dict[str, dict[str, Any]]:
        with self._closing("elasticbeanstalk") as eb:
            found = eb.describe_environments(IncludeDeleted=False)["Environments"]
        return {one["EnvironmentName"]: one for one in found}

    def wait_for(self, name: str, status: str) -> None:
        """Until an environment is Ready, Updating, ..."""
        deadline = time.monotonic() + 60
        while (found := self.environments()[name]["Status"]) != status:
            assert time.monotonic() < deadline, f"{name} is still {found}"
            time.sleep(0.2)

    def settings(self, name: str) -> dict[str, str]:
        """The option settings of an environment of iris, by name."""
        with self._closing("elasticbeanstalk") as eb:
            said = eb.describe_configuration_settings(ApplicationName="iris", EnvironmentName=name)
        options = said["ConfigurationSettings"][0]["OptionSettings"]
        return {one["OptionName"]: one.get("Value", "") for one in options}

    def versions(self) -> list[str]:
        """Labels, the newest first."""
        with self._closing("elasticbeanstalk") as eb:
            found = eb.describe_application_versions()["ApplicationVersions"]
        return [one["VersionLabel"] for one in found]

    def inventory(self) -> dict[str, list[str]]:
        """The names of all that a deployment may make."""
        with self._closing("elasticbeanstalk") as eb:
            applications = eb.describe_applications()["Applications"]
        with self._closing("ecr") as ecr:
            repositories = ecr.describe_repositories()["repositories"]
        with self._closing("iam") as iam:
            roles = iam.list_roles()["Roles"]
            profiles = iam.list_instance_profiles()["InstanceProfiles"]
        return {
            "applications": sorted(one["ApplicationName"] for one in applications),
            "environments": sorted(self.environments()),
            "versions": self.versions(),
            "repositories": sorted(one["repositoryName"] for one in repositories),
            "roles": sorted(one["RoleName"] for one in roles),
            "profiles": sorted(one["InstanceProfileName"] for one in profiles),
            "objects": self.objects(),
        }

    def objects(self) -> list[str]:
        """The keys of all that stands in buckets, but for the logs that Elastic Beanstalk puts there when asked."""
        keys: list[str] = []
        with self._closing("s3") as s3:
            for bucket in s3.list_buckets()["Buckets"]:
                listed = s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", [])
                keys += [one["Key"] for one in listed]
        return sorted(key for key in keys if not key.startswith("resources/environments/logs/"))

    @contextmanager
    def _closing(self, service: str) -> Iterator[Any]:
        client = self.client(service)
        try:
            yield client
        finally:
            client.close()


EMPTY: dict[str, list[str]] = {
    "applications": [],
    "environments": [],
    "versions": [],
    "repositories": [],
    "roles": [],
    "profiles": [],
    "objects": [],
}

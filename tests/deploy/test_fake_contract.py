"""The fake held to botocore: each of its official examples is taken, and answered with what the example shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.exceptions import ClientError

from tests.deploy.account import client, profile
from tests.deploy.fake_aws.process import FakeAws

STACK = "64bit Amazon Linux 2015.03 v2.0.0 running Tomcat 8 Java 8"
_FILE = "data/elasticbeanstalk/2010-12-01/examples-1.json"
_EXAMPLES = json.loads((Path(botocore.__file__).parent / _FILE).read_text("utf-8"))["examples"]
EXAMPLES = [
    pytest.param(operation, example, id=f"{operation}-{number}")
    for operation, examples in _EXAMPLES.items()
    for number, example in enumerate(examples)
]
# What must be there before the example's own call: its story so far.
_BEFORE: dict[str, tuple[str, ...]] = {
    "AbortEnvironmentUpdate": ("environment", "updating"),
    "CreateConfigurationTemplate": ("environment",),
    "CreateEnvironment": ("versions",),
    "CreateApplicationVersion": ("bundle",),
    "DeleteApplication": ("versions",),
    "DescribeApplications": ("versions",),
    "DeleteApplicationVersion": ("versions",),
    "DeleteConfigurationTemplate": ("versions", "template"),
    "DescribeApplicationVersions": ("versions",),
    "SwapEnvironmentCNAMEs": ("pair",),
    "RetrieveEnvironmentInfo": ("environment", "asked"),
    "UpdateApplication": ("versions",),
    "UpdateApplicationVersion": ("versions",),
    "UpdateConfigurationTemplate": ("versions", "template"),
}
_NOTHING = frozenset(
    {
        "CheckDNSAvailability",
        "CreateApplication",
        "CreateStorageLocation",
        "ListAvailableSolutionStacks",
    }
)


@pytest.fixture
def eb(fake_aws: FakeAws) -> Any:
    """A client as users have one."""
    return client(fake_aws, "elasticbeanstalk")


class Story:
    """What examples take for granted."""

    def __init__(self, fake: FakeAws, eb: Any) -> None:
        self.fake, self.eb = fake, eb
        fake.control("used", {"stack": STACK})

    def tell(self, *parts: str) -> None:
        for part in parts:
            getattr(self, part)()

    def bundle(self) -> None:
        s3 = client(self.fake, "s3")
        where = {"LocationConstraint": "eu-central-1"}
        s3.create_bucket(Bucket="my-bucket", CreateBucketConfiguration=where)
        s3.put_object(Bucket="my-bucket", Key="sample.war", Body=b"a war file")

    def versions(self) -> None:
        self.bundle()
        self.eb.create_application(ApplicationName="my-app", Description="as in the examples")
        labels = ("v1", "v2", "22a0-stage-150819_182129", "22a0-stage-150819_185942")
        for label in labels:
            self.eb.create_application_version(
                ApplicationName="my-app",
                VersionLabel=label,
                Description="as in the examples",
                SourceBundle={"S3Bucket": "my-bucket", "S3Key": "sample.war"},
                Process=True,
            )

    def environment(self) -> None:
        self.versions()
        profile(self.fake, "web")
        self._create("my-env")
        self.fake.advance(400)

    def pair(self) -> None:
        self.versions()
        profile(self.fake, "web")
        self._create("my-env-blue")
        self._create("my-env-green")
        self.fake.advance(400)

    def _create(self, name: str) -> None:
        self.eb.create_environment(
            ApplicationName="my-app",
            EnvironmentName=name,
            VersionLabel="v1",
            SolutionStackName=STACK,
            OptionSettings=[
                {
                    "Namespace": "aws:autoscaling:launchconfiguration",
                    "OptionName": "IamInstanceProfile",
                    "Value": "web",
                }
            ],
        )

    def updating(self) -> None:
        self.fake.rate(0)
        self.eb.update_environment(EnvironmentName="my-env", VersionLabel="v2")

    def asked(self) -> None:
        self.eb.request_environment_info(EnvironmentName="my-env", InfoType="tail")
        self.fake.advance(60)

    def template(self) -> None:
        self.eb.create_configuration_template(
            ApplicationName="my-app", TemplateName="my-template", SolutionStackName=STACK
        )


def _call(eb: Any, operation: str) -> Callable[..., dict[str, Any]]:
    names = {api: method for method, api in eb.meta.method_to_api_mapping.items()}
    found: Callable[..., dict[str, Any]] = getattr(eb, names[operation])
    return found


def _input(eb: Any, example: dict[str, Any]) -> dict[str, Any]:
    """The example's, with the id that our environment really has."""
    given: dict[str, Any] = dict(example.get("input", {}))
    if "EnvironmentId" in given:
        given["EnvironmentId"] = eb.describe_environments()["Environments"][0]["EnvironmentId"]
    return given


def missing(example: Any, answer: Any, where: str = "") -> Iterator[str]:
    """Where the answer lacks a key of the example; of a list, one item must have what all of the example's have."""
    if isinstance(example, dict):
        for key, inner in example.items():
            place = f"{where}.{key}"
            if not isinstance(answer, dict) or key not in answer:
                yield place
            else:
                yield from missing(inner, answer[key], place)
    elif isinstance(example, list) and example:
        if not answer:
            yield f"{where} is empty"
        elif isinstance(example[0], dict):
            shared = set.intersection(*(set(item) for item in example))
            wanted = {key: example[0][key] for key in shared}
            yield from min((list(missing(wanted, item, f"{where}[]")) for item in answer), key=len)


@pytest.mark.parametrize(("operation", "example"), EXAMPLES)
def test_an_official_example_is_taken_and_answered(
    fake_aws: FakeAws, eb: Any, operation: str, example: dict[str, Any]
) -> None:
    before = _BEFORE.get(operation, () if operation in _NOTHING else ("environment",))
    Story(fake_aws, eb).tell(*before)
    answer = _call(eb, operation)(**_input(eb, example))
    assert list(missing(example.get("output", {}), answer)) == []


def test_all_examples_are_replayed() -> None:
    assert len(EXAMPLES) == 33


def test_a_key_that_lacks_is_found() -> None:
    example = {"Events": [{"Message": "a", "RequestId": "b"}, {"Message": "c"}]}
    assert list(missing(example, {"Events": [{"RequestId": "b"}]})) == [".Events[].Message"]
    assert list(missing(example, {"Events": []})) == [".Events is empty"]


_LONG = [
    ("create_application", {"ApplicationName": "a" * 101}, "at 'applicationName'", "to 100"),
    ("check_dns_availability", {"CNAMEPrefix": "a" * 64}, "at 'cNAMEPrefix'", "to 63"),
    ("describe_events", {"Severity": "LOUD"}, "at 'severity'", "enum value set"),
    ("describe_events", {"MaxRecords": 1001}, "at 'maxRecords'", "to 1000"),
    (
        "request_environment_info",
        {"EnvironmentName": "iris", "InfoType": "all"},
        "at 'infoType'",
        "[tail, bundle, analyze]",
    ),
    (
        "create_environment",
        {"ApplicationName": "iris", "EnvironmentName": "a" * 41, "Description": "d" * 201},
        "2 validation errors",
        "to 200",
    ),
]


@pytest.mark.parametrize(("method", "given", "where", "rule"), _LONG)
def test_what_botocore_lets_pass_is_held_to_the_model(
    eb: Any, method: str, given: dict[str, Any], where: str, rule: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(eb, method)(**given)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert where in str(caught.value)
    assert rule in str(caught.value)


def test_a_missing_parameter_is_named(fake_aws: FakeAws) -> None:
    unchecked = client(fake_aws, "elasticbeanstalk", parameter_validation=False)
    with pytest.raises(ClientError, match=r"'applicationName'.*must not be null"):
        unchecked.create_application()


def test_each_event_keeps_the_request_id_of_its_own_call(fake_aws: FakeAws, eb: Any) -> None:
    Story(fake_aws, eb).environment()
    update = eb.update_environment(EnvironmentName="my-env", VersionLabel="v2")
    fake_aws.advance(200)
    answer = eb.describe_events(EnvironmentName="my-env")
    ids = {event["RequestId"] for event in answer["Events"]}
    assert len(ids) == 2
    asked = update["ResponseMetadata"]["RequestId"]
    own = eb.describe_events(RequestId=asked)["Events"]
    assert [event["Message"] for event in own][-1] == "Environment update is starting."
    assert answer["ResponseMetadata"]["RequestId"] not in ids

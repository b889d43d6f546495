"""The fake with instances: what is deployed answers, through nginx, under a name that a swap leads elsewhere."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import onnxport
from tests import programs
from tests.deploy.account import Account, client, push, zipped
from tests.deploy.fake_aws.process import FakeAws

LIMITS = "client_max_body_size 1k;\n"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAws]:
    programs.program("docker-registry")
    programs.program("nginx")
    with FakeAws(tmp_path_factory.mktemp("live"), live=True) as fake:
        yield fake


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A layer as images have it, with a model of iris."""
    path = tmp_path_factory.mktemp("model") / "iris.onnx"
    X, y = load_iris(return_X_y=True)
    onnxport.save(DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, y), path, X)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(path, "app/model/iris.onnx")
    return gzip.compress(content.getvalue())


@pytest.fixture
def account(live: FakeAws, layer: bytes) -> Iterator[Account]:
    """Version v1 serves the model, v2 takes small bodies alone, and v3 is an image without a model."""
    live.reset(rate=0)
    account = Account(live)
    client(live, "ecr").create_repository(repositoryName="iris")
    good = f"{live.registry}/iris@{push(live, 'iris', layer=layer)}"
    bad = f"{live.registry}/iris@{push(live, 'iris')}"
    account.version("v1", _bundle(good, ""))
    account.version("v2", _bundle(good, LIMITS))
    account.version("v3", _bundle(bad, ""))
    account.version("v4", _bundle(good, "client_max_body_size a lot;\n"))
    yield account
    live.reset()


def _bundle(image: str, limits: str) -> bytes:
    document = {
        "AWSEBDockerrunVersion": "1",
        "Image": {"Name": image, "Update": "true"},
        "Ports": [{"ContainerPort": "8080"}],
    }
    files = {"Dockerrun.aws.json": json.dumps(document)}
    return zipped(files | ({".platform/nginx/conf.d/zz.conf": limits} if limits else {}))


def status(url: str, body: bytes | None = None) -> int:
    """The HTTP status, or 0 where nobody answers."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as err:
        err.close()
        return err.code
    except OSError:
        return 0


def test_what_is_deployed_answers_until_it_is_terminated(account: Account) -> None:
    seen = account.launch("iris-blue", "v1", CNAMEPrefix="iris")
    assert (seen["Health"], seen["CNAME"].partition(":")[0]) == ("Green", "127.0.0.1")
    taken = account.eb.check_dns_availability(CNAMEPrefix="iris")
    assert taken["FullyQualifiedCNAME"] == seen["CNAME"]
    rows = json.dumps({"rows": [[5.1, 3.5, 1.4, 0.2]]}).encode()
    for place in (seen["CNAME"], seen["EndpointURL"]):
        assert status(f"http://{place}/health/ready") == 200
        assert status(f"http://{place}/predict", rows) in (200, 422)
    account.eb.terminate_environment(EnvironmentName="iris-blue")
    account.fake.advance(300)
    assert status(f"http://{seen['CNAME']}/health/ready") == 0


def test_a_swap_leads_names_to_the_other_instances(account: Account) -> None:
    blue = account.launch("iris-blue", "v1", CNAMEPrefix="iris")
    green = account.launch("iris-green", "v2", CNAMEPrefix="iris-idle")
    large = json.dumps({"rows": ["x" * 2000]}).encode()

    def large_bodies() -> tuple[bool, bool]:
        """Whether each name's nginx lets them through."""
        places = (f"http://{one['CNAME']}/predict" for one in (blue, green))
        first, second = (status(place, large) != 413 for place in places)
        return first, second

    assert large_bodies() == (True, False)
    account.eb.swap_environment_cnames(
        SourceEnvironmentName="iris-blue", DestinationEnvironmentName="iris-green"
    )
    account.fake.advance(10)
    assert large_bodies() == (False, True)


def test_variables_reach_the_container(account: Account) -> None:
    from tests.deploy.account import SINGLE, setting

    only = setting("aws:elasticbeanstalk:application:environment", "ONNXPORT_HOSTS", "example.org")
    seen = account.launch("iris-blue", "v1", options=[*SINGLE, only])
    assert seen["Health"] == "Red"  # Beanstalk asks by another name
    assert status(f"http://{seen['CNAME']}/predict") in (400, 421)


@pytest.mark.parametrize(
    ("label", "said"),
    [("v3", "holds no model"), ("v4", "nginx configuration test failed: nginx: [emerg]")],
)
def test_what_cannot_run_is_told_with_its_own_words(
    account: Account, label: str, said: str
) -> None:
    assert account.launch("iris-blue", label)["Health"] == "Red"
    assert any(said in message for message in account.told("iris-blue", "ERROR"))


def test_its_log_is_the_containers(account: Account) -> None:
    account.launch("iris-blue", "v1")
    account.eb.request_environment_info(EnvironmentName="iris-blue", InfoType="tail")
    account.fake.advance(10)
    link = account.eb.retrieve_environment_info(EnvironmentName="iris-blue", InfoType="tail")
    with urllib.request.urlopen(link["EnvironmentInfo"][0]["Message"], timeout=10) as answer:
        assert "listening on http://127.0.0.1:" in answer.read().decode()


def test_nothing_is_left_running(live: FakeAws, account: Account) -> None:
    seen = account.launch("iris-blue", "v1")
    endpoint = f"http://{seen['EndpointURL']}/health/ready"
    assert status(endpoint) == 200
    live.reset()
    assert status(endpoint) == 0
    assert not Path(live.folder, "instances").exists()

"""A version on its way to an instance: what an instance would find wrong with it, and what it says then."""

from __future__ import annotations

from moto.ec2.models import ec2_backends
from moto.ecr.models import ecr_backends

from tests.deploy.fake_aws import bundles, policies
from tests.deploy.fake_aws.images import Manifest, Registry
from tests.deploy.fake_aws.state import Cloud, Environment, Fault, Order

_PULL = ("ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64", "amd64": "amd64"}
_BALANCER_PATH = ("aws:elasticbeanstalk:environment:process:default", "HealthCheckPath")
_SINGLE_PATH = ("aws:elasticbeanstalk:application", "Application Healthcheck URL")


def examine(cloud: Cloud, environment: Environment, registry: Registry | None) -> Fault | None:
    """What happens to the environment's version on its instance; None is well."""
    application = cloud.applications.get(environment.application)
    version = application.versions.get(environment.version) if application else None
    if version is None or "Docker" not in environment.platform:
        return None
    content = bundles.stored(cloud.account, version.bucket, version.key)
    if content is None:
        return Fault("Failed to download the source bundle: The specified key does not exist.")
    try:
        bundle = bundles.read(content)
    except bundles.BundleFault as err:
        return Fault(str(err))
    if not bundle.image:
        return None  # a Dockerfile: nobody builds here
    order = Order(
        bundle.image,
        bundle.port,
        environment.variables,
        environment.option(*_path_of(environment), default="/"),
        bundle.snippets,
    )
    return _pull(cloud, environment, order, registry) or _run(cloud, environment, order)


def _path_of(environment: Environment) -> tuple[str, str]:
    return _SINGLE_PATH if environment.is_single else _BALANCER_PATH


def _pull(
    cloud: Cloud, environment: Environment, order: Order, registry: Registry | None
) -> Fault | None:
    image = order.image
    if cloud.scripts.strikes("image_not_found", environment=environment.name):
        return Fault(f"Failed to pull Docker image {image}: manifest for {image} not found")
    is_ours = registry is not None and image.startswith(f"{registry.address}/")
    if registry is None or not is_ours:
        return _arch(cloud, environment, "")
    repository, _, name = image.removeprefix(f"{registry.address}/").partition("@")
    if not name:
        repository, _, name = repository.rpartition(":")
    if repository not in ecr_backends[cloud.account][cloud.region].repositories:
        return Fault(
            f"Failed to pull Docker image {image}: name unknown: The repository with name '{repository}' does not "
            f"exist in the registry with id '{cloud.account}'"
        )
    if not _may_pull(cloud, environment, repository):
        return Fault(
            f"Failed to pull Docker image {image}: Error response from daemon: "
            f"Head https://{registry.address}/v2/{repository}/manifests/{name}: no basic auth credentials"
        )
    manifest = registry.manifest(repository, name)
    if manifest is None:
        return Fault(f"Failed to pull Docker image {image}: manifest for {image} not found")
    return _arch(cloud, environment, registry.architecture(repository, manifest)) or _exposes(
        registry, repository, manifest, order
    )


def _may_pull(cloud: Cloud, environment: Environment, repository: str) -> bool:
    profile = environment.option("aws:autoscaling:launchconfiguration", "IamInstanceProfile")
    role = policies.role_of_profile(cloud.account, profile)
    arn = f"arn:aws:ecr:{cloud.region}:{cloud.account}:repository/{repository}"
    if not role or not policies.trusts(cloud.account, role, "ec2.amazonaws.com"):
        return False
    return all(
        policies.role_allows(cloud.account, role, action, "*" if action == _PULL[0] else arn)
        for action in _PULL
    )


def _arch(cloud: Cloud, environment: Environment, images: str) -> Fault | None:
    there = architecture(cloud, environment)
    is_wrong = bool(images) and there not in images.split(",")
    if not is_wrong and not cloud.scripts.strikes(
        "wrong_architecture", environment=environment.name
    ):
        return None
    other = images or ("arm64" if there == "amd64" else "amd64")
    log = "exec /usr/bin/python3: exec format error"
    warning = (
        f"WARNING: The requested image's platform (linux/{other}) does not match the detected host platform "
        f"(linux/{there})"
    )
    return Fault(
        f"Docker container quit unexpectedly after launch: {warning} {log}", log=f"{warning}\n{log}"
    )


def architecture(cloud: Cloud, environment: Environment) -> str:
    """Of the instances, in Go's words; by the first of the instance types."""
    types = environment.option("aws:ec2:instances", "InstanceTypes") or environment.option(
        "aws:autoscaling:launchconfiguration", "InstanceType", "t3.micro"
    )
    kind = types.split(",")[0].strip()
    backend = ec2_backends[cloud.account][cloud.region]
    for one in backend.describe_instance_types([kind]):
        supported = one["ProcessorInfo"]["SupportedArchitectures"]
        return _ARCHITECTURES.get(str(supported[-1]), str(supported[-1]))
    return "amd64"


def _exposes(registry: Registry, repository: str, manifest: Manifest, order: Order) -> Fault | None:
    """Whether the container listens where nginx asks: the port of its variables, or one that the image exposes."""
    document = manifest.document
    if "config" not in document:
        return None
    settings = registry.configuration(repository, manifest).get("config") or {}
    told = order.variables.get("ONNXPORT_PORT") or order.variables.get("PORT")
    ports = {told} if told else {one.partition("/")[0] for one in settings.get("ExposedPorts", {})}
    if ports and str(order.port) not in ports:
        return _refused(order)
    return None


def _refused(order: Order) -> Fault:
    return Fault(
        "",
        cause="100.0 % of the requests are failing with HTTP 5xx.",
        log=(
            "connect() failed (111: Connection refused) while connecting to upstream, "
            f'client: 127.0.0.1, upstream: "http://172.17.0.2:{order.port}{order.health_path}"'
        ),
    )


def _run(cloud: Cloud, environment: Environment, order: Order) -> Fault | None:
    """Starts it, where there are instances; scripts have their say first."""
    if cloud.scripts.strikes("bad_gateway", environment=environment.name):
        return _refused(order)
    if cloud.scripts.strikes("health_404", environment=environment.name):
        return Fault(
            "",
            cause=(
                "Process default has been unhealthy for 1 minute (Target.ResponseCodeMismatch). "
                "100.0 % of the requests are failing with HTTP 4xx."
            ),
            log=f'"GET {order.health_path} HTTP/1.1" 404',
        )
    told = cloud.world.fleet.deploy(environment, order)
    if isinstance(told, str):
        quit_at_once = f"Docker container quit unexpectedly after launch: {told}"
        return Fault(quit_at_once, log=told) if told else None
    return told

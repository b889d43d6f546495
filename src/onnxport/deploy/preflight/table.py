"""The one table of all checks, in their order, and how they are run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnxport.deploy.preflight import (
    account,
    bundle,
    image,
    model,
    money,
    names,
    network,
    registry,
    rights,
    running,
    settings,
)
from onnxport.deploy.preflight.finding import Finding, Said, failed, skipped
from onnxport.deploy.preflight.subject import Missing, Need, Subject
from onnxport.errors import DeployError, OnnxportError

Look = Callable[[Subject], Said]
Tell = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class Check:
    """needs: without which it is skipped. fails_when: in words, what makes it fire; prevents: what would happen."""

    id: str
    title: str
    needs: tuple[Need, ...]
    fails_when: str
    prevents: str
    look: Look


CHECKS = (
    # ---------------------------------------------------------------------------------------------- model and image
    Check(
        "P01",
        "the model file passes its self-test",
        ("model",),
        "the file is damaged, its rows get other answers, or the image holds another one",
        "a container that ends at its start",
        model.loads,
    ),
    Check(
        "P02",
        "the server answers the stored rows",
        ("model",),
        "an answer over HTTP isn't the stored one",
        "wrong answers",
        model.answers,
    ),
    Check(
        "P03",
        "workers fit into memory",
        ("model",),
        "workers and 300 MiB need more than an instance type has",
        "killed processes (137)",
        model.fits_memory,
    ),
    Check(
        "P04",
        "images fit on the disk",
        ("image",),
        "three times the image and 3 GB are more than instances.volume_gb",
        "no space left on device",
        image.fits_disk,
    ),
    Check(
        "P05",
        "image and instances have one processor",
        ("image",),
        "image, instances.types and instances.architecture differ",
        "exec format error",
        image.same_processor,
    ),
    Check(
        "P06",
        "libraries fit processor and C library",
        ("image",),
        "a library is for another processor, needs a newer glibc, or the base is on musl",
        "import errors at the start",
        image.same_machine_code,
    ),
    Check(
        "P07",
        "the container listens where PORT says",
        ("image", "engine"),
        "nothing answers through a published port",
        "502",
        running.listens,
    ),
    Check(
        "P08",
        "one port in image, bundle and server",
        ("image",),
        "EXPOSE, ContainerPort and the server's port differ",
        "502",
        running.same_port,
    ),
    Check(
        "P09",
        "the health path answers 200",
        ("model",),
        "health.path needs a key, redirects or isn't there, or answers before the model is loaded",
        "an environment that turns red",
        running.health,
    ),
    Check(
        "P10",
        "SIGTERM ends it in 10 s",
        ("image", "engine"),
        "the container is killed, or ends with an error",
        "requests cut off at each deployment",
        running.ends,
    ),
    Check(
        "P11",
        "no rights are needed",
        ("image",),
        "it runs as root, or writes outside of /tmp",
        "refusal by stricter platforms",
        running.unprivileged,
    ),
    Check(
        "P12",
        "idle connections outlive the proxy's",
        ("image",),
        "the server keeps them for 60 s or less",
        "a 502 now and then",
        running.keeps_alive,
    ),
    Check(
        "P13",
        "answers and start are in time",
        ("model",),
        "one row takes longer than limits.timeout, or the start longer than update.timeout",
        "504, command timeouts",
        model.in_time,
    ),
    Check(
        "P14",
        "bodies pass the proxy",
        ("model",),
        "nginx takes less than the server, or the stored rows are larger",
        "413",
        bundle.bodies_pass,
    ),
    Check(
        "P15",
        "the manifest is one that all take",
        ("image",),
        "it is a list, of OCI's form, or has attestations",
        "unsupported media type",
        image.plain_manifest,
    ),
    Check(
        "P16",
        "the image is named by its digest",
        ("image",),
        "the bundle names a tag, or another image",
        "a rollback that is none",
        registry.pinned,
    ),
    Check(
        "P17",
        "pulls aren't counted",
        (),
        "image.repository is on Docker Hub",
        "toomanyrequests when machines start",
        registry.pulls_unlimited,
    ),
    Check(
        "P18",
        "no secrets in the image",
        ("image",),
        "a layer, a variable or the history looks like a key or a password",
        "a leak",
        image.no_secrets,
    ),
    Check(
        "P19",
        "the image says what it is",
        ("model", "image"),
        "labels are missing, or name another model",
        "an image that nobody can place",
        image.labelled,
    ),
    # ------------------------------------------------------------------------------------------------------- bundle
    Check(
        "P20",
        "Dockerrun.aws.json is understood",
        (),
        "a key is unknown, of version 2, or missing",
        "Invalid Dockerrun.aws.json version",
        bundle.dockerrun_read,
    ),
    Check(
        "P21",
        "the bundle is well packed",
        (),
        "files stand in a folder, hooks aren't executable, or hidden files came along",
        "a version that can't be deployed",
        bundle.well_packed,
    ),
    Check(
        "P22",
        "the bundle is small enough",
        (),
        "it has more than 500 MB",
        "a refused version",
        bundle.small_enough,
    ),
    Check(
        "P23",
        "nginx takes the bundle's snippets",
        (),
        "`nginx -t` refuses them, or they define a server or the upstream docker",
        "a proxy that doesn't start",
        bundle.nginx_takes_it,
    ),
    Check(
        "P24",
        ".ebextensions can be read",
        (),
        "a file is of another form, or sets what the environment's own settings override",
        "options without effect",
        bundle.extensions_read,
    ),
    # --------------------------------------------------------------------------------------------- names and options
    Check(
        "P30",
        "names keep AWS's limits",
        (),
        "a name is too long, too short or has other characters",
        "a refusal half-way",
        names.names_fit,
    ),
    Check(
        "P31",
        "options are known and go together",
        (),
        "an option is unknown, out of its range or contradicts another",
        "InvalidParameterValue",
        settings.options_known,
    ),
    Check(
        "P32",
        "variables fit",
        (),
        "they take more than 4096 bytes, or have a reserved name",
        "a refused environment",
        settings.variables_fit,
    ),
    Check(
        "P33",
        "values agree",
        (),
        "retention isn't one of CloudWatch's, a unit isn't its measure's, or a minimum is above its maximum",
        "scaling that never happens",
        settings.values_agree,
    ),
    Check(
        "P34",
        "the platform is the newest",
        ("account",),
        "the region has no Docker on Amazon Linux 2023, it is retired, or an older one was chosen",
        "an environment on old software",
        account.platform_current,
    ),
    # ------------------------------------------------------------------------------------------------------ account
    Check(
        "P40",
        "AWS takes the credentials",
        ("account",),
        "they are wrong or expired, for another part of AWS, or the clock is off",
        "a refusal half-way",
        account.credentials_work,
    ),
    Check(
        "P41",
        "quotas suffice",
        ("account",),
        "environments, versions, applications or addresses are used up",
        "a refusal half-way",
        account.quotas_suffice,
    ),
    Check(
        "P42",
        "network and subnets are there",
        ("account",),
        "there is no default VPC, a subnet is elsewhere, or a load balancer has one zone",
        "a launch that fails",
        network.network_fits,
    ),
    Check(
        "P43",
        "machines may pull and report",
        ("account",),
        "the instance profile is missing or empty, or its role lacks a right",
        "Failed to pull Docker image",
        rights.machines_may,
    ),
    Check(
        "P44",
        "the service role is usable",
        ("account",),
        "it is missing, or Elastic Beanstalk may not take it",
        "an environment without health",
        rights.service_may,
    ),
    Check(
        "P45",
        "launch templates may be made",
        ("account",),
        "a dry run of EC2 is refused",
        "a launch that fails",
        rights.templates_may,
    ),
    Check(
        "P46",
        "the address is free or ours",
        ("account",),
        "somebody else has it",
        "DNS name is not available",
        account.address_free,
    ),
    Check(
        "P47",
        "environments are ready",
        ("account",),
        "one is being updated",
        "Must be Ready",
        account.environments_ready,
    ),
    Check(
        "P48",
        "the certificate fits",
        ("account",),
        "it isn't issued, is for another domain, or its key isn't taken",
        "a listener that can't be made",
        network.certificate_fits,
    ),
    Check(
        "P49",
        "the repository keeps what is deployed",
        ("account",),
        "a lifecycle rule expires images with tags; the scan found something grave",
        "versions whose image is gone",
        registry.shelf_fits,
    ),
    Check(
        "P50",
        "machines are offered",
        ("account",),
        "a zone doesn't have the instance type",
        "a launch that fails",
        network.machines_offered,
    ),
    Check(
        "P51",
        "the bucket is usable",
        ("account",),
        "it is in another region; a bundle that runs is gone",
        "machines that can't start",
        account.bucket_usable,
    ),
    Check(
        "P52",
        "Elastic Beanstalk accepts the settings",
        ("account",),
        "it says so of an environment that is there",
        "an update that is taken back",
        account.settings_accepted,
    ),
    Check(
        "P53",
        "the budget holds",
        (),
        "the expected cost of a month is above budget",
        "a bill",
        money.within_budget,
    ),
    Check(
        "P54",
        "nothing of ours is somebody else's",
        ("account",),
        "something has a name of ours and not our tags",
        "changes to what isn't ours",
        account.nothing_foreign,
    ),
)


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
    return Finding(check.id, check.title, said.outcome, said.looked_at, said.fix)


def _said(check: Check, subject: Subject) -> Said:
    """Where AWS doesn't answer, the check can't be made; any other error is what it looks for."""
    try:
        subject.require(check.needs)
        return check.look(subject)
    except Missing as err:
        return skipped(err.why, err.fix)
    except DeployError as err:
        return skipped(f"{err.step}: {err.what}" if err.step else err.what, err.remedy)
    except OnnxportError as err:
        what, _, fix = str(err).rpartition("; ")
        return failed(what or str(err), fix if what else "")

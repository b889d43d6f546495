"""Checks of roles in the account: P43, P44, P45; policies are read and judged here as IAM judges them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from typing import Any

from onnxport.deploy.observed import Account
from onnxport.deploy.preflight.facts import Rights, Statement
from onnxport.deploy.preflight.finding import Said, failed, judged, ok, warning
from onnxport.deploy.preflight.subject import Subject
from onnxport.deploy.wanted import service_role

_PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_TOKEN = "ecr:GetAuthorizationToken"
# What machines report and stream; of AWSElasticBeanstalkWebTier.
_WEB_TIER = (("s3:PutObject", "arn:{0}:s3:::elasticbeanstalk-{1}-{2}/resources/x"),)
# What enhanced health looks at; of AWSElasticBeanstalkEnhancedHealth.
_HEALTH = (
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceStatus",
    "autoscaling:DescribeAutoScalingGroups",
)
_SERVICE = "elasticbeanstalk.amazonaws.com"


def machines_may(subject: Subject) -> Said:
    """P43"""
    observed, named = subject.observed, subject.intent.roles.instance_profile
    name = subject.names.instance_profile
    profile = observed.profiles.get(name)
    if profile is None and named:
        return failed(
            f"there is no instance profile {name}",
            "correct roles.instance_profile, or leave it empty to have one made",
        )
    if profile is None:
        return ok(
            f"{name} isn't there yet; it is made with AWSElasticBeanstalkWebTier and the pull"
        )
    if not profile.roles:
        return _lacking([f"instance profile {name} has no role inside"], named)
    from onnxport.deploy.aws.inspection import read_rights

    rights = read_rights(subject.cloud, profile.roles[0])
    if rights is None:
        return failed(
            f"the role {profile.roles[0]} of {name} is gone", "put a role into the profile"
        )
    repository = "" if subject.intent.image.repository else subject.names.repository
    faults = [*machine_faults(rights, observed.account, repository)]
    if faults:
        return _lacking(faults, named)
    return ok(
        f"{name} with {rights.name}: EC2 may take it, and it may pull {repository or 'images'}"
    )


def _lacking(faults: Sequence[str], named: str) -> Said:
    """A role of the user's is never altered; one of ours is completed by the next deployment."""
    if named:
        return judged(
            faults,
            "",
            "have it added by whoever keeps the role, or leave roles.instance_profile empty",
        )
    return warning(
        "; ".join(faults), "nothing needs to be done: the deployment completes its own role"
    )


def machine_faults(rights: Rights, account: Account, repository: str) -> Iterator[str]:
    """What a machine's role lacks. repository: the one in ECR, or "" where the image is elsewhere."""
    ec2 = "ec2.amazonaws.com.cn" if account.partition == "aws-cn" else "ec2.amazonaws.com"
    if not rights.trusts & {ec2, "ec2.amazonaws.com"}:
        yield f"{rights.name} doesn't trust {ec2}"
    for action, form in _WEB_TIER:
        place = form.format(account.partition, account.region, account.id)
        if not allows(rights.statements, action, place):
            yield f"{rights.name} lacks {action} on the bucket of Elastic Beanstalk (AWSElasticBeanstalkWebTier)"
    if not repository:
        return
    arn = f"arn:{account.partition}:ecr:{account.region}:{account.id}:repository/{repository}"
    for action in _PULL:
        if not allows(rights.statements, action, arn):
            yield f"{rights.name} lacks {action} on {repository}"
    if not allows(rights.statements, _TOKEN, "*"):
        yield f"{rights.name} lacks {_TOKEN}"


def service_may(subject: Subject) -> Said:
    """P44"""
    from onnxport.deploy.aws.inspection import read_rights

    name = service_role(subject.intent, subject.observed, subject.names)
    named = subject.intent.roles.service
    rights = read_rights(subject.cloud, name)
    if rights is None and named:
        return failed(
            f"there is no role {name}", "correct roles.service, or leave it empty to have one made"
        )
    if rights is None:
        return ok(f"{name} isn't there yet; it is made for Elastic Beanstalk alone")
    faults = [*service_faults(rights)]
    if faults and not named and name == subject.names.service_role:
        return _lacking(faults, named)
    fix = "have it added by whoever keeps the role, or name another as roles.service"
    return judged(faults, f"{name}: Elastic Beanstalk may take it, and look at machines", fix)


def service_faults(rights: Rights) -> Iterator[str]:
    """What Elastic Beanstalk's role lacks."""
    if _SERVICE not in rights.trusts:
        yield f"{rights.name} doesn't trust {_SERVICE}"
    for action in _HEALTH:
        if not allows(rights.statements, action, "*"):
            yield f"{rights.name} lacks {action} (AWSElasticBeanstalkEnhancedHealth)"


def templates_may(subject: Subject) -> Said:
    """P45"""
    from onnxport.deploy.aws.inspection import may_make_templates

    return template_verdict(may_make_templates(subject.cloud))


def template_verdict(granted: bool | None) -> Said:
    """Elastic Beanstalk makes launch templates in the caller's name."""
    if granted is None:
        return warning(
            "EC2 doesn't tell whether launch templates may be made",
            "see that ec2:*LaunchTemplate* is granted",
        )
    if not granted:
        return failed(
            "these credentials may not make launch templates, which every environment needs",
            "have ec2:*LaunchTemplate* granted, as AdministratorAccess-AWSElasticBeanstalk does",
        )
    return ok("a dry run says that ec2:CreateLaunchTemplate is granted")


# ------------------------------------------------------------------------------------------------------------ judging


def allows(statements: Sequence[Statement], action: str, resource: str) -> bool:
    """Whether a statement allows it, and none denies it; statements with a condition count for nothing."""
    effects = {
        str(one.get("Effect"))
        for one in statements
        if not one.get("Condition") and _fits(one, action, resource)
    }
    return "Allow" in effects and "Deny" not in effects


def _fits(statement: Statement, action: str, resource: str) -> bool:
    if "NotAction" in statement:
        acts = not _matches(statement["NotAction"], action.lower(), lower=True)
    else:
        acts = _matches(statement.get("Action", []), action.lower(), lower=True)
    if "NotResource" in statement:
        return acts and not _matches(statement["NotResource"], resource)
    return acts and _matches(statement.get("Resource", "*"), resource)


def _matches(patterns: Any, text: str, *, lower: bool = False) -> bool:
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        form = pattern.lower() if lower else pattern
        if fnmatch.fnmatchcase(text, form.replace("[", "[[]")):
            return True
    return False

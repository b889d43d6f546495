"""The least rights with which Elastic Beanstalk and its machines run an image of one repository: policy documents.

AWSElasticBeanstalkWebTier holds no right on ECR, so the machines need the pull policy beside it.
"""

from __future__ import annotations

from typing import Any

PULL = "onnxport-pull-image"  # the name of the policy inside the machines' role
_VERSION = "2012-10-17"
_WEB_TIER = "AWSElasticBeanstalkWebTier"
_SERVICE = (
    "service-role/AWSElasticBeanstalkEnhancedHealth",
    "AWSElasticBeanstalkManagedUpdatesCustomerRolePolicy",
)


def machine_trust(partition: str) -> dict[str, Any]:
    """Who may be the machines' role: EC2 alone."""
    suffix = ".cn" if partition == "aws-cn" else ""
    return _trust(f"ec2.amazonaws.com{suffix}")


def service_trust() -> dict[str, Any]:
    """Who may be the service role: Elastic Beanstalk, and only as itself."""
    condition = {"StringEquals": {"sts:ExternalId": "elasticbeanstalk"}}
    return _trust("elasticbeanstalk.amazonaws.com", Condition=condition)


def _trust(service: str, **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": _VERSION, "Statement": [{**statement, **more}]}


def machine_policies(partition: str) -> tuple[str, ...]:
    """Managed policies of the machines' role."""
    return (f"arn:{partition}:iam::aws:policy/{_WEB_TIER}",)


def service_policies(partition: str) -> tuple[str, ...]:
    """Managed policies of the service role."""
    return tuple(f"arn:{partition}:iam::aws:policy/{name}" for name in _SERVICE)


def pull_policy(partition: str, region: str, account: str, repository: str) -> dict[str, Any]:
    """Reading images of one repository; the token isn't bound to any."""
    actions = (
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
    )
    pull = {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": f"arn:{partition}:ecr:{region}:{account}:repository/{repository}",
    }
    token = {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}
    return {"Version": _VERSION, "Statement": [pull, token]}

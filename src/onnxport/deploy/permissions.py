"""The IAM actions that looking, acting and taking back need, as AWS's service authorization reference names them."""

from __future__ import annotations

LOOK = (
    "elasticbeanstalk:DescribeEnvironments",
    "elasticbeanstalk:DescribeEvents",
    "elasticbeanstalk:DescribeEnvironmentHealth",
    "elasticbeanstalk:RequestEnvironmentInfo",  # the logs of one that is ill
    "elasticbeanstalk:RetrieveEnvironmentInfo",
)
# What Elastic Beanstalk does in the caller's name while it makes an environment.
ON_BEHALF = (
    "autoscaling:*",
    "cloudformation:*",
    "cloudwatch:*",
    "ec2:*",
    "elasticloadbalancing:*",
    "iam:CreateServiceLinkedRole",  # in an account that never had one
    "iam:PassRole",
    "logs:*",
    "s3:GetObject",
    "sns:*",
)


def eb(*actions: str) -> tuple[str, ...]:
    return tuple(f"elasticbeanstalk:{action}" for action in actions)


def iam(*actions: str) -> tuple[str, ...]:
    return tuple(f"iam:{action}" for action in actions)


# What each action calls that takes something back or away.
CALLED: dict[str, tuple[str, ...]] = {
    "delete_role": iam("DetachRolePolicy", "DeleteRolePolicy", "DeleteRole"),
    "delete_profile": iam("RemoveRoleFromInstanceProfile", "DeleteInstanceProfile"),
    "delete_application": eb("DeleteApplication", "DescribeEnvironments"),
    "delete_repository": ("ecr:DeleteRepository",),
    "delete_image": ("ecr:BatchDeleteImage", *eb("DescribeApplicationVersions")),
    "delete_object": ("s3:DeleteObject", *eb("DescribeApplicationVersions")),
    "delete_version": eb("DeleteApplicationVersion", "DescribeEnvironments", "ListTagsForResource"),
    "delete_log_group": ("logs:DeleteLogGroup",),
    "terminate": (*eb("TerminateEnvironment"), *LOOK, *ON_BEHALF),
    "update_settings": (*eb("UpdateEnvironment"), *LOOK, *ON_BEHALF),
    "update_platform": (*eb("UpdateEnvironment"), *LOOK, *ON_BEHALF),
    "update_version": (
        *eb("UpdateEnvironment", "AddTags", "RemoveTags"),
        *("elasticbeanstalk:UpdateTagsForResource",),
        *LOOK,
        *ON_BEHALF,
    ),
    "point": (*eb("SwapEnvironmentCNAMEs"), *LOOK),
}

# What every command that plans reads of an account.
READING = (
    "ecr:BatchGetImage",
    "ecr:DescribeRepositories",
    "ecr:GetAuthorizationToken",
    "ecr:ListTagsForResource",
    "elasticbeanstalk:CheckDNSAvailability",
    "elasticbeanstalk:DescribeApplicationVersions",
    "elasticbeanstalk:DescribeApplications",
    "elasticbeanstalk:DescribeConfigurationSettings",
    "elasticbeanstalk:DescribeEnvironments",
    "elasticbeanstalk:ListPlatformVersions",
    "elasticbeanstalk:ListTagsForResource",
    "iam:GetInstanceProfile",
    "iam:GetRole",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
    "s3:GetObject",
    "s3:ListBucket",
)
# What else one kind of them reads: `deploy` for its preflight.
MORE_READING: dict[str, tuple[str, ...]] = {
    "deploy": (
        "acm:DescribeCertificate",
        "ec2:CreateLaunchTemplate",  # a dry run
        "ec2:DescribeAccountAttributes",
        "ec2:DescribeAddresses",
        "ec2:DescribeInstanceTypeOfferings",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeRegions",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
        "ecr:DescribeImageScanFindings",
        "ecr:GetLifecyclePolicy",
        "elasticbeanstalk:DescribeAccountAttributes",
        "elasticbeanstalk:ValidateConfigurationSettings",
        "iam:GetPolicy",
        "iam:GetPolicyVersion",
        "iam:GetRolePolicy",
        "s3:GetBucketLocation",
    ),
    "rollback": (),
    "destroy": ("logs:DescribeLogGroups",),
}

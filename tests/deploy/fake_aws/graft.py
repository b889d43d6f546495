"""Our operations, put into moto's Elastic Beanstalk in place of its own.

Traps: moto finds a method by its own idea of snake case (`swap_environment_cnam_es`), which is therefore asked for;
and it writes its request id over all between the first and last `<RequestId>` of an answer, events included.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from moto.core.resource_tagging import TaggedResource
from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.elasticbeanstalk.models import EBBackend
from moto.elasticbeanstalk.responses import EBResponse

from tests.deploy.fake_aws import (
    applications,
    conditions,
    configurations,
    environments,
    shapes,
)
from tests.deploy.fake_aws.finding import Answer, Call
from tests.deploy.fake_aws.grafting import put
from tests.deploy.fake_aws.state import World

OPERATIONS: dict[str, Callable[[Call], Answer]] = {
    "AbortEnvironmentUpdate": environments.abort_environment_update,
    "CheckDNSAvailability": environments.check_dns_availability,
    "CreateApplication": applications.create_application,
    "CreateApplicationVersion": applications.create_application_version,
    "CreateConfigurationTemplate": configurations.create_configuration_template,
    "CreateEnvironment": environments.create_environment,
    "CreateStorageLocation": applications.create_storage_location,
    "DeleteApplication": applications.delete_application,
    "DeleteApplicationVersion": applications.delete_application_version,
    "DeleteConfigurationTemplate": configurations.delete_configuration_template,
    "DeleteEnvironmentConfiguration": configurations.delete_environment_configuration,
    "DescribeAccountAttributes": applications.describe_account_attributes,
    "DescribeApplicationVersions": applications.describe_application_versions,
    "DescribeApplications": applications.describe_applications,
    "DescribeConfigurationOptions": configurations.describe_configuration_options,
    "DescribeConfigurationSettings": configurations.describe_configuration_settings,
    "DescribeEnvironmentHealth": conditions.describe_environment_health,
    "DescribeEnvironmentResources": environments.describe_environment_resources,
    "DescribeEnvironments": environments.describe_environments,
    "DescribeEvents": environments.describe_events,
    "DescribeInstancesHealth": conditions.describe_instances_health,
    "DescribePlatformVersion": configurations.describe_platform_version,
    "ListAvailableSolutionStacks": configurations.list_available_solution_stacks,
    "ListPlatformBranches": configurations.list_platform_branches,
    "ListPlatformVersions": configurations.list_platform_versions,
    "ListTagsForResource": configurations.list_tags_for_resource,
    "RebuildEnvironment": environments.rebuild_environment,
    "RequestEnvironmentInfo": conditions.request_environment_info,
    "RestartAppServer": environments.restart_app_server,
    "RetrieveEnvironmentInfo": conditions.retrieve_environment_info,
    "SwapEnvironmentCNAMEs": environments.swap_environment_cnames,
    "TerminateEnvironment": environments.terminate_environment,
    "UpdateApplication": applications.update_application,
    "UpdateApplicationResourceLifecycle": applications.update_application_resource_lifecycle,
    "UpdateApplicationVersion": applications.update_application_version,
    "UpdateConfigurationTemplate": configurations.update_configuration_template,
    "UpdateEnvironment": environments.update_environment,
    "UpdateTagsForResource": configurations.update_tags_for_resource,
    "ValidateConfigurationSettings": configurations.validate_configuration_settings,
}
_OWN_ID = re.compile(r"(<ResponseMetadata>\s*<RequestId>)[^<]*(</RequestId>\s*</ResponseMetadata>)")
_ID_HEADER = "x-amzn-requestid"


def graft(world: World) -> None:
    """From now on moto's Elastic Beanstalk is ours, and lives in this world."""
    for name, deed in OPERATIONS.items():
        put(EBResponse, camelcase_to_underscores(name), _method(world, name, deed))
    put(EBResponse, "_enrich_response", staticmethod(_enrich))

    def tagged(backend: EBBackend) -> Iterator[TaggedResource]:
        return _tagged(world, backend)

    put(EBBackend, "iter_tagged_resources", tagged)


def _method(
    world: World, name: str, deed: Callable[[Call], Answer]
) -> Callable[[EBResponse], ActionResult]:
    def answer(response: EBResponse) -> ActionResult:
        _ = (
            response.elasticbeanstalk_backend
        )  # only those that were asked for are searched for tags
        request_id = str(uuid.uuid4())
        response.response_headers[_ID_HEADER] = request_id
        parameters = _plain(response.params)
        shapes.check(name, parameters)
        with world.lock:
            cloud = world.cloud(response.current_account, response.region)
            cloud.settle()
            told = deed(Call(cloud, name, parameters, request_id))
        return ActionResult(told)

    return answer


def _plain(value: Any) -> Any:
    """moto's own kinds of dict and list as Python's."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _enrich(headers: dict[str, Any], body: Any) -> tuple[dict[str, str], Any]:
    """The answer's own request id, which its events carry too; those of other events stay."""
    headers = {name: str(value) for name, value in headers.items()}
    request_id = headers.setdefault(_ID_HEADER, str(uuid.uuid4()))
    if isinstance(body, str):
        body = _OWN_ID.sub(rf"\g<1>{request_id}\g<2>", body)
    return headers, body


def _tagged(world: World, backend: EBBackend) -> Iterator[TaggedResource]:
    """For the Resource Groups Tagging API."""
    cloud = world.cloud(backend.account_id, backend.region_name)
    for arn, tags in configurations.tags_by_arn(Call(cloud, "", {}, "")).items():
        kind = arn.split(":")[5].partition("/")[0]
        yield TaggedResource(
            arn=arn,
            tags=dict(tags),
            resource_type=f"elasticbeanstalk:{kind}",
            extra={"include_untagged": True},
        )

"""What `destroy` removes, by tags, what it leaves, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxport.deploy import steps
from onnxport.deploy.intent import Intent
from onnxport.deploy.names import KEY_PREFIX, SLOTS, Names
from onnxport.deploy.observed import Environment, Observed
from onnxport.deploy.plan import Plan, Step
from onnxport.deploy.tags import APP, belongs_to, is_ours
from onnxport.errors import DeployError


@dataclass(frozen=True, slots=True)
class Extent:
    """images: the repository, with all images in it. logs: the log groups that CloudWatch keeps."""

    images: bool = False
    logs: bool = False
    log_groups: tuple[str, ...] = ()


def plan_destroy(intent: Intent, names: Names, observed: Observed, extent: Extent) -> Plan:
    """observed: with the tags of versions. Only what has our tags is in the plan; what hasn't is noted."""
    down = _Down(intent, names, observed, extent)
    made = tuple(down.steps())
    title = f"destroy {intent.name}" if made else f"there is nothing of {intent.name} to destroy"
    where = f"account {observed.account.id}, {observed.account.region}"
    return Plan("destroy", intent.app, title, where, made, tuple(down.notes()))


def leftovers(intent: Intent, names: Names, observed: Observed, extent: Extent) -> list[str]:
    """What is there after all, as sentences: looked for anew, and nothing is said that isn't known."""
    plan = plan_destroy(intent, names, observed, extent)
    return [step.title.removeprefix("terminate ").removeprefix("delete ") for step in plan.steps]


@dataclass(frozen=True, slots=True)
class _Down:
    intent: Intent
    names: Names
    observed: Observed
    extent: Extent

    def steps(self) -> Iterator[Step]:
        for environment in self._environments():
            if environment.status == "Updating":
                raise DeployError(
                    f"environment {environment.name} is Updating",
                    remedy="wait until it is Ready (`onnxport status`), or abort it with `onnxport rollback`",
                    resumable=True,
                )
            yield steps.terminate(
                environment.name,
                f"version {environment.version}; {environment.cname}",
                idle=False,
            )
        if not self._is_shared():
            yield from self._versions()
        yield from self._documents()
        if not self._is_shared():
            yield from self._application()
            yield from self._repository()
        yield from self._roles()
        yield from self._logs()

    def _environments(self) -> list[Environment]:
        """The slots of the intent that are ours."""
        named = {self.names.environment(slot) for slot in SLOTS}
        return [
            each
            for each in self.observed.environments
            if each.name in named and belongs_to(each.tags, self.intent)
        ]

    def _others(self) -> list[Environment]:
        """Environments of the application that stay: of another intent, or not ours at all."""
        ours = {each.name for each in self._environments()}
        application = self.names.application
        return [
            each
            for each in self.observed.environments
            if each.application == application and each.name not in ours
        ]

    def _is_shared(self) -> bool:
        return bool(self._others())

    def _versions(self) -> Iterator[Step]:
        for version in self.observed.versions:
            if is_ours(version.tags) and version.tags.get(APP) == self.intent.app:
                yield steps.remove(
                    "delete_version",
                    f"version {version.label}",
                    version.description,
                    application=self.names.application,
                    label=version.label,
                )

    def _documents(self) -> Iterator[Step]:
        """Objects below onnxport/APP/: bundles, unless other environments need them; and the record."""
        for key in self.observed.bundles:
            is_record = key == self.names.record_key
            if is_record or (not self._is_shared() and key.startswith(self._folder)):
                yield steps.remove(
                    "delete_object",
                    f"s3://{self.observed.bucket}/{key}",
                    "",
                    bucket=self.observed.bucket,
                    key=key,
                )

    @property
    def _folder(self) -> str:
        return f"{KEY_PREFIX}{self.names.application}/"

    def _application(self) -> Iterator[Step]:
        found = self.observed.application
        if found and is_ours(found.tags) and found.tags.get(APP) == self.intent.app:
            foreign = [v.label for v in self.observed.versions if not is_ours(v.tags)]
            if not foreign:
                yield steps.remove(
                    "delete_application",
                    f"application {found.name}",
                    "",
                    name=found.name,
                )

    def _repository(self) -> Iterator[Step]:
        found = self.observed.repository
        if found and self.extent.images and is_ours(found.tags):
            yield steps.remove(
                "delete_repository",
                f"repository {found.name}",
                "with all images in it",
                name=found.name,
                force=True,
            )

    def _roles(self) -> Iterator[Step]:
        name = self.names.instance_profile
        profile = self.observed.profiles.get(name)
        if profile and belongs_to(profile.tags, self.intent):
            yield steps.remove(
                "delete_profile",
                f"instance profile {name}",
                "",
                name=name,
            )
        for each in self._role_names():
            yield steps.remove("delete_role", f"role {each}", "", name=each)

    def _role_names(self) -> list[str]:
        """Ours, but for the one that the application has, as long as that stays; it goes when the application goes,
        whichever environment's it was.
        """
        names = self.names
        used, goes = self._role_of_application(), bool(list(self._application()))
        mine = [names.instance_profile, names.service_role]
        found = [(each, self.observed.roles.get(each)) for each in mine]
        ours = [each for each, role in found if role and belongs_to(role.tags, self.intent)]
        if not goes or self._is_shared():
            return [each for each in dict.fromkeys(ours) if each != used]
        role = self.observed.roles.get(used)
        its_own = role and is_ours(role.tags) and role.tags.get(APP) == self.intent.app
        return list(dict.fromkeys([*ours, *([used] if its_own else [])]))

    def _role_of_application(self) -> str:
        application = self.observed.application
        return application.service_role if application else ""

    def _logs(self) -> Iterator[Step]:
        for group in self._log_groups() if self.extent.logs else ():
            yield steps.remove(
                "delete_log_group",
                f"log group {group}",
                "",
                name=group,
            )

    def _log_groups(self) -> list[str]:
        """Log groups have no tags: those of an environment that isn't ours aren't either."""
        foreign = tuple(
            self.names.log_groups(slot)
            for slot in SLOTS
            if (found := self.observed.environment(self.names.environment(slot)))
            and not belongs_to(found.tags, self.intent)
        )
        return [group for group in self.extent.log_groups if not group.startswith(foreign)]

    def notes(self) -> Iterator[str]:
        found = self.observed.repository
        if found and is_ours(found.tags) and not self.extent.images:
            yield f"repository {found.name} stays, with its images; --images removes it"
        if self._log_groups() and not self.extent.logs:
            yield f"{len(self._log_groups())} log groups stay in CloudWatch; --purge removes them"
        if self._is_shared():
            others = _listed([each.name for each in self._others()])
            yield f"the application has other environments ({others}), so it, its versions and its images stay"
        used = self.observed.roles.get(self._role_of_application())
        if used and belongs_to(used.tags, self.intent) and used.name not in self._role_names():
            yield f"role {used.name} stays with the application, whose old versions are deleted by it"
        yield from self._foreign()
        if self.observed.has_bucket:
            yield f"bucket {self.observed.bucket} is the account's own, and stays"

    def _foreign(self) -> Iterator[str]:
        named = {self.names.environment(slot) for slot in SLOTS}
        for each in self.observed.environments:
            if each.name in named and not belongs_to(each.tags, self.intent):
                yield f"environment {each.name} hasn't our tags, and stays"
        application = self.observed.application
        if application and not is_ours(application.tags):
            yield f"application {application.name} hasn't our tags, and stays"
        foreign = [v.label for v in self.observed.versions if not is_ours(v.tags)]
        if foreign:
            yield f"versions without our tags stay, and with them the application: {_listed(foreign)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

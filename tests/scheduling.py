"""How the suite spreads over worker processes: a module at a time, and what measures time before all else, alone.

A module stays in one process, so what its tests share is made once, whatever runs beside it.
"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

# Modules whose tests measure short times or take all cores: nothing else runs beside them.
ALONE = (
    "tests/bench/test_load.py",
    "tests/faults/test_disconnects.py",
    "tests/faults/test_overload.py",
    "tests/faults/test_slow_clients.py",
    "tests/server/test_life.py",
    "tests/server/test_protocol.py",
    "tests/server/test_workers.py",
)
# The modules that take longest, so that none of them is left for the end.
LONG = (
    "tests/cli/test_training.py",
    "tests/export/matrix/test_matrix.py",
    "tests/export/test_support_table.py",
    "tests/export/test_torch.py",
    "tests/shape/test_readme.py",
    "tests/export/test_estimators.py",
    "tests/export/test_xgboost.py",
    "tests/export/test_lightgbm.py",
    "tests/export/test_text.py",
    "tests/export/test_meta_estimators.py",
    "tests/shape/test_serving_install.py",
    "tests/deploy/test_deploy_command.py",
    "tests/deploy/test_meanwhile.py",
    "tests/deploy/test_rehearsal.py",
    "tests/deploy/test_permissions.py",
    "tests/deploy/test_rollback.py",
    "tests/deploy/test_destroy.py",
    "tests/deploy/test_status_and_logs.py",
    "tests/deploy/test_fake_failures.py",
    "tests/deploy/test_fake_contract.py",
    "tests/image/test_build.py",
    "tests/image/test_real_engine.py",
    "tests/image/test_trial.py",
)


def is_alone(test: str) -> bool:
    """Whether a test, by its id, bears no company."""
    return test.startswith(ALONE)


def rank(test: str) -> int:
    """Where a test stands in the order of the run: first what runs alone, then what takes longest."""
    if is_alone(test):
        return 0
    module = test.partition("::")[0]
    return 1 + (LONG.index(module) if module in LONG else len(LONG))


class Scheduler(LoadFileScheduling):  # type: ignore[misc]
    """Gives each worker a module at a time, in the order of the tests; while one worker has tests that run
    alone, the others have none.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "alone" if is_alone(nodeid) else str(super()._split_scope(nodeid))

    def _waits(self, node: WorkerController) -> bool:
        """Whether another worker has tests that bear no company."""
        others = (work for other, work in self.assigned_work.items() if other is not node)
        return any(False in work.get("alone", {}).values() for work in others)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not self._waits(node):
            super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if not self._waits(node):
            super()._reschedule(node)

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        super().mark_test_complete(node, item_index, duration)
        for other in self.nodes:
            self._reschedule(other)

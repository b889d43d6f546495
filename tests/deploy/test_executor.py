"""How a plan is run: in order, written down, taken back after a failure, and left alone where it can go on later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxport.deploy.executor import Told, run
from onnxport.deploy.journal import NAME, Journal, broken_off
from onnxport.deploy.plan import Plan, Step, Undo
from onnxport.errors import DeployError, OnnxportError, SettingsError


def step(name: str, *, commits: bool = False, undoable: bool = True) -> Step:
    undo = Undo("undo", {"name": name}, f"undo {name}") if undoable else None
    return Step("do", name, "add", "", {"name": name}, undo=undo, commits=commits)


def plan(*steps: Step) -> Plan:
    return Plan("deploy", "iris", "deploy iris", "here", steps)


def unfinished(folder: Path) -> str | None:
    last = broken_off(folder)
    return last.step if last else None


class World:
    """Notes what is done and undone. fails: what each name raises."""

    def __init__(self, **fails: BaseException) -> None:
        self.log: list[str] = []
        self.told: list[Told] = []
        self._fails = fails

    def act(self, kind: str) -> Callable[..., None]:
        def action(name: str) -> None:
            self.log.append(f"{kind} {name}")
            error = self._fails.get(f"{kind}_{name}")
            if error:
                raise error

        return action

    def run(self, folder: Path, *steps: Step) -> None:
        actions = {"do": self.act("do"), "undo": self.act("undo")}
        told = plan(*steps)
        with Journal(folder, told) as journal:
            run(told, actions, journal, self.told.append)


def test_steps_run_in_order_and_are_told(tmp_path: Path) -> None:
    world = World()
    world.run(tmp_path, step("a"), step("b"))
    assert world.log == ["do a", "do b"]
    assert [(one.kind, one.text) for one in world.told] == [
        ("step", "a"),
        ("done", "a"),
        ("step", "b"),
        ("done", "b"),
    ]
    assert unfinished(tmp_path) is None


def test_a_failure_takes_back_this_run_from_its_end(tmp_path: Path) -> None:
    world = World(do_c=DeployError("c is broken"))
    with pytest.raises(DeployError, match="c is broken"):
        world.run(tmp_path, step("a"), step("b", undoable=False), step("c"), step("d"))
    assert world.log == ["do a", "do b", "do c", "undo c", "undo a"]
    assert unfinished(tmp_path) is None


def test_what_can_go_on_later_is_not_taken_back(tmp_path: Path) -> None:
    world = World(do_b=DeployError("no network", resumable=True))
    with pytest.raises(DeployError, match="no network"):
        world.run(tmp_path, step("a"), step("b"))
    assert world.log == ["do a", "do b"]
    assert "go on from here" in world.told[-1].text
    assert unfinished(tmp_path) == "b"


def test_what_came_before_a_committing_step_stays(tmp_path: Path) -> None:
    world = World(do_d=DeployError("d is broken"))
    with pytest.raises(DeployError):
        world.run(tmp_path, step("a"), step("b", commits=True), step("c"), step("d"))
    assert world.log[4:] == ["undo d", "undo c"]


def test_a_committing_step_that_fails_takes_back_too(tmp_path: Path) -> None:
    world = World(do_b=DeployError("b is broken"))
    with pytest.raises(DeployError):
        world.run(tmp_path, step("a"), step("b", commits=True))
    assert world.log == ["do a", "do b", "undo b", "undo a"]


def test_after_a_second_failure_nothing_more_is_taken_back(tmp_path: Path) -> None:
    """What would come next was made for the state that the failed one should have brought about."""
    world = World(do_c=DeployError("c is broken"), undo_b=DeployError("b can't go"))
    with pytest.raises(DeployError) as caught:
        world.run(tmp_path, step("a"), step("b"), step("c"))
    assert world.log[3:] == ["undo c", "undo b"]
    told = str(caught.value)
    assert "c is broken -- and taking back failed: undo b: b can't go" in told
    assert "not taken back either: undo a" in told
    assert "`onnxport status` shows what is there" in told
    assert unfinished(tmp_path) == "c"


def test_an_interruption_while_taking_back_says_so(tmp_path: Path) -> None:
    world = World(do_b=DeployError("b is broken"), undo_b=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        world.run(tmp_path, step("a"), step("b"))
    assert world.log == ["do a", "do b", "undo b"]
    assert world.told[-1].text.startswith("interrupted while taking back; run `onnxport deploy`")
    assert unfinished(tmp_path) == "b"


def test_what_a_run_has_made_is_known_to_those_that_go_on_with_it(tmp_path: Path) -> None:
    told = Plan("rollback", "iris", "back", "here", (step("a"),), goal="v-1", origin="v-2")
    with Journal(tmp_path, told) as journal:
        journal.note_made("iris-green", "e-1")
        journal.note_change("iris-blue", "e-3")
    first = broken_off(tmp_path)
    assert first is not None
    assert (first.kind, first.goal, first.origin) == ("rollback", "v-1", "v-2")
    assert first.made == {"iris-green": "e-1"}
    assert first.is_doing("iris-green", "e-1")
    assert not first.is_doing("iris-green", "e-2"), "somebody else's of the same name"
    assert first.is_doing("iris-blue", "e-3")
    assert not first.is_doing("iris-blue", "e-1")
    assert not first.is_doing("iris-red", "e-1")
    with Journal(tmp_path, told, first) as journal:
        journal.write("start", step="a", number=1)
    second = broken_off(tmp_path)
    assert second is not None
    assert second.made == {"iris-green": "e-1"}
    assert second.changed == {"iris-blue": "e-3"}


def test_other_refusals_of_ours_are_taken_back_as_well(tmp_path: Path) -> None:
    world = World(do_b=OnnxportError("a registry refuses"))
    with pytest.raises(OnnxportError, match="a registry"):
        world.run(tmp_path, step("a"), step("b"))
    assert world.log[2:] == ["undo b", "undo a"]


def test_an_interruption_is_written_down_and_takes_nothing_back(tmp_path: Path) -> None:
    world = World(do_b=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        world.run(tmp_path, step("a"), step("b"))
    assert world.log == ["do a", "do b"]
    assert unfinished(tmp_path) == "b"
    World().run(tmp_path, step("a"))
    assert unfinished(tmp_path) is None


def test_a_journal_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    world = World(do_b=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        world.run(tmp_path, step("a"), step("b"))
    path = tmp_path / NAME
    path.write_text(path.read_text() + '{"run": "20')
    assert unfinished(tmp_path) == "b"
    path.write_text("no JSON\n[1]\n")
    assert unfinished(tmp_path) is None
    path.write_text('{"run": "1", "what": "begin"}\n{"run": "1", "what": "start"}\n')
    assert unfinished(tmp_path) == "its beginning"


def test_a_full_disk_is_told_as_the_journals(tmp_path: Path) -> None:
    code = (
        "import resource, signal, pathlib\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        "from onnxport.deploy.journal import Journal\n"
        "from onnxport.deploy.plan import Plan\n"
        "with Journal(pathlib.Path('.'), Plan('deploy', 'iris', 'deploy iris', 'here', ())):\n"
        "    pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "SettingsError: the journal in  can't be written: File too large" in done.stderr


def test_a_journal_that_cannot_be_written_stops_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / ".onnxport").write_text("a file where a folder should be")
    with pytest.raises(SettingsError, match="journal"):
        World().run(tmp_path / ".onnxport", step("a"))


def test_one_run_at_a_time(tmp_path: Path) -> None:
    told = plan(step("a"))
    with Journal(tmp_path, told) as journal:
        journal.write("start", step="a", number=1)
        assert unfinished(tmp_path) is None  # it is going on, and hasn't broken off
        with pytest.raises(DeployError, match=r"another run is going on.*wait until it has ended"):
            Journal(tmp_path, told)
    assert unfinished(tmp_path) == "a"
    with Journal(tmp_path, told) as journal:
        journal.end()

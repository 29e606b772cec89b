"""What the watcher decides by what it sees and remembers, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from ganeti_kernel.daemons import control
from ganeti_kernel.daemons.watcher import files, master
from ganeti_kernel.daemons.watcher.state import (
    CLEANUP,
    MAX_TRIES,
    RESTART,
    RETRY_EXPIRATION,
    InstanceRow,
    State,
    decide,
    rebooted,
    to_activate,
)
from ganeti_kernel.errors import ConfigurationError, LockError, LuxiError
from ganeti_kernel.paths import Paths

NOW = 1_800_000_000.0


def row(status: str, name: str = "a") -> InstanceRow:
    return InstanceRow(name, status, True, ())


def actions(state: State, status: str, now: float = NOW) -> list[str | None]:
    return [item.action for item in decide(state, [row(status)], now)]


@pytest.mark.parametrize(
    ("status", "action"),
    [
        ("ERROR_down", [RESTART]),
        ("USER_down", [CLEANUP]),
        ("running", []),
        ("ADMIN_down", []),
        ("ADMIN_offline", []),
        ("ERROR_nodedown", [None]),
        ("ERROR_nodeoffline", [None]),
        ("ERROR_wrongnode", [None]),
    ],
)
def test_what_is_done_about_a_status(status: str, action: list[str | None]) -> None:
    assert actions(State(), status) == action


def test_five_tries_then_none_for_eight_hours() -> None:
    state = State()
    moments = [NOW + 300 * number for number in range(MAX_TRIES)]
    assert [actions(state, "ERROR_down", now) for now in moments] == [[RESTART]] * MAX_TRIES
    (given_up,) = decide(state, [row("ERROR_down")], moments[-1] + 300)
    assert given_up.action is None
    assert "5 tries failed, the next in 7.9 hours" in given_up.text
    assert actions(state, "ERROR_down", moments[-1] + RETRY_EXPIRATION + 1) == [RESTART]
    assert state.instance["a"].restart_count == 1


def test_an_instance_that_runs_again_is_forgotten() -> None:
    state = State()
    actions(state, "ERROR_down")
    (told,) = decide(state, [row("running")], NOW)
    assert told.text == "a runs again"
    assert state.instance == {}
    actions(state, "ERROR_down")
    assert decide(state, [], NOW) == []
    assert state.instance == {}, "gone instances are forgotten"


def test_a_job_that_is_still_at_it_is_no_second_one() -> None:
    state = State()
    actions(state, "ERROR_down")
    state.instance["a"].restart_job = 17
    (told,) = decide(state, [row("ERROR_down")], NOW + 300, frozenset({17}))
    assert (told.action, told.text) == (None, "a is ERROR_down; job 17 is at it")
    assert state.instance["a"].restart_count == 1


def test_nodes_that_were_started_anew() -> None:
    state = State()
    assert rebooted(state, {"n1": "x", "n2": "y"}) == {"n1", "n2"}
    assert rebooted(state, {"n1": "x", "n2": "y"}) == set()
    assert rebooted(state, {"n1": "z", "n2": ""}) == {"n1"}, "no answer is no start"
    assert rebooted(state, {"n2": "y"}) == set()
    assert set(state.node) == {"n2"}
    rows = [
        InstanceRow("a", "running", True, ["n1"]),
        InstanceRow("b", "running", False, ["n1"]),
        InstanceRow("c", "running", True, ["n2"]),
    ]
    assert to_activate(rows, {"n1"}) == ["a"]


def test_the_state_file_is_upstreams(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    state = State()
    decide(state, [row("ERROR_down")], NOW)
    rebooted(state, {"n1": "x"})
    files.write_state(paths, "g", state)
    assert json.loads((paths.data_dir / "watcher.g.data").read_text()) == {
        "node": {"n1": {"bootid": "x"}},
        "instance": {"a": {"restart_count": 1, "restart_when": NOW}},
    }
    assert msgspec.to_builtins(files.read_state(paths, "g")) == msgspec.to_builtins(state)
    files.state_file(paths, "g").write_text("garbage")
    assert files.read_state(paths, "g") == State()
    assert files.read_state(paths, "other") == State()


def test_the_states_of_all_groups_are_put_together(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    files.merge_status(paths, "g1", ["g1", "g2"], ["b running", "a ERROR_down"])
    files.merge_status(paths, "g2", ["g1", "g2"], ["c running"])
    together = (paths.run_dir / "instance-status").read_text()
    assert together == "a ERROR_down\nb running\nc running\n"
    files.remove_strangers(paths, ["g2"])
    files.merge_status(paths, "g2", ["g2"], ["c running"])
    assert (paths.run_dir / "instance-status").read_text() == "c running\n"


def test_the_pause(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.data_dir.mkdir(parents=True)
    assert files.paused_until(paths, NOW) is None
    paths.watcher_pause.write_text(f"{NOW + 10:.0f}\n")
    assert files.paused_until(paths, NOW) == NOW + 10
    assert files.paused_until(paths, NOW + 11) is None
    paths.watcher_pause.write_text("soon")
    with pytest.raises(ConfigurationError, match="'soon' instead of a time; remove it"):
        files.paused_until(paths, NOW)


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        files.locked(path, "another watcher"),
        pytest.raises(LockError, match="another watcher is at work already"),
        files.locked(path, "another watcher"),
    ):
        pass
    with files.locked(path, "another watcher"):
        pass


def test_a_master_daemon_that_hangs_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    answers = iter([LuxiError("no answer within 30 seconds"), None])

    def ping(_paths: Paths) -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    monkeypatch.setattr(master, "_ping", ping)
    for verb in ("stop", "start"):
        monkeypatch.setattr(
            control, verb, lambda _p, name, verb=verb: done.append(f"{verb} {name}")
        )
    master.ensure_answer(Paths(tmp_path))
    assert done == ["stop ganeti-masterd", "start ganeti-masterd"]

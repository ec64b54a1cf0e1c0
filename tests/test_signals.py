"""What SIGINT and SIGHUP do while a solver trains or tests."""

import os
import signal

import pytest

from caffe import cli
from caffe.commands import train
from caffe.signals import Effect, SignalRequests
from tests.solver_checks import line_solver, write_solver

FIXED = 'base_lr: 0.1 lr_policy: "fixed" max_iter: 6 '


def _send(number: int) -> None:
    os.kill(os.getpid(), number)


def _trained(folder, number: int, requests: SignalRequests, more="") -> tuple[int, list[int]]:
    """Iterations done and iterations with snapshots of a run that gets a signal in iteration 3."""
    solver = line_solver(folder, FIXED + f'snapshot_prefix: "{folder}/run" {more}')
    solver.signals = requests
    solver.add_callback(lambda: solver.iter == 3 and _send(number), lambda: None)
    solver.solve()
    assert solver.stopped == (solver.iter < 6)
    stems = [path.stem for path in folder.glob("run_iter_*.solverstate")]
    return solver.iter, sorted(int(stem.removeprefix("run_iter_")) for stem in stems)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (Effect.STOP, (4, [4])),
        (Effect.SNAPSHOT, (6, [4, 6])),
        (Effect.NONE, (6, [6])),
    ],
)
def test_either_signal_has_the_chosen_effect(tmp_path, number, effect, expected):
    requests = SignalRequests(
        *((effect, Effect.NONE) if number == signal.SIGINT else (Effect.NONE, effect))
    )
    assert _trained(tmp_path, number, requests) == expected


def test_a_stop_writes_nothing_where_the_end_of_training_would_not(tmp_path):
    """As Caffe: the snapshot at the end is what a stop writes."""
    requests = SignalRequests(Effect.STOP)
    done = _trained(tmp_path, signal.SIGINT, requests, "snapshot_after_train: false")
    assert done == (4, [])


def test_a_stop_outweighs_a_snapshot():
    with SignalRequests() as requests:
        _send(signal.SIGINT)
        _send(signal.SIGHUP)
        assert requests.stop
        assert requests.take() == Effect.STOP
        assert requests.take() == Effect.NONE


def test_a_stop_ends_a_test_too(tmp_path, caplog):
    caplog.set_level("INFO", logger="caffe")
    text = FIXED + f'snapshot_prefix: "{tmp_path}/run" test_interval: 2 test_iter: 1000000000'
    solver = line_solver(tmp_path, text)
    solver.test_nets[0].after_forward(lambda layer: solver.signals.stop or _send(signal.SIGINT))
    solver.solve()
    assert solver.stopped
    assert solver.iter == 0  # without another iteration, as Caffe
    assert "Test interrupted." in caplog.messages
    assert not any("Test net output" in message for message in caplog.messages)


def test_the_command_lines_flags(tmp_path, monkeypatch):
    text = FIXED + f'snapshot_prefix: "{tmp_path}/run"'
    given = []

    def noted(*args):
        given.append(args)
        return SignalRequests(*args)

    monkeypatch.setattr(train, "SignalRequests", noted)
    line = ["train", "-sighup_effect", "stop", "-sigint_effect=none", "-solver"]
    assert cli.main([*line, write_solver(tmp_path, text)]) == 0
    assert given == [(Effect.NONE, Effect.STOP)]

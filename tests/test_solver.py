"""Solvers: the update rules, the order of a step, what happens around it."""

import os
import re
import signal

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe import CaffeError, solver_param, updates
from caffe.device import current_device
from caffe.proto import caffe_pb2
from tests.layer_checks import relative_error
from tests.solver_checks import (
    SOLVERS,
    assert_weights,
    golden_solver,
    line_solver,
    write_solver,
)

FIXED = 'base_lr: 0.1 lr_policy: "fixed" '
RULES = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "delta: 1e-3",
    "RMSProp": "rms_decay: 0.8 delta: 1e-3",
    "AdaDelta": "momentum: 0.95 delta: 1e-3",
    "Adam": "momentum: 0.9 momentum2: 0.99 delta: 1e-3",
}
MULTS = "param { lr_mult: 1 decay_mult: 2 } param { lr_mult: 3 decay_mult: 0 }"


def _recorded() -> list[str]:
    return sorted(path.stem.removeprefix("solver_") for path in SOLVERS.glob("solver_*.npz"))


def test_all_golden_runs_are_there():
    assert len(_recorded()) == 8


@pytest.mark.parametrize("name", _recorded())
def test_follows_the_original(tmp_path, name):
    solver, case = golden_solver(tmp_path, name)
    for iteration, expected in enumerate(case["loss"]):
        solver.step(1)
        assert solver.smoothed_loss == pytest.approx(1.3 * expected, rel=1e-5)
        assert float(solver.net.blobs["loss"].data) == pytest.approx(expected, rel=1e-5)
        if iteration == 4:
            assert_weights(solver.net, case, "after5")
    assert solver.iter == 12
    assert_weights(solver.net, case, "after12")


class _ByHand:
    """The rules as Caffe's documentation writes them, one parameter at a time, in float64."""

    def __init__(self, rule: str, shape: tuple[int, ...], text: str) -> None:
        self.rule, self.p = rule, text_format.Parse(text, caffe_pb2.SolverParameter())
        self.h, self.h2, self.t = np.zeros(shape), np.zeros(shape), 0

    def change(self, g: np.ndarray, rate: float) -> np.ndarray:
        p, self.t = self.p, self.t + 1
        if self.rule in ("SGD", "Nesterov"):
            before, self.h = self.h, p.momentum * self.h + rate * g
            ahead = (1 + p.momentum) * self.h - p.momentum * before
            return self.h if self.rule == "SGD" else ahead
        if self.rule == "AdaGrad":
            self.h = self.h + g * g
            return rate * g / (np.sqrt(self.h) + p.delta)
        if self.rule == "RMSProp":
            self.h = p.rms_decay * self.h + (1 - p.rms_decay) * g * g
            return rate * g / (np.sqrt(self.h) + p.delta)
        if self.rule == "AdaDelta":
            self.h = p.momentum * self.h + (1 - p.momentum) * g * g
            step = g * np.sqrt((self.h2 + p.delta) / (self.h + p.delta))
            self.h2 = p.momentum * self.h2 + (1 - p.momentum) * step * step
            return rate * step
        self.h = p.momentum * self.h + (1 - p.momentum) * g
        self.h2 = p.momentum2 * self.h2 + (1 - p.momentum2) * g * g
        mean, square = self.h / (1 - p.momentum**self.t), self.h2 / (1 - p.momentum2**self.t)
        # Kingma & Ba's form; Caffe's delta is not divided by the square's correction.
        return rate * mean / (np.sqrt(square) + p.delta / np.sqrt(1 - p.momentum2**self.t))


def _line_gradients(x, y, w, b) -> list[np.ndarray]:
    """Of 1/(2N) sum |x w^T + b - y|^2."""
    error = (x @ w.T + b - y) / len(x)
    return [error.T @ x, error.sum(axis=0)]


@pytest.mark.parametrize("regularisation", ["L1", "L2"])
@pytest.mark.parametrize("rule", RULES)
def test_rule_by_hand(tmp_path, rule, regularisation):
    text = FIXED + f'type: "{rule}" {RULES[rule]} '
    extra = f'weight_decay: 0.05 regularization_type: "{regularisation}" iter_size: 3'
    solver = line_solver(tmp_path, text + extra + " clip_gradients: 2.5", MULTS)
    x, y = (solver.net.blobs[name].data.astype(np.float64) for name in "xy")
    params = [blob.data.astype(np.float64) for blob in solver.net.params["ip"]]
    rules = [_ByHand(rule, param.shape, text) for param in params]
    clipped = 0
    for _ in range(7):
        grads = [3 * grad for grad in _line_gradients(x, y, *params)]
        norm = np.sqrt(sum((grad**2).sum() for grad in grads))
        clipped += norm > 2.5
        grads = [grad * min(1, 2.5 / norm) / 3 for grad in grads]
        pull = np.sign(params[0]) if regularisation == "L1" else params[0]
        grads[0] += 0.05 * 2 * pull
        for i, lr_mult in enumerate((1, 3)):
            params[i] = params[i] - rules[i].change(grads[i], 0.1 * lr_mult)
        solver.step(1)
        for blob, param in zip(solver.net.params["ip"], params, strict=True):
            assert relative_error(blob.data, param) <= 2e-6
    assert clipped > 0


def test_sgd_in_any_memory_format(tmp_path, monkeypatch):
    """In one pass over the memory where weights, gradients and history lie alike."""
    net = """
    input: "x" input_shape { dim: 2 dim: 3 dim: 7 dim: 6 }
    layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param {
      num_output: 5 kernel_size: 4 kernel_size: 2 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "Reduction" bottom: "conv" top: "loss" loss_weight: 1
      reduction_param { operation: SUMSQ } }
    """
    path = write_solver(tmp_path, f"weight_decay: 0.05 {FIXED} {RULES['SGD']}", net=net)
    fused, used = updates.sgd, []
    monkeypatch.setattr(updates, "sgd", lambda *a, **k: used.append(a) or fused(*a, **k))
    results = []
    for look in (lambda blob: None, lambda blob: blob.diff, lambda blob: blob.data):
        caffe.set_random_seed(3)
        solver = caffe.get_solver(path)
        solver.net.blobs["x"].data[...] = np.random.default_rng(1).standard_normal((2, 3, 7, 6))
        used.clear()
        for _ in range(3):
            held = look(solver.net.params["conv"][0])
            solver.step(1)
        results.append((solver.net.params["conv"][0].data.copy(), len(used)))
        del held
    (plain, often), *others = results
    assert often == (3 if current_device().type in ("cpu", "cuda") else 0)
    assert all(count < 3 for _, count in others)
    for weights, _ in others:
        np.testing.assert_allclose(weights, plain, rtol=1e-5, atol=1e-7)


def test_views_of_parameters_stay_current_and_writable(tmp_path):
    solver = line_solver(tmp_path, FIXED)
    weight = solver.net.params["ip"][0]
    view = weight.data
    before = view.copy()
    solver.step(1)
    assert weight.data is view  # asking is what brings it up to date on a GPU
    assert np.abs(view - before).max() > 1e-3
    view[...] = 0
    grad = _line_gradients(
        *(solver.net.blobs[n].data for n in "xy"), view, solver.net.params["ip"][1].data
    )[0]
    solver.step(1)
    assert weight.data is view
    np.testing.assert_allclose(view, -0.1 * grad, rtol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_a_gpu_computes_the_same(tmp_path, gpu, rule):
    text = FIXED + f'type: "{rule}" {RULES[rule]} weight_decay: 0.05 clip_gradients: 2.5'
    on_cpu, on_gpu = (line_solver(tmp_path, text, MULTS) for _ in range(2))
    on_cpu.step(5)
    view = on_gpu.net.params["ip"][0].data
    caffe.set_mode_gpu()
    on_gpu.step(5)
    assert on_gpu.net.params["ip"][0].data is view
    assert relative_error(view, on_cpu.net.params["ip"][0].data) <= 1e-5


def test_a_frozen_parameter_stays(tmp_path):
    """lr_mult 0: no gradient, no change, whatever the decay."""
    frozen = "param { lr_mult: 0 decay_mult: 1 } param { lr_mult: 1 }"
    solver = line_solver(tmp_path, FIXED + "momentum: 0.9 weight_decay: 0.1", frozen)
    weight, bias = (blob.data.copy() for blob in solver.net.params["ip"])
    solver.step(3)
    assert np.array_equal(solver.net.params["ip"][0].data, weight)
    assert not solver.net.params["ip"][0].diff.any()
    assert np.abs(solver.net.params["ip"][1].data - bias).min() > 1e-3


def test_iterations_callbacks_and_smoothed_loss(tmp_path):
    solver = line_solver(tmp_path, FIXED + "average_loss: 3 iter_size: 2")
    started, gradients, losses = [], [], []

    def ready():
        gradients.append(float(solver.net.params["ip"][1].diff[0]))
        losses.append(float(solver.net.blobs["loss"].data))

    solver.add_callback(lambda: started.append(solver.iter), ready)
    solver.step(5)
    assert started == [0, 1, 2, 3, 4]
    assert len(gradients) == 5
    assert all(gradients)
    assert solver.smoothed_loss == pytest.approx(np.mean(losses[-3:]), rel=1e-6)
    solver.step(1)  # in a loop over step(1) Caffe shows each iteration's own loss
    assert solver.smoothed_loss == pytest.approx(losses[-1], rel=1e-6)


TESTED = """
test_iter: 4 test_iter: 2 test_interval: 3 test_compute_loss: true
test_state { stage: "deep" } test_state { }
"""
TEST_NET = """
name: "line"
layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 3 dim: 5 } shape { dim: 3 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z" inner_product_param { num_output: 2
  weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "deep" type: "ReLU" bottom: "z" top: "r" include { stage: "deep" } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y" top: "loss" loss_weight: 2 }
"""


def test_test_nets_share_the_parameters(tmp_path, caplog):
    caplog.set_level("INFO", logger="caffe")
    path = write_solver(tmp_path, FIXED + TESTED + "display: 2", net=TEST_NET)
    solver = caffe.get_solver(path)
    assert ["deep" in net.layer_dict for net in solver.test_nets] == [True, False]
    for net in [solver.net, *solver.test_nets]:
        net.blobs["x"].data[...] = np.arange(15).reshape(3, 5) / 10
    caplog.clear()
    solver.step(7)
    lines = [record.getMessage() for record in caplog.records]
    tests = [line for line in lines if "Testing net" in line]
    assert tests == [f"Iteration {i}, Testing net (#{j})" for i in (0, 3, 6) for j in (0, 1)]
    shown = [line.split(" (")[0] for line in lines if "iter/s" in line]
    assert shown == [f"Iteration {i}" for i in (0, 2, 4, 6)]
    assert "Iteration 6, lr = 0.1" in lines
    for net in solver.test_nets:
        assert np.array_equal(net.params["ip"][0].data, solver.net.params["ip"][0].data)
    pattern = r"    Test net output #0: loss = (\S+) \(\* 2 = (\S+) loss\)"
    value, weighted = (float(n) for n in re.findall(pattern, "\n".join(lines))[-1])
    assert weighted == pytest.approx(2 * value, rel=1e-3)
    assert f"Test loss: {weighted:g}" in lines


def test_test_initialization_can_be_left_out(tmp_path, caplog):
    caplog.set_level("INFO", logger="caffe")
    text = FIXED + "test_iter: 1 test_interval: 2 test_initialization: false"
    caffe.get_solver(write_solver(tmp_path, text)).step(3)
    tests = [r.getMessage() for r in caplog.records if "Testing" in r.getMessage()]
    assert tests == ["Iteration 2, Testing net (#0)"]


def test_random_seed_repeats_the_fillers(tmp_path):
    path = write_solver(tmp_path, FIXED + "random_seed: 17")
    first, second = (caffe.SGDSolver(path).net.params["ip"][0].data for _ in range(2))
    assert np.array_equal(first, second)


def test_weights_field_and_train_state(tmp_path):
    donor = line_solver(tmp_path, FIXED)
    donor.net.save(tmp_path / "donor.caffemodel")
    deep = 'layer { name: "r" type: "ReLU" bottom: "z" top: "r" include { stage: "deep" } }'
    text = FIXED + f'weights: "{tmp_path}/donor.caffemodel" train_state {{ stage: "deep" }}'
    net = (tmp_path / "net.prototxt").read_text() + deep
    solver = caffe.SGDSolver(write_solver(tmp_path, text, net=net))
    assert "r" in solver.net.layer_dict
    assert np.array_equal(solver.net.params["ip"][0].data, donor.net.params["ip"][0].data)


@pytest.mark.parametrize(("text", "kind"), [(f'type: "{rule}"', rule) for rule in RULES])
def test_type_names_the_class(tmp_path, text, kind):
    solver = caffe.get_solver(write_solver(tmp_path, FIXED + text))
    assert type(solver) is getattr(caffe, f"{kind}Solver")


def test_old_solver_type(tmp_path):
    solver = caffe.get_solver(write_solver(tmp_path, FIXED + "solver_type: ADAGRAD"))
    assert isinstance(solver, caffe.AdaGradSolver)
    assert solver.param.type == "AdaGrad"
    assert isinstance(caffe.get_solver(solver.param), caffe.AdaGradSolver)
    old = text_format.Parse(FIXED + "solver_type: ADAM", caffe_pb2.SolverParameter())
    assert solver_param.read(old).type == "Adam"


def test_sigint_stops_with_a_snapshot(tmp_path):
    text = FIXED + f'max_iter: 9 snapshot_prefix: "{tmp_path}/run" momentum: 0.9'
    whole = line_solver(tmp_path, text)
    whole.solve()
    handler = signal.getsignal(signal.SIGINT)
    solver = line_solver(tmp_path, text)
    kill = {4: signal.SIGINT, 2: signal.SIGHUP}
    solver.add_callback(
        lambda: solver.iter in kill and os.kill(os.getpid(), kill[solver.iter]), lambda: None
    )
    solver.solve()
    assert solver.stopped
    assert solver.iter == 5
    assert signal.getsignal(signal.SIGINT) is handler
    left = sorted(path.name for path in tmp_path.glob("run_iter_*.solverstate"))
    assert left == [f"run_iter_{i}.solverstate" for i in (3, 5, 9)]
    again = line_solver(tmp_path, text)
    again.solve(tmp_path / "run_iter_5.solverstate")
    assert not again.stopped
    assert again.iter == 9
    for mine, theirs in zip(again.net.params["ip"], whole.net.params["ip"], strict=True):
        assert np.array_equal(mine.data, theirs.data)


def test_sighup_where_a_snapshot_is_due_writes_it_once(tmp_path, caplog):
    """Whether the interval, the end of training or SIGINT makes it due."""
    caplog.set_level("INFO", logger="caffe")
    text = FIXED + f'max_iter: 7 snapshot: 2 snapshot_prefix: "{tmp_path}/run"'
    solver = line_solver(tmp_path, text)
    solver.add_callback(
        lambda: solver.iter in (3, 6) and os.kill(os.getpid(), signal.SIGHUP), lambda: None
    )
    solver.solve()
    written = re.findall(r"Snapshotting .*run_iter_(\d)\.solverstate", caplog.text)
    assert written == ["2", "4", "6", "7"]


def test_debug_info_of_the_solver_speaks_when_it_displays(tmp_path, caplog):
    solver = line_solver(tmp_path, FIXED + "debug_info: true display: 2")
    with caplog.at_level("INFO", "caffe"):
        solver.step(5)
    assert caplog.text.count("[Backward] Layer ip, param blob 0 diff:") == 3


def test_the_solvers_state_goes_over_the_nets_own(tmp_path):
    tests = "test_iter: 1 test_iter: 1 test_interval: 9 test_initialization: false "
    nothing = line_solver(tmp_path, FIXED + tests)
    assert [net.phase for net in (nothing.net, *nothing.test_nets)] == [0, 1, 1]
    states = "train_state { phase: TEST } test_state { phase: TRAIN } test_state { level: 2 }"
    given = line_solver(tmp_path, FIXED + tests + states)
    assert [net.phase for net in (given.net, *given.test_nets)] == [1, 0, 1]


@pytest.mark.parametrize(
    "rule",
    [
        'type: "SGD" momentum: 0.9',
        'type: "Nesterov" momentum: 0.9',
        'type: "AdaGrad"',
        'type: "RMSProp"',
        'type: "AdaDelta" momentum: 0.9 delta: 1e-6',
        'type: "Adam" momentum: 0.9',
    ],
)
def test_after_a_step_the_diffs_hold_what_was_subtracted(tmp_path, rule):
    solver = line_solver(tmp_path, FIXED + f"{rule} weight_decay: 0.1")
    params = solver.net.params["ip"]
    view = params[1].diff
    for _ in range(3):
        before = [blob.data.copy() for blob in params]
        solver.step(1)
        for blob, old in zip(params, before, strict=True):
            assert blob.diff.any()
            np.testing.assert_allclose(blob.diff, old - blob.data, rtol=1e-3, atol=1e-7)
    assert view is params[1].diff


def test_share_weights(tmp_path):
    solver = line_solver(tmp_path, FIXED)
    other = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    solver.share_weights(other)
    solver.step(1)
    np.testing.assert_array_equal(other.params["ip"][0].data, solver.net.params["ip"][0].data)


def test_second_sigint_interrupts_at_once(tmp_path):
    solver = line_solver(tmp_path, FIXED + f'max_iter: 9 snapshot_prefix: "{tmp_path}/run"')

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    solver.add_callback(twice, lambda: None)
    with pytest.raises(KeyboardInterrupt):
        solver.solve()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FIXED + 'type: "Adamm"', 'solver.prototxt: unknown solver type "Adamm"; expected one of'),
        (FIXED + 'type: "SGD" solver_type: SGD', "give type or the old solver_type, not both"),
        (FIXED + 'regularization_type: "L3"', 'unknown regularization_type "L3"'),
        (FIXED + "iter_size: 0", "iter_size must be at least 1, got 0"),
        (FIXED + 'type: "AdaGrad" momentum: 0.9', "AdaGrad has no momentum; expected 0, got 0.9"),
        (FIXED + 'type: "RMSProp" momentum: 0.9', "RMSProp has no momentum"),
        (FIXED + 'snapshot: 5 snapshot_prefix: "NET/run"', "cannot write there"),
        (FIXED + "test_iter: 2", "1 test net(s), but test_interval is missing"),
        (FIXED + 'test_net: "NET" test_interval: 2', "1 test net(s), but 0 test_iter"),
        (FIXED + "test_iter: 0 test_interval: 2", "test_iter must be at least 1, got [0]"),
        (FIXED + "test_iter: 2 test_interval: 2 test_state {} test_state {}", "but 2 test_state"),
        (FIXED + 'train_net: "other"', "expected exactly one of net, net_param, train_net"),
        (FIXED + 'weights: "nix.caffemodel"', "nix.caffemodel: cannot read"),
        (FIXED + "no_such_field: 1", "solver.prototxt:2:"),
        ('base_lr: 0.1 lr_policy: "stairs"', 'solver.prototxt: unknown lr_policy "stairs"'),
    ],
)
def test_what_cannot_work_is_one_clear_line(tmp_path, text, message):
    text = text.replace("NET", str(tmp_path / "net.prototxt"))
    with pytest.raises(CaffeError) as error:
        caffe.get_solver(write_solver(tmp_path, text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_message_is_called_solver_where_it_cannot_work():
    param = text_format.Parse(FIXED + 'type: "Adamm"', caffe_pb2.SolverParameter())
    with pytest.raises(CaffeError, match=r'^solver: unknown solver type "Adamm"; expected one of'):
        caffe.get_solver(param)


def test_missing_files(tmp_path):
    with pytest.raises(CaffeError, match=r"nix\.prototxt: cannot read"):
        caffe.get_solver(str(tmp_path / "nix.prototxt"))
    path = write_solver(tmp_path, FIXED)
    (tmp_path / "net.prototxt").unlink()
    with pytest.raises(CaffeError, match=r"net\.prototxt: cannot read"):
        caffe.SGDSolver(path)
    with pytest.raises(CaffeError, match="got none"):
        caffe.SGDSolver(caffe_pb2.SolverParameter(base_lr=1, lr_policy="fixed"))


def test_solve_needs_max_iter(tmp_path):
    with pytest.raises(CaffeError, match="max_iter is missing"):
        line_solver(tmp_path, FIXED).solve()

"""Learning-rate policies."""

import pytest
from google.protobuf import text_format

from caffe import CaffeError, lr_policy
from caffe.proto import caffe_pb2


def _param(text: str) -> caffe_pb2.SolverParameter:
    return text_format.Parse("base_lr: 0.5 " + text, caffe_pb2.SolverParameter())


@pytest.mark.parametrize(
    ("text", "iteration", "rate"),
    [
        ('lr_policy: "fixed"', 1000, 0.5),
        ('lr_policy: "step" gamma: 0.5 stepsize: 4', 3, 0.5),
        ('lr_policy: "step" gamma: 0.5 stepsize: 4', 4, 0.25),
        ('lr_policy: "step" gamma: 0.5 stepsize: 4', 11, 0.125),
        ('lr_policy: "multistep" gamma: 0.5 stepvalue: 3 stepvalue: 7', 2, 0.5),
        ('lr_policy: "multistep" gamma: 0.5 stepvalue: 3 stepvalue: 7', 3, 0.25),
        ('lr_policy: "multistep" gamma: 0.5 stepvalue: 3 stepvalue: 7', 7, 0.125),
        ('lr_policy: "multistep" gamma: 0.5 stepvalue: 3 stepvalue: 7', 99, 0.125),
        ('lr_policy: "exp" gamma: 0.5', 3, 0.0625),
        ('lr_policy: "poly" power: 0 max_iter: 7', 3, 0.5),
        ('lr_policy: "inv" gamma: 1.5 power: 2', 2, 0.03125),  # 0.5 / 4^2
        ('lr_policy: "poly" power: 2 max_iter: 8', 0, 0.5),
        ('lr_policy: "poly" power: 2 max_iter: 8', 4, 0.125),
        ('lr_policy: "poly" power: 0.5 max_iter: 8', 9, 0.0),
        ('lr_policy: "sigmoid" gamma: -0.5 stepsize: 6', 6, 0.25),
        ('lr_policy: "sigmoid" gamma: -0.5 stepsize: 6', 10, 0.0596015),  # 0.5 / (1 + e^2)
    ],
)
def test_rate_by_hand(text, iteration, rate):
    param = _param(text)
    lr_policy.check(param, "s")
    assert lr_policy.learning_rate(param, iteration) == pytest.approx(rate, rel=1e-6, abs=1e-12)


def test_current_step_counts_the_drops():
    step = _param('lr_policy: "step" gamma: 0.5 stepsize: 4')
    assert [lr_policy.current_step(step, i) for i in (0, 3, 4, 11)] == [0, 0, 1, 2]
    steps = _param('lr_policy: "multistep" gamma: 0.5 stepvalue: 3 stepvalue: 7')
    assert [lr_policy.current_step(steps, i) for i in (0, 3, 6, 7)] == [0, 1, 1, 2]
    assert lr_policy.current_step(_param('lr_policy: "fixed"'), 9) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 's.prototxt: unknown lr_policy ""; expected one of fixed, step'),
        ('lr_policy: "stepp"', 'unknown lr_policy "stepp"'),
        ('lr_policy: "step" gamma: 0.1', 'lr_policy "step" needs stepsize'),
        ('lr_policy: "multistep" gamma: 0.1', 'lr_policy "multistep" needs stepvalue'),
        ('lr_policy: "poly" power: 1', 'lr_policy "poly" needs max_iter'),
        ('lr_policy: "exp"', 'lr_policy "exp" needs gamma'),
    ],
)
def test_unknown_or_incomplete_policy_is_refused(text, message):
    with pytest.raises(CaffeError) as error:
        lr_policy.check(_param(text), "s.prototxt")
    assert message in str(error.value)


def test_base_lr_is_required():
    param = caffe_pb2.SolverParameter(lr_policy="fixed")
    with pytest.raises(CaffeError, match=r"^s\.prototxt: base_lr is missing$"):
        lr_policy.check(param, "s.prototxt")

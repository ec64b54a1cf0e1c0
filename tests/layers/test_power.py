"""Power: hand value, golden value, all fields, gradient."""

import numpy as np
import pytest
import torch

from tests.layer_checks import check_gradient, make_layer, net_from_text, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Power" bottom:"x" top:"y" power_param{%s}'


def test_golden(tmp_path):
    replay_golden(tmp_path, "pspnet/power")


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        ("", [1, 2, 4]),
        ("scale:-2 shift:1", [-1, -3, -7]),
        ("power:2 scale:0.5 shift:1", [2.25, 4, 9]),
        ("power:-1", [1, 0.5, 0.25]),
        ("power:0", [1, 1, 1]),
        ("power:3 scale:0 shift:2", [8, 8, 8]),
    ],
)
def test_hand_values(fields, want):
    x = torch.tensor([1.0, 2.0, 4.0])
    (y,) = make_layer(TEXT % fields, (3,)).run(x, device=CPU)
    np.testing.assert_allclose(y, want)


def test_a_constant_has_no_gradient(tmp_path):
    text = (
        'force_backward:true input:"x" input_shape{dim:3 dim:5} '
        f"layer{{{TEXT % 'power:0.5 scale:0'}}}"
    )
    net = net_from_text(tmp_path, text)
    net.forward()
    net.blobs["y"].diff[...] = 1
    net.backward()
    np.testing.assert_array_equal(net.blobs["x"].diff, np.zeros((3, 5)))


def test_gradient():
    x = np.random.default_rng(1).random((2, 3, 5))
    check_gradient(make_layer(TEXT % "power:2.5 scale:0.5 shift:1", x.shape), x)

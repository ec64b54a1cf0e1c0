"""ReLU: hand values, golden values, gradient, in place."""

import numpy as np
import pytest
import torch

from tests.layer_checks import check_gradient, make_layer, net_from_text, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"ReLU" bottom:"x" top:"y" relu_param{negative_slope:%g}'


@pytest.mark.parametrize("case", ["mlic/relu", "mlic/relu_leaky", "pspnet/relu_leaky"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


@pytest.mark.parametrize(("slope", "want"), [(0, [0, 0, 3]), (0.5, [-1, 0, 3]), (-2, [4, 0, 3])])
def test_hand_values(slope, want):
    x = torch.tensor([-2.0, 0.0, 3.0])
    (y,) = make_layer(TEXT % slope, (3,)).run(x, device=CPU)
    np.testing.assert_array_equal(y, want)


@pytest.mark.parametrize("slope", [0, 0.5, -2])
def test_gradient(slope):
    x = np.random.default_rng(1).standard_normal((2, 3, 5))
    x += np.sign(x) * 0.1
    check_gradient(make_layer(TEXT % slope, x.shape), x)


def test_in_place(tmp_path):
    text = (
        'force_backward:true layer{name:"in" type:"Input" top:"x"'
        " input_param{shape{dim:2 dim:3}}}"
        'layer{name:"p" type:"Power" bottom:"x" top:"h" power_param{power:2 shift:1}}'
        'layer{name:"l" type:"ReLU" bottom:"h" top:"h"}'
    )
    net = net_from_text(tmp_path, text)
    net.blobs["x"].data[...] = 2
    net.forward()
    np.testing.assert_array_equal(net.blobs["h"].data, 9)
    net.backward(h=np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(net.blobs["x"].diff, 6)

"""Dropout: both phases, golden values, gradient, in place, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import make_layer, net_from_text, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Dropout" bottom:"x" top:"y" dropout_param{dropout_ratio:%s}'


@pytest.mark.parametrize("case", ["mlic/dropout_test", "pspnet/dropout_test"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_train_drops_the_ratio_and_scales_the_rest():
    torch.manual_seed(0)
    x = torch.full((20, 30, 50), 2.0, requires_grad=True)
    (y,) = make_layer(TEXT % "0.3", x.shape).run(x, device=CPU)
    dropped = y == 0
    assert float(dropped.double().mean()) == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(y.detach()[~dropped], 2 / 0.7, rtol=1e-6)
    (grad,) = torch.autograd.grad(y.sum(), x)
    np.testing.assert_allclose(grad, torch.where(dropped, 0, 1 / 0.7), rtol=1e-6)


def test_each_pass_draws_anew_and_the_seed_repeats_it():
    layer = make_layer(TEXT % "0.5", (6, 7))
    caffe.set_random_seed(3)
    first, second = (layer.run(torch.ones(6, 7), device=CPU)[0] for _ in range(2))
    caffe.set_random_seed(3)
    (again,) = layer.run(torch.ones(6, 7), device=CPU)
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


def test_in_place(tmp_path):
    text = (
        'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:2 dim:3 dim:5}}}'
        'layer{name:"p" type:"Power" bottom:"x" top:"h" power_param{scale:2}}'
        'layer{name:"l" type:"Dropout" bottom:"h" top:"h"}'
    )
    for phase, values in ((caffe.TEST, {2}), (caffe.TRAIN, {0, 4})):
        net = net_from_text(tmp_path, text, phase)
        net.blobs["x"].data[...] = 1
        net.forward()
        assert set(net.blobs["h"].data.flat) == values
        np.testing.assert_array_equal(net.blobs["x"].data, 1)


def test_a_ratio_of_zero_drops_nothing():
    x = torch.arange(35.0).reshape(7, 5)
    np.testing.assert_array_equal(make_layer(TEXT % "0", x.shape).run(x, device=CPU)[0], x)


@pytest.mark.parametrize("ratio", ["1", "-0.5"])
def test_ratio_outside(ratio):
    with pytest.raises(caffe.CaffeError, match=f"from 0 to below 1, got {ratio}"):
        make_layer(TEXT % ratio, (2, 3))

"""BN: golden values, both phases, running averages, frozen, gradient."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import make_layer, net_from_text, replay_golden

CPU = torch.device("cpu")
TEXT = (
    'name:"l" type:"BN" bottom:"x" top:"y" bn_param{'
    'slope_filler{type:"gaussian"} bias_filler{type:"gaussian"} %s}'
)


@pytest.mark.parametrize("case", ["pspnet_bn_test", "pspnet_bn_train"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, f"pspnet/{case}")


def data(*shape):
    return np.random.default_rng(0).standard_normal(shape) * 2 + 7


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 7), (4, 3, 5, 2)])
def test_train(shape):
    x = data(*shape)
    layer = make_layer(TEXT % "momentum:0.75 eps:0.1", shape)
    layer.blobs[2].store(torch.full((1, 3, 1, 1), 2.0, dtype=torch.float64))
    (y,) = layer.run(torch.tensor(x), device=CPU)
    axes = tuple(i for i in range(len(shape)) if i != 1)
    mean, var = x.mean(axes), x.var(axes)
    wide = (3, *[1] * (len(shape) - 2))
    slope, bias = (blob.tensor().detach().numpy().reshape(wide) for blob in layer.blobs[:2])
    want = slope * (x - mean.reshape(wide)) / np.sqrt(var.reshape(wide) + 0.1) + bias
    np.testing.assert_allclose(y.detach(), want, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(layer.blobs[2].data.ravel(), 1.5 + 0.25 * mean, rtol=1e-6)
    np.testing.assert_allclose(layer.blobs[3].data.ravel(), 0.25 * var, rtol=1e-6)


@pytest.mark.parametrize(("phase", "fields"), [(caffe.TEST, ""), (caffe.TRAIN, "frozen:true")])
def test_running_statistics_are_used_and_kept(phase, fields):
    x = data(4, 3, 5, 2)
    layer = make_layer(TEXT % fields, x.shape, phase=phase)
    for blob, values in zip(layer.blobs, ([1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 4, 9]), strict=True):
        blob.store(torch.tensor(values, dtype=torch.float64).reshape(1, 3, 1, 1))
    (y,) = layer.run(torch.tensor(x), device=CPU)
    one, two, three = x[:, 0], x[:, 1], x[:, 2]
    want = np.stack([one - 7 + 4, two - 8 + 5, three - 9 + 6], 1)
    np.testing.assert_allclose(y.detach(), want, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(layer.blobs[3].data.ravel(), [1, 4, 9])


@pytest.mark.parametrize(("fields", "rates"), [("", [1, 1, 0, 0]), ("frozen:true", [0, 0, 0, 0])])
def test_what_the_solver_may_move(tmp_path, fields, rates):
    text = (
        'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:4 dim:3 dim:5}}}'
        f"layer{{{TEXT % fields}}}"
    )
    net = net_from_text(tmp_path, text)
    assert [spec.lr_mult for _, spec in net.learnable()] == rates
    assert [spec.decay_mult for _, spec in net.learnable()] == rates
    assert net.params["l"][3].data.all() == bool(fields)


@pytest.mark.parametrize("fields", ["", "frozen:true"])
def test_gradient(fields):
    layer = make_layer(TEXT % fields, (4, 3, 5))
    slope, bias = (blob.tensor().detach() for blob in layer.blobs[:2])
    x = torch.tensor(data(4, 3, 5))

    def run(x, slope, bias):
        layer.blobs[0].store(slope)
        layer.blobs[1].store(bias)
        return layer.run(x, device=CPU)[0]

    leaves = [leaf.requires_grad_(True) for leaf in (x, slope, bias)]
    assert torch.autograd.gradcheck(run, leaves[:1] + leaves[1:])


def test_needs_channels():
    with pytest.raises(caffe.CaffeError, match=r"a bottom \(N, C, ...\), got \(4,\)"):
        make_layer(TEXT % "", (4,))


def test_a_batch_of_nothing_leaves_the_averages():
    layer = make_layer(TEXT % "", (2, 3, 5))
    before = layer.blobs[3].data.copy()
    (y,) = layer.run(torch.zeros(0, 3, 5), device=CPU)
    assert y.shape == (0, 3, 5)
    np.testing.assert_array_equal(layer.blobs[3].data, before)


def test_one_number_per_channel_becomes_the_bias():
    """PSPNet's pyramid has such maps in a batch of one."""
    text = "bn_param{slope_filler{value:3} bias_filler{value:7} momentum:0.5}"
    layer = make_layer(f'name:"l" type:"BN" bottom:"x" top:"y" {text}', (1, 3, 1, 1))
    assert layer.top_shapes((1, 3, 1, 1)) == [(1, 3, 1, 1)]
    x = torch.tensor([2.0, -4.0, 6.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    (y,) = layer.run(x, device=torch.device("cpu"))
    assert y.ravel().tolist() == [7, 7, 7]
    assert layer.blobs[2].data.ravel().tolist() == [1, -2, 3]
    assert not layer.blobs[3].data.any()

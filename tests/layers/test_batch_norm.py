"""BatchNorm: golden value, batch and global statistics, moving averages, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import make_layer, net_from_text, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"BatchNorm" bottom:"x" top:"y" batch_norm_param{%s}'


def test_golden(tmp_path):
    replay_golden(tmp_path, "mlic/bn_global")


def data(seed=0):
    return np.random.default_rng(seed).standard_normal((4, 3, 5, 2)) * 2 + 7


def test_train_takes_the_statistics_of_the_batch():
    x = data()
    (y,) = make_layer(TEXT % "eps:0.1", x.shape).run(torch.tensor(x), device=CPU)
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 0.1), rtol=1e-6, atol=1e-9)


def test_two_passes_move_the_averages():
    layer = make_layer(TEXT % "moving_average_fraction:0.75", (4, 3, 5, 2))
    for seed in (1, 2):
        layer.run(torch.tensor(data(seed)), device=CPU)
    mean, var, weight = (blob.tensor().numpy() for blob in layer.blobs)
    first, second = data(1), data(2)
    np.testing.assert_allclose(
        mean, 0.75 * first.mean((0, 2, 3)) + second.mean((0, 2, 3)), rtol=1e-6
    )
    want = 0.75 * first.var((0, 2, 3), ddof=1) + second.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(var, want, rtol=1e-6)
    np.testing.assert_allclose(weight, [1.75])


def test_averages_can_be_kept_in_training():
    layer = make_layer(TEXT % "update_global_stats:false", (4, 3, 5, 2))
    layer.run(torch.tensor(data()), device=CPU)
    assert not any(blob.data.any() for blob in layer.blobs)


def test_test_phase_uses_and_keeps_the_averages():
    layer = make_layer(TEXT % "", (4, 3, 5, 2), phase=caffe.TEST)
    for blob, values in zip(layer.blobs, ([2, 4, 6], [8, 18, 32], [2]), strict=True):
        blob.store(torch.tensor(values, dtype=torch.float64))
    x = data()
    (y,) = layer.run(torch.tensor(x), device=CPU)
    mean = np.array([1, 2, 3]).reshape(3, 1, 1)
    np.testing.assert_allclose(y, (x - mean) / np.array([2, 3, 4]).reshape(3, 1, 1), rtol=1e-5)
    np.testing.assert_array_equal(layer.blobs[2].data, [2])


@pytest.mark.parametrize("shape", [(5, 3), (5,), (4, 3, 7), (2, 3, 4, 5, 2)])
def test_other_numbers_of_axes(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    layer = make_layer(TEXT % "", shape)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    axes = tuple(i for i in range(len(shape)) if i != 1)
    want = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, want, rtol=1e-6, atol=1e-9)
    assert layer.blobs[0].shape == (shape[1] if len(shape) > 1 else 1,)


@pytest.mark.parametrize("shape", [(0, 3, 5), (4, 0)])
def test_a_batch_of_nothing_leaves_the_averages(shape):
    layer = make_layer(TEXT % "", shape)
    (y,) = layer.run(torch.zeros(shape), device=CPU)
    assert y.shape == shape
    assert not layer.blobs[2].data.any()


@pytest.mark.parametrize("fixed", ["true", "false"])
def test_gradient(fixed):
    layer = make_layer(TEXT % f"use_global_stats:{fixed}", (4, 3, 5, 2))
    for blob in layer.blobs:
        blob.store(torch.ones(blob.shape, dtype=torch.float64))
    x = torch.tensor(data(), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer.run(x, device=CPU)[0], x)


def test_construction_and_solver_leave_the_statistics(tmp_path):
    text = (
        'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:4 dim:3 dim:5}}}'
        f"layer{{{TEXT % ''} param{{lr_mult:1}}}}"
    )
    net = net_from_text(tmp_path, text)
    net.forward()
    np.testing.assert_array_equal(net.params["l"][2].data, [1])
    assert [spec.lr_mult for _, spec in net.learnable()] == [0, 0, 0]
    assert [spec.decay_mult for _, spec in net.learnable()] == [0, 0, 0]


def test_contradicting_fields():
    with pytest.raises(caffe.CaffeError, match="update_global_stats needs use_global_stats: false"):
        make_layer(TEXT % "update_global_stats:true use_global_stats:true", (4, 3))


def test_one_number_per_channel_becomes_zero():
    layer = make_layer('name:"l" type:"BatchNorm" bottom:"x" top:"y"', (1, 3))
    assert layer.top_shapes((1, 3)) == [(1, 3)]
    x = torch.tensor([[2.0, -4.0, 6.0]], dtype=torch.float64)
    (y,) = layer.run(x, device=torch.device("cpu"))
    assert not y.any()
    assert layer.blobs[0].data.tolist() == [2, -4, 6]
    assert not layer.blobs[1].data.any()


@pytest.mark.parametrize("shape", [(4, 6, 5), (4, 6, 7, 5), (4, 6, 3, 5, 2)])
def test_a_slice_of_a_map(shape):
    """Numbers that do not lie side by side."""
    whole = torch.tensor(np.random.default_rng(4).standard_normal(shape))
    part = whole[:, 1:4]
    (y,) = make_layer(TEXT % "eps:0.1", part.shape).run(part, device=CPU)
    x, axes = part.numpy(), (0, *range(2, len(shape)))
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 0.1), rtol=1e-6, atol=1e-9)


def test_large_channels_last_maps_keep_their_precision():
    """Sums in float32, one number after another, were 3e-4 off."""
    x = np.random.default_rng(3).standard_normal((7, 2, 300, 290)).astype(np.float32) * 0.3 + 0.4
    given = torch.tensor(x).contiguous(memory_format=torch.channels_last)
    (y,) = make_layer(TEXT % "eps:0.1", x.shape).run(given, device=CPU)
    x = x.astype(np.float64)
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 0.1), rtol=2e-6, atol=2e-6)

"""AdaptiveBiasChannel: hand value, shares that the labels win, suppression, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import make_layer

CPU = torch.device("cpu")
TEXT = (
    'name:"l" type:"AdaptiveBiasChannel" bottom:"x" bottom:"y" top:"z" '
    "adaptive_bias_channel_param{%s}"
)


def run(fields, x, labels):
    x, y = torch.as_tensor(x), torch.tensor(labels, dtype=torch.float32)
    layer = make_layer(TEXT % fields, tuple(x.shape), tuple(y.shape))
    (z,) = layer.run(x, y, device=CPU)
    return z.numpy()


def test_hand_value():
    # Four places; label 2 lacks 3, 1, 7, 2 there: with +2 it is above at one and level at one.
    x = np.array([5.0, 2, 9, 4, 0, 1, 0, 0, 2, 1, 2, 2]).reshape(1, 3, 1, 4)
    z = run("fg_portion:0.25 suppress_others:false", x, [[2, -1]])
    np.testing.assert_allclose(z[0, :, 0], [[5, 2, 9, 4], [0, 1, 0, 0], [4, 3, 4, 4]])


def test_each_label_alone_wins_its_share():
    x = np.random.default_rng(0).standard_normal((2, 4, 7, 5))
    x[:, 2] += 5
    z = run("bg_portion:0.2 fg_portion:0.4 suppress_others:false", x, [[3], [0]])
    won = [(z[n, c] > np.delete(z[n], c, axis=0).max(axis=0)).sum() for n, c in ((0, 3), (1, 0))]
    assert won == [14, 7]
    for n, channel in [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]:
        np.testing.assert_array_equal(z[n, channel], x[n, channel])
    assert len(np.unique((z - x)[0, 3].round(9))) == 1, "one bias for the whole channel"


def test_a_label_with_more_than_its_share_stays():
    x = np.zeros((1, 2, 7, 5))
    x[:, 0] = 3
    np.testing.assert_array_equal(run("bg_portion:0.5", x, [[0]])[:, 0], x[:, 0])


def test_rounds_go_on_from_one_another():
    x = np.random.default_rng(1).standard_normal((1, 3, 7, 5))
    fields = "bg_portion:0.4 fg_portion:0.3 suppress_others:false num_iter:%d"
    once, twice = (run(fields % rounds, x, [[0, 2, 1]]) for rounds in (1, 2))
    np.testing.assert_allclose(run(fields % 1, once, [[0, 2, 1]]), twice)
    assert np.abs(once - twice).max() > 0.01
    share = np.bincount(run(fields % 9, x, [[0, 1, 2]]).argmax(axis=1).ravel()) / 35
    np.testing.assert_allclose(share, [0.4, 0.3, 0.3], atol=0.05)


def test_suppresses_the_absent_labels_only():
    x = np.random.default_rng(2).standard_normal((2, 4, 7, 5))
    fields = "bg_portion:0 fg_portion:0 margin_others:0.5"
    z = run(fields, x, [[1, 3, 255], [7, -1, -1]])
    want = x.copy()
    for absent in (0, 2):
        want[0, absent] = np.minimum(x[0, absent], np.maximum(x[0, 1], x[0, 3]) - 0.5)
    np.testing.assert_allclose(z, want)
    assert np.abs(z - x).max() > 0.5


def test_present_labels_win_everywhere_with_suppression():
    x = np.random.default_rng(3).standard_normal((1, 5, 7, 3))
    won = run("", x, np.array([0, 2]).reshape(1, 2, 1, 1)).argmax(axis=1)
    assert set(won.ravel()) == {0, 2}
    assert np.bincount(won.ravel()).min(where=[True, False, True], initial=99) >= 4


def test_the_gradient_passes_unchanged():
    x = torch.randn(1, 3, 2, 4, requires_grad=True)
    layer = make_layer(TEXT % "", (1, 3, 2, 4), (1, 1))
    assert layer.top_shapes((1, 3, 2, 4), (1, 1)) == [(1, 3, 2, 4)]
    (z,) = layer.run(x, torch.tensor([[2.0]]), device=CPU)
    weights = torch.randn(1, 3, 2, 4)
    np.testing.assert_array_equal(torch.autograd.grad((z * weights).sum(), x)[0], weights)


@pytest.mark.parametrize(
    ("fields", "y", "message"),
    [
        ("", (2, 1, 7, 5), r"expected bottoms \(N, C, H, W\) and \(N, L, 1, 1\), got"),
        ("num_iter:0", (2, 3), "num_iter of at least 1, got 0"),
        ("bg_portion:1.5", (2, 3), "bg_portion from 0 to 1, got 1.5"),
        ("fg_portion:-1", (2, 3), "fg_portion from 0 to 1, got -1"),
    ],
)
def test_names_what_does_not_fit(fields, y, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(AdaptiveBiasChannel\): .*{message}'):
        make_layer(TEXT % fields, (2, 3, 7, 5), y)

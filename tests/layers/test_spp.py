"""SPP: hand value, golden value, the same as Pooling layers joined, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"SPP" bottom:"x" top:"y" spp_param{%s}'
POOL = 'name:"p" type:"Pooling" bottom:"x" top:"y" pooling_param{%s}'


def test_golden(tmp_path):
    replay_golden(tmp_path, "mlic/spp_ave_2")


def test_hand_value():
    x = torch.tensor([[[[1.0, 2.0, 3.0, 4.0], [8.0, 7.0, 6.0, 5.0]]]])
    (y,) = make_layer(TEXT % "pyramid_height:2", x.shape).run(x, device=CPU)
    np.testing.assert_array_equal(y, [[8, 2, 4, 8, 6]])


@pytest.mark.parametrize("kind", ["MAX", "AVE"])
def test_equals_joined_pooling_layers(kind):
    # 7 x 9 rows: windows 7x9; 4x5 with 1 pad; 2x3 with 1 and 2 pad.
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 9))
    layer = make_layer(TEXT % f"pyramid_height:3 pool:{kind}", x.shape)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    levels = [
        "kernel_h:7 kernel_w:9",
        "kernel_h:4 kernel_w:5 stride_h:4 stride_w:5 pad:1",
        "kernel_h:2 kernel_w:3 stride_h:2 stride_w:3 pad_h:1 pad_w:2",
    ]
    want = []
    for fields in levels:
        (top,) = make_layer(POOL % f"pool:{kind} {fields}", x.shape).run(
            torch.tensor(x), device=CPU
        )
        want.append(top.flatten(1))
    np.testing.assert_allclose(y, torch.cat(want, 1), rtol=1e-12)
    assert y.shape == (2, 3 * (1 + 4 + 16))
    check_gradient(layer, x)


def test_stochastic_is_the_expectation_in_test_and_a_draw_in_training():
    x = np.random.default_rng(0).integers(0, 9, (2, 3, 4, 8)).astype(float)
    text = TEXT % "pyramid_height:2 pool:STOCHASTIC"
    (y,) = make_layer(text, x.shape, phase=caffe.TEST).run(torch.tensor(x), device=CPU)
    bins = [x, x[:, :, :2, :4], x[:, :, :2, 4:], x[:, :, 2:, :4], x[:, :, 2:, 4:]]
    first, *rest = [(part**2).sum((2, 3)) / part.sum((2, 3)) for part in bins]
    np.testing.assert_allclose(y, np.concatenate([first, np.stack(rest, 2).reshape(2, -1)], 1))
    (drawn,) = make_layer(text, x.shape).run(torch.tensor(x), device=CPU)
    for part, value in zip(bins[1:], drawn[:, 3:].reshape(2, 3, 4).unbind(2), strict=True):
        assert (part == value.numpy()[:, :, None, None]).any((2, 3)).all()
    assert not np.allclose(drawn, y)


def test_a_single_level_keeps_its_axes():
    layer = make_layer(TEXT % "pyramid_height:1", (2, 3, 7, 5))
    assert layer.top_shapes((2, 3, 7, 5)) == [(2, 3, 1, 1)]


@pytest.mark.parametrize(
    ("fields", "shape", "message"),
    [
        ("", (2, 3, 7, 5), "pyramid_height must be given"),
        (
            "pyramid_height:2 pool:STOCHASTIC",
            (2, 3, 8, 5),
            r"multiples of 2 for 2 x 2 bins, got \(8, 5\)",
        ),
        ("pyramid_height:2", (2, 3, 7), r"a bottom \(N, C, H, W\), got \(2, 3, 7\)"),
        ("pyramid_height:3", (2, 3, 9, 5), r"maps of \(9, 5\) are too small for 4 x 4 bins"),
    ],
)
def test_names_what_does_not_fit(fields, shape, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(SPP\): .*{message}'):
        make_layer(TEXT % fields, shape).top_shapes(shape)

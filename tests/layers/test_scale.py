"""Scale: hand value, golden values, every way to say which axes, gradients, in place, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, net_from_text, replay_golden

CPU = torch.device("cpu")
ONE = 'name:"l" type:"Scale" bottom:"x" top:"y" scale_param{%s}'
TWO = 'name:"l" type:"Scale" bottom:"x" bottom:"s" top:"y" scale_param{%s}'
RANDOM = ' filler{type:"gaussian"} bias_filler{type:"gaussian"}'


@pytest.mark.parametrize("tree", ["mlic", "pspnet"])
@pytest.mark.parametrize("case", ["scale_axis2", "scale_channel_bias", "scale_two_bottoms"])
def test_golden(tmp_path, tree, case):
    replay_golden(tmp_path, f"{tree}/{case}")


def test_starts_as_identity_and_has_a_hand_value():
    layer = make_layer(ONE % "bias_term:true", (2, 3))
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    (y,) = layer.run(x, device=CPU)
    np.testing.assert_array_equal(y.detach(), x)
    layer.blobs[0].store(torch.tensor([1.0, 10.0, 100.0]))
    layer.blobs[1].store(torch.tensor([0.5, 0.0, -1.0]))
    (y,) = layer.run(x, device=CPU)
    np.testing.assert_allclose(y.detach(), [[1.5, 20, 299], [4.5, 50, 599]])


@pytest.mark.parametrize(
    ("fields", "shape", "expand"),
    [
        ("", (3,), (1, 3, 1, 1)),
        ("axis:0 num_axes:2", (2, 3), (2, 3, 1, 1)),
        ("axis:-3 num_axes:-1", (3, 4, 5), (1, 3, 4, 5)),
        ("axis:2 num_axes:1", (4,), (1, 1, 4, 1)),
        ("num_axes:0", (), (1, 1, 1, 1)),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_axes(fields, shape, expand, bias):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    layer = make_layer(ONE % (fields + RANDOM + " bias_term:true" * bias), x.shape)
    assert [blob.shape for blob in layer.blobs] == [shape] * (1 + bias)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    scale, *rest = (blob.tensor().detach().numpy().reshape(expand) for blob in layer.blobs)
    np.testing.assert_allclose(y.detach(), x * scale + sum(rest), rtol=1e-12, atol=1e-12)
    check_gradient(layer, x)


@pytest.mark.parametrize(
    ("axis", "shape", "expand"),
    [(0, (2, 3), (2, 3, 1, 1)), (-2, (4, 5), (1, 1, 4, 5)), (1, (), (1, 1, 1, 1))],
)
def test_two_bottoms(axis, shape, expand):
    rng = np.random.default_rng(0)
    x, scale = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal(shape)
    layer = make_layer(TWO % f"axis:{axis} bias_term:true {RANDOM}", x.shape, shape)
    (y,) = layer.run(torch.tensor(x), torch.tensor(scale), device=CPU)
    bias = layer.blobs[0].tensor().detach().numpy()
    want = x * scale.reshape(expand) + bias.reshape(expand)
    np.testing.assert_allclose(y.detach(), want, rtol=1e-12, atol=1e-12)
    check_gradient(layer, x, scale)


def test_in_place(tmp_path):
    text = (
        'force_backward:true layer{name:"in" type:"Input" top:"x"'
        " input_param{shape{dim:2 dim:3}}}"
        'layer{name:"p" type:"Power" bottom:"x" top:"h" power_param{power:2}}'
        'layer{name:"l" type:"Scale" bottom:"h" top:"h" scale_param{filler{value:3}}}'
    )
    net = net_from_text(tmp_path, text)
    net.blobs["x"].data[...] = 5
    net.forward()
    np.testing.assert_array_equal(net.blobs["h"].data, 75)
    net.backward(h=np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(net.blobs["x"].diff, 30)
    np.testing.assert_array_equal(net.params["l"][0].diff, 50)


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        (ONE % "axis:3", [(2, 3, 4)], r"axis in \[-3, 2\], got 3"),
        (ONE % "num_axes:4", [(2, 3, 4)], "num_axes from -1 to 2 for axis 1"),
        (TWO % "", [(2, 3, 4), (4,)], r"second bottom \(3,\), as axis 1 .* got \(4,\)"),
        (TWO % "axis:2", [(2, 3, 4), (4, 5)], r"second bottom \(4,\).* got \(4, 5\)"),
    ],
)
def test_names_what_does_not_fit(text, shapes, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Scale\): .*{message}'):
        make_layer(text, *shapes)

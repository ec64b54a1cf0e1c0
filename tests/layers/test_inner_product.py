"""InnerProduct: hand value, golden values, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, net_from_text, replay_golden


@pytest.mark.parametrize("case", ["mlic/ip", "mlic/ip_transpose"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    layer = make_layer(
        'name:"l" type:"InnerProduct" bottom:"x" top:"y" inner_product_param{num_output:2}', (1, 3)
    )
    layer.blobs[0].store(torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]]))
    layer.blobs[1].store(torch.tensor([0.5, -0.5]))
    (y,) = layer.run(torch.tensor([[1.0, 10.0, 100.0]]), device=torch.device("cpu"))
    np.testing.assert_allclose(y.detach().numpy(), [[321.5, 389.5]])


def test_gradient_over_trailing_axes():
    layer = make_layer(
        'name:"l" type:"InnerProduct" bottom:"x" top:"y" inner_product_param{'
        'num_output:5 axis:2 weight_filler{type:"gaussian"} bias_filler{type:"gaussian"}}',
        (2, 3, 4, 7),
    )
    check_gradient(layer, np.random.default_rng(0).standard_normal((2, 3, 4, 7)))


def test_names_the_layer_when_num_output_is_missing(tmp_path):
    text = (
        'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:2 dim:3}}}'
        'layer{name:"fc" type:"InnerProduct" bottom:"x" top:"y"}'
    )
    with pytest.raises(caffe.CaffeError, match=r'layer "fc" \(InnerProduct\).*num_output'):
        net_from_text(tmp_path, text)


@pytest.mark.parametrize("axis", [-3, 2])
def test_names_an_axis_that_is_not_there(axis):
    text = f'name:"l" type:"InnerProduct" inner_product_param{{num_output:5 axis:{axis}}} '
    with pytest.raises(caffe.CaffeError, match=rf'"l".*axis in \[-2, 1\], got {axis}'):
        make_layer(text + 'bottom:"x" top:"y"', (4, 3))

"""Embed: hand value, golden values, gradient of the table, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = (
    'name:"l" type:"Embed" bottom:"x" top:"y" embed_param{'
    'weight_filler{type:"gaussian"} bias_filler{type:"gaussian"} %s}'
)


@pytest.mark.parametrize("case", ["mlic/embed", "pspnet/embed"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    layer = make_layer(TEXT % "num_output:2 input_dim:3", (2,))
    layer.blobs[0].store(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    layer.blobs[1].store(torch.tensor([0.5, -0.5]))
    (y,) = layer.run(torch.tensor([2.0, 0.0]), device=CPU)
    np.testing.assert_array_equal(y.detach(), [[5.5, 5.5], [1.5, 1.5]])


@pytest.mark.parametrize("fields", ["", "bias_term:false"])
def test_rows_and_gradient(fields):
    x = np.random.default_rng(0).integers(0, 6, (2, 3, 5)).astype(np.float64)
    layer = make_layer(TEXT % f"num_output:4 input_dim:6 {fields}", x.shape)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    weight, *bias = (blob.tensor().detach().numpy() for blob in layer.blobs)
    np.testing.assert_allclose(y.detach(), weight[x.astype(int)] + sum(bias))
    check_gradient(layer, x, wrt=())


@pytest.mark.parametrize("value", [-1, 6])
def test_index_outside(value):
    layer = make_layer(TEXT % "num_output:4 input_dim:6", (2,))
    pattern = rf'layer "l" \(Embed\): index {value}: expected 0 to 5'
    with pytest.raises(caffe.CaffeError, match=pattern):
        layer.run(torch.tensor([float(value), 3.0]), device=CPU)


def test_sizes_must_be_given():
    with pytest.raises(caffe.CaffeError, match="num_output and input_dim must be given"):
        make_layer(TEXT % "num_output:4", (2,))

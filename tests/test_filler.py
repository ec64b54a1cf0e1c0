"""Fillers: the distribution each one promises."""

import math

import numpy as np
import pytest
import torch

import caffe
from caffe.filler import fill
from caffe.proto import caffe_pb2
from tests.layer_checks import net_from_text

SHAPE = (60, 50, 3, 7)  # fan in 1050, fan out 1260


def filled(shape=SHAPE, **kwargs):
    caffe.set_random_seed(11)
    return fill(shape, caffe_pb2.FillerParameter(**kwargs))


@pytest.mark.parametrize(("norm", "n"), [("FAN_IN", 1050), ("FAN_OUT", 1260), ("AVERAGE", 1155)])
def test_xavier_and_msra_follow_variance_norm(norm, n):
    number = caffe_pb2.FillerParameter.VarianceNorm.Value(norm)
    xavier = filled(type="xavier", variance_norm=number)
    assert float(xavier.abs().max()) == pytest.approx(math.sqrt(3 / n), rel=1e-3)
    msra = filled(type="msra", variance_norm=number)
    assert float(msra.std()) == pytest.approx(math.sqrt(2 / n), rel=2e-2)


def test_gaussian_and_uniform():
    out = filled(type="gaussian", mean=3, std=0.5)
    assert float(out.mean()) == pytest.approx(3, abs=0.01)
    assert float(out.std()) == pytest.approx(0.5, rel=0.02)
    out = filled(type="uniform", min=-2, max=1)
    assert -2 <= float(out.min()) < -1.99
    assert 0.99 < float(out.max()) <= 1


def test_sparse_gaussian_keeps_that_many_weights_per_column():
    out = filled(shape=(200, 500), type="gaussian", std=1, sparse=10)
    np.testing.assert_allclose((out != 0).sum(0).float().mean(), 10, rtol=0.05)
    with pytest.raises(ValueError, match=r"sparse of at most 3, .* blob \(3, 5\), got 4"):
        filled(shape=(3, 5), type="gaussian", sparse=4)


def test_positive_unitball_rows_add_up_to_one():
    out = filled(type="positive_unitball")
    assert float(out.min()) >= 0
    np.testing.assert_allclose(out.reshape(60, -1).sum(1).numpy(), 1, rtol=1e-5)


def test_bilinear_kernel_of_factor_two():
    out = filled(shape=(2, 1, 4, 4), type="bilinear")
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    torch.testing.assert_close(out, (line[:, None] * line).expand(2, 1, 4, 4))
    with pytest.raises(ValueError, match="bilinear filler"):
        filled(shape=(2, 3, 4, 5), type="bilinear")


def test_constant_and_unknown():
    assert filled(value=2.5).eq(2.5).all()
    with pytest.raises(ValueError, match=r'unknown filler type "xavir".*xavier'):
        filled(type="xavir")
    with pytest.raises(ValueError, match='xavier filler: expected type: "gaussian" with sparse'):
        filled(type="xavier", sparse=3)


def test_the_seed_decides():
    assert torch.equal(filled(type="gaussian"), filled(type="gaussian"))


@pytest.mark.parametrize(
    "layer",
    [
        'type: "DummyData" dummy_data_param { shape { dim: 2 } data_filler { type: "xavir" } }',
        'type: "InnerProduct" bottom: "x" '
        'inner_product_param { num_output: 2 weight_filler { type: "xavir" } }',
    ],
)
def test_a_net_names_the_layer_of_a_bad_filler(tmp_path, layer):
    data = 'layer{name: "in" type: "Input" top: "x" input_param{shape{dim: 3 dim: 5}}}'
    with pytest.raises(caffe.CaffeError, match=r'^layer "l" \(\w+\): unknown filler type "xavir"'):
        net_from_text(tmp_path, data + f'layer {{ name: "l" top: "y" {layer} }}').forward()

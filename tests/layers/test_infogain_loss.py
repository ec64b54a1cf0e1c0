"""InfogainLoss: both versions, hand values, gradient, matrix from a bottom or a file, errors."""

import math

import numpy as np
import pytest
import torch

import caffe
from caffe.proto import caffe_pb2
from tests.layer_checks import check_gradient, make_layer

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"InfogainLoss" bottom:"p" bottom:"y" %s top:"loss" infogain_loss_param{%s}'


def test_hand_value():
    layer = make_layer(TEXT % ('bottom:"h"', ""), (2, 2), (2,), (2, 2))
    p, h = torch.tensor([[0.5, 0.25], [0.125, 1.0]]), torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    (loss,) = layer.run(p, torch.tensor([1.0, 0.0]), h, device=CPU)
    assert float(loss) == pytest.approx((3 + 2 * 5 + 3 * 1) * math.log(2) / 2)


def _file_with(matrix: np.ndarray, path) -> None:
    blob = caffe_pb2.BlobProto(num=1, channels=1, height=matrix.shape[0], width=matrix.shape[1])
    blob.data.extend(matrix.reshape(-1).tolist())
    path.write_bytes(blob.SerializeToString())


def test_gradient_with_the_matrix_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    p, matrix, y = rng.uniform(0.1, 1, (3, 4)), rng.standard_normal((4, 4)), np.array([3, 1, 0])
    _file_with(matrix, tmp_path / "h.binaryproto")
    layer = make_layer(TEXT % ("", f'source:"{tmp_path}/h.binaryproto"'), (3, 4), (3,))
    check_gradient(layer, p, y, wrt=(0,))
    (loss,) = layer.run(torch.tensor(p), torch.tensor(y), device=CPU)
    assert float(loss) == pytest.approx(-(matrix[y] * np.log(p)).sum() / 3)


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


@pytest.mark.parametrize(
    ("param", "divisor"),
    [
        ("", 61),
        ("normalization:FULL", 70),
        ("normalization:BATCH_SIZE", 2),
        ("normalize:false", 2),
        ("normalization:NONE", 1),
    ],
)
def test_from_scores_over_an_axis(param, divisor):
    rng = np.random.default_rng(1)
    x, matrix = rng.standard_normal((2, 3, 7, 5)), rng.standard_normal((3, 3))
    y = rng.integers(0, 3, (2, 7, 5))
    y.reshape(-1)[:9] = 255
    fields = f'bottom:"h" loss_param{{ignore_label:255 {param}}}'
    text = TEXT % (fields, "axis:-3") + ' top:"q"'
    layer = make_layer(text, x.shape, y.shape, (1, 1, 3, 3))
    bottoms = [torch.tensor(part) for part in (x, y, matrix.reshape(1, 1, 3, 3))]
    loss, q = layer.run(*bottoms, device=CPU)
    p, want = _softmax(x, 1), 0.0
    for n, h, w in np.argwhere(y != 255):
        want -= matrix[y[n, h, w]] @ np.log(p[n, :, h, w])
    assert float(loss) == pytest.approx(want / divisor)
    np.testing.assert_allclose(q, p)


def test_gradient_of_scores():
    rng = np.random.default_rng(2)
    layer = make_layer(TEXT % ('bottom:"h"', "axis:1"), (4, 3), (4,), (3, 3))
    x, matrix, y = rng.standard_normal((4, 3)), rng.standard_normal((3, 3)), np.array([2, 0, 1, 2])
    check_gradient(layer, x, y, matrix, wrt=(0,))
    leaf = torch.tensor(x, requires_grad=True)
    (loss,) = layer.run(leaf, torch.tensor(y), torch.tensor(matrix), device=CPU)
    want = (_softmax(x, 1) * matrix[y].sum(1, keepdims=True) - matrix[y]) / 4
    np.testing.assert_allclose(torch.autograd.grad(loss, leaf)[0], want)


def test_names_what_does_not_fit(tmp_path):
    layer = make_layer(TEXT % ('bottom:"h"', ""), (2, 3), (2,), (3, 2))
    with pytest.raises(caffe.CaffeError, match=r'"l".*a matrix \(3, 3\), got \(2,\) and \(3, 2\)'):
        layer.top_shapes((2, 3), (2,), (3, 2))
    with pytest.raises(caffe.CaffeError, match=r"a third bottom or infogain_loss_param.source"):
        make_layer(TEXT % ("", ""), (2, 3), (2,))
    with pytest.raises(caffe.CaffeError, match=r"none.binaryproto: cannot read"):
        make_layer(TEXT % ("", 'source:"none.binaryproto"'), (2, 3), (2,))
    blob = caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=[3, 3]), data=[1.0, 2.0])
    (tmp_path / "short.binaryproto").write_bytes(blob.SerializeToString())
    message = r"short.binaryproto: a blob of shape \(3, 3\) holds 2 numbers"
    with pytest.raises(caffe.CaffeError, match=message):
        make_layer(TEXT % ("", f'source:"{tmp_path}/short.binaryproto"'), (2, 3), (2,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [("loss_param{normalize:true}", "loss_param needs"), ('top:"q"', "a second top needs")],
)
def test_names_what_only_scores_have(fields, message):
    with pytest.raises(caffe.CaffeError, match=rf'"l".*{message} infogain_loss_param.axis'):
        make_layer(TEXT % (f'bottom:"h" {fields}', ""), (2, 3), (2,), (3, 3))

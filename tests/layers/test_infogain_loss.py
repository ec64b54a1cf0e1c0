"""InfogainLoss: hand value, gradient, matrix from a bottom or a file, errors."""

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
    with pytest.raises(caffe.CaffeError, match="axis: not supported; put a Softmax"):
        make_layer(TEXT % ('bottom:"h"', "axis:1"), (2, 3), (2,), (3, 3))

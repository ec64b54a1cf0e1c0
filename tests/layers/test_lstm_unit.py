"""LSTMUnit: hand value, formula, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, net_from_text

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"LSTMUnit" bottom:"c" bottom:"gates" bottom:"cont" top:"c1" top:"h1"'
SHAPES = ((1, 3, 5), (1, 3, 20), (1, 3))


def test_hand_value():
    layer = make_layer(TEXT, (1, 2, 1), (1, 2, 4), (1, 2))
    # sigmoid(log 3) = 3/4, sigmoid(0) = 1/2, tanh(log 2) = 3/5
    gates = torch.tensor([[[np.log(3), 0, 0, np.log(2)]] * 2])
    c, h = layer.run(torch.tensor([[[4.0], [4.0]]]), gates, torch.tensor([[1.0, 0.0]]), device=CPU)
    np.testing.assert_allclose(c, [[[2.45], [0.45]]], rtol=1e-6)
    np.testing.assert_allclose(h, np.tanh([[[2.45], [0.45]]]) / 2, rtol=1e-6)


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal(SHAPES[0]), rng.standard_normal(SHAPES[1]), np.array([[1.0, 0, 1]])


def test_formula():
    c, gates, cont = data()
    tops = make_layer(TEXT, *SHAPES).run(*map(torch.tensor, (c, gates, cont)), device=CPU)
    for n in range(3):
        for d in range(5):
            i, f, o, g = (gates[0, n, k * 5 + d] for k in range(4))
            want = c[0, n, d] / (1 + np.exp(-f)) if cont[0, n] else 0
            want += np.tanh(g) / (1 + np.exp(-i))
            assert abs(float(tops[0][0, n, d]) - want) < 1e-12
            assert abs(float(tops[1][0, n, d]) - np.tanh(want) / (1 + np.exp(-o))) < 1e-12


def test_gradient():
    check_gradient(make_layer(TEXT, *SHAPES), *data(), wrt=(0, 1))


def test_no_gradient_for_cont(tmp_path):
    text = (
        'force_backward:true layer{name:"in" type:"Input" top:"c" top:"gates" top:"cont"'
        " input_param{shape{dim:[1,3,5]} shape{dim:[1,3,20]} shape{dim:[1,3]}}} layer{%s}"
    )
    net = net_from_text(tmp_path, text % TEXT)
    for name, array in zip(("c", "gates", "cont"), data(), strict=True):
        net.blobs[name].data[...] = array
    net.forward()
    net.backward(h1=np.ones(SHAPES[0]), c1=np.ones(SHAPES[0]))
    assert np.count_nonzero(net.blobs["gates"].diff) == 3 * 20 - 5  # but f where c is forgotten
    assert (net.blobs["c"].diff != 0).any(axis=2).tolist() == [[True, False, True]]
    assert not net.blobs["cont"].diff.any()


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 3, 5), (1, 3, 15), (1, 3)),
        ((2, 3, 5), (2, 3, 20), (2, 3)),
        ((1, 3, 5), (1, 4, 20), (1, 3)),
        ((1, 3, 5), (1, 3, 20), (1, 3, 1)),
        ((3, 5), (3, 20), (3,)),
    ],
)
def test_names_shapes_that_do_not_fit(shapes):
    message = r'"l" \(LSTMUnit\): expected bottoms \(1, N, H\), \(1, N, 4 H\) and \(1, N\), got'
    with pytest.raises(caffe.CaffeError, match=message):
        make_layer(TEXT, *shapes).top_shapes(*shapes)

"""RNN: numpy recurrence, torch's RNN, cont, carried and exposed states, gradients, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer

CPU = torch.device("cpu")
T, N, D, S, H = 6, 3, 5, 4, 2
PARAM = (
    'recurrent_param{num_output:2 weight_filler{type:"gaussian" std:0.7}'
    ' bias_filler{type:"gaussian" std:0.3} %s}'
)
PLAIN = 'name:"l" type:"RNN" bottom:"x" bottom:"cont" top:"o" ' + PARAM
STATIC = 'name:"l" type:"RNN" bottom:"x" bottom:"cont" bottom:"s" top:"o" ' + PARAM
EXPOSED = PLAIN.replace(' top:"o"', ' top:"o" bottom:"h0" top:"hT"') % "expose_hidden:true"
CONT = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 0]], float)


def data():
    rng = np.random.default_rng(0)
    x, static = rng.standard_normal((T, N, D)), rng.standard_normal((N, S))
    return x, static, rng.standard_normal((1, N, H))


def recurrence(blobs, x, cont, h, static=None):
    """o of all steps, and the last h: one stream and one step at a time."""
    w_x, b, *w_static, w_h, w_o, b_o = (blob.tensor().detach().numpy() for blob in blobs)
    out, h = np.zeros((*x.shape[:2], H)), h[0].copy()
    for t in range(x.shape[0]):
        for n in range(x.shape[1]):
            z = w_x @ x[t, n] + b + w_h @ (cont[t, n] * h[n])
            h[n] = np.tanh(z if static is None else z + w_static[0] @ static[n])
            out[t, n] = np.tanh(w_o @ h[n] + b_o)
    return out, h[None]


def run(layer, *bottoms):
    tops = layer.run(*(torch.tensor(bottom) for bottom in bottoms), device=CPU)
    return [top.detach().numpy() for top in tops]


@pytest.mark.parametrize("static", [False, True])
def test_blobs_and_recurrence(static):
    x, s, _ = data()
    extra = [s] if static else []
    text = (STATIC if static else PLAIN) % ""
    layer = make_layer(text, x.shape, CONT.shape, *(bottom.shape for bottom in extra))
    middle = [(H, S)] if static else []
    assert [blob.shape for blob in layer.blobs] == [(H, D), (H,), *middle, (H, H), (H, H), (H,)]
    assert all(blob.tensor().all() for blob in layer.blobs)
    (o,) = run(layer, x, CONT, *extra)
    want, _ = recurrence(layer.blobs, x, CONT, np.zeros((1, N, H)), *extra)
    np.testing.assert_allclose(o, want, rtol=1e-10, atol=1e-12)


def test_agrees_with_torch():
    layer = make_layer(PLAIN % "", (T, N, D), (T, N))
    twin = torch.nn.RNN(D, H, dtype=torch.float64)
    w_x, b, w_h, w_o, b_o = (blob.tensor().detach() for blob in layer.blobs)
    state = {"weight_ih_l0": w_x, "bias_ih_l0": b, "weight_hh_l0": w_h}
    twin.load_state_dict({**state, "bias_hh_l0": torch.zeros_like(b)})
    x = data()[0]
    (o,) = run(layer, x, np.ones((T, N)))
    hidden = twin(torch.tensor(x))[0]
    np.testing.assert_allclose(o, (hidden @ w_o.T + b_o).tanh().detach(), rtol=1e-10, atol=1e-12)


def test_exposed_state():
    x, _, h0 = data()
    layer = make_layer(EXPOSED, x.shape, CONT.shape, h0.shape)
    cont = np.maximum(CONT, np.arange(T)[:, None] == 0)
    o, last = run(layer, x, cont, h0)
    want, want_h = recurrence(layer.blobs, x, cont, h0)
    np.testing.assert_allclose(o, want, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(last, want_h, rtol=1e-10, atol=1e-12)


def test_state_goes_on_in_the_next_pass():
    x, ones = data()[0], np.ones((T, N))
    layer = make_layer(PLAIN % "", (T, N, D), (T, N))
    pieces = [run(layer, x[k : k + 3], ones[k : k + 3])[0] for k in (0, 3)]
    want, _ = recurrence(layer.blobs, x, ones, np.zeros((1, N, H)))
    np.testing.assert_allclose(np.concatenate(pieces), want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("static", [False, True])
def test_gradient(static):
    x, s, _ = data()
    extra = [s] if static else []
    text = (STATIC if static else PLAIN) % ""
    layer = make_layer(text, x.shape, CONT.shape, *(bottom.shape for bottom in extra))
    check_gradient(layer, x, CONT, *extra, wrt=(0, 2) if static else (0,))


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        ('type:"RNN" name:"l" bottom:"x" bottom:"c" top:"o"', [(T, N, D), (T, N)], "num_output"),
        (PLAIN % "", [(T, N, D), (T, N, 1)], r"expected cont \(6, 3\) with .* got \(6, 3, 1\)"),
        (EXPOSED, [(T, N, D), (T, N), (N, H)], r"h_0 \(1, 3, 2\), got \(3, 2\)"),
        (EXPOSED.replace(' bottom:"h0"', ""), [], r"expected 3 to 4 bottom blob\(s\), got 2"),
    ],
)
def test_names_what_does_not_fit(text, shapes, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(RNN\): .*{message}'):
        make_layer(text, *shapes)

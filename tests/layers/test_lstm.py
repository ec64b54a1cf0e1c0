"""LSTM: numpy recurrence, torch's LSTM, cont, carried and exposed states, gradients, errors."""

import logging

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, net_from_text

CPU = torch.device("cpu")
T, N, D, S, H = 6, 3, 5, 4, 2
PARAM = (
    'recurrent_param{num_output:2 weight_filler{type:"gaussian" std:0.7}'
    ' bias_filler{type:"gaussian" std:0.3} %s}'
)
PLAIN = 'name:"l" type:"LSTM" bottom:"x" bottom:"cont" top:"h" ' + PARAM
STATIC = 'name:"l" type:"LSTM" bottom:"x" bottom:"cont" bottom:"s" top:"h" ' + PARAM
STATES = ' bottom:"h0" bottom:"c0" top:"hT" top:"cT"'
STATE = (1, N, H)
CONT = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 0]], float)


def data(seed=0):
    rng = np.random.default_rng(seed)
    x, static = rng.standard_normal((T, N, D)), rng.standard_normal((N, S))
    return x, static, rng.standard_normal(STATE), rng.standard_normal(STATE)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recurrence(blobs, x, cont, h, c, static=None):
    """h of all steps, and the last c: one stream, one step and one gate at a time."""
    w_x, b, *w_static, w_h = (blob.tensor().detach().numpy() for blob in blobs)
    out, h, c = np.zeros((*x.shape[:2], H)), h[0].copy(), c[0].copy()
    for t in range(x.shape[0]):
        for n in range(x.shape[1]):
            z = w_x @ x[t, n].ravel() + b + w_h @ (cont[t, n] * h[n])
            if static is not None:
                z += w_static[0] @ static[n].ravel()
            i, f, o = (sigmoid(z[k * H : (k + 1) * H]) for k in range(3))
            c[n] = cont[t, n] * f * c[n] + i * np.tanh(z[3 * H :])
            out[t, n] = h[n] = o * np.tanh(c[n])
    return out, c[None]


def run(layer, *bottoms):
    tops = layer.run(*(torch.tensor(bottom) for bottom in bottoms), device=CPU)
    return [top.detach().numpy() for top in tops]


def test_blobs_and_recurrence():
    layer = make_layer(PLAIN % "", (T, N, D), (T, N))
    assert [blob.shape for blob in layer.blobs] == [(4 * H, D), (4 * H,), (4 * H, H)]
    assert all(blob.tensor().all() for blob in layer.blobs)
    x, zero = data()[0], np.zeros(STATE)
    (h,) = run(layer, x, CONT)
    want, _ = recurrence(layer.blobs, x, CONT, zero, zero)
    np.testing.assert_allclose(h, want, rtol=1e-10, atol=1e-12)


def test_static_input_and_more_axes():
    x, static, *_ = data()
    x, static = np.stack([x, x**2], axis=3), static.reshape(N, 2, 2)
    layer = make_layer(STATIC % "", x.shape, CONT.shape, static.shape)
    shapes = [(4 * H, 2 * D), (4 * H,), (4 * H, S), (4 * H, H)]
    assert [blob.shape for blob in layer.blobs] == shapes
    (h,) = run(layer, x, CONT, static)
    want, _ = recurrence(layer.blobs, x, CONT, np.zeros(STATE), np.zeros(STATE), static)
    np.testing.assert_allclose(h, want, rtol=1e-10, atol=1e-12)


def test_agrees_with_torch():
    layer = make_layer(PLAIN % "", (T, N, D), (T, N))
    twin = torch.nn.LSTM(D, H, dtype=torch.float64)
    w_x, b, w_h = (blob.tensor().detach() for blob in layer.blobs)
    i, f, o, g = range(0, 4 * H, H)
    rows = [row for first in (i, f, g, o) for row in range(first, first + H)]
    state = {"weight_ih_l0": w_x, "bias_ih_l0": b, "weight_hh_l0": w_h}
    state["bias_hh_l0"] = torch.zeros_like(b)
    twin.load_state_dict({name: value[rows] for name, value in state.items()})
    x = data()[0]
    (h,) = run(layer, x, np.ones((T, N)))
    np.testing.assert_allclose(h, twin(torch.tensor(x))[0].detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("static", [False, True])
def test_exposed_states(static):
    x, s, h0, c0 = data()
    extra = [s] if static else []
    text = (STATIC if static else PLAIN).replace(' top:"h"', ' top:"h"' + STATES)
    shapes = [bottom.shape for bottom in (x, CONT, *extra, h0, c0)]
    layer = make_layer(text % "expose_hidden:true", *shapes)
    assert layer.top_shapes(*shapes) == [(T, N, H), STATE, STATE]
    cont = np.maximum(CONT, np.arange(T)[:, None] == 0)  # the first step goes on from h0 and c0
    for _ in range(2):  # which the second pass starts from, too
        h, h_last, c_last = run(layer, x, cont, *extra, h0, c0)
        want, want_c = recurrence(layer.blobs, x, cont, h0, c0, *extra)
        np.testing.assert_allclose(h, want, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(h_last, want[-1:], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(c_last, want_c, rtol=1e-10, atol=1e-12)


def test_state_goes_on_in_the_next_pass():
    x, ones = data()[0], np.ones((T, N))
    whole, parts = (make_layer(PLAIN % "", (T, N, D), (T, N)) for _ in range(2))
    for mine, theirs in zip(parts.blobs, whole.blobs, strict=True):
        mine.store(theirs.tensor().detach())
    (want,) = run(whole, x, ones)
    parts.top_shapes((2, N, D), (2, N))  # computes nothing, so it carries nothing on
    pieces = [run(parts, x[k : k + 2], ones[k : k + 2])[0] for k in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate(pieces), want, rtol=1e-10, atol=1e-12)
    (again,) = run(parts, x, CONT)  # whose first step is 0
    fresh, _ = recurrence(parts.blobs, x, CONT, np.zeros(STATE), np.zeros(STATE))
    np.testing.assert_allclose(again, fresh, rtol=1e-10, atol=1e-12)
    (fewer,) = run(parts, x[:, :2], ones[:, :2])  # other streams know nothing of these
    np.testing.assert_allclose(fewer, want[:, :2], rtol=1e-10, atol=1e-12)


def test_gradient():
    x, static, *_ = data()
    layer = make_layer(STATIC % "", x.shape, CONT.shape, static.shape)
    check_gradient(layer, x, CONT, static, wrt=(0, 2))


def test_no_gradient_through_earlier_passes_or_exposed_states():
    x, _, h0, c0 = data()
    layer = make_layer(PLAIN % "", (T, N, D), (T, N))
    first = torch.tensor(x, requires_grad=True)
    second = torch.tensor(x, requires_grad=True)
    ones = torch.ones(T, N, dtype=torch.float64)
    layer.run(first, ones, device=CPU)
    (h,) = layer.run(second, ones, device=CPU)
    unread, read = torch.autograd.grad(h.sum(), [first, second], allow_unused=True)
    assert unread is None
    assert read.all()
    text = PLAIN.replace(' top:"h"', ' top:"h"' + STATES) % "expose_hidden:true"
    layer = make_layer(text, x.shape, CONT.shape, STATE, STATE)
    given = [torch.tensor(bottom, requires_grad=True) for bottom in (x, CONT, h0, c0)]
    h, *last = layer.run(*given, device=CPU)
    assert not any(state.requires_grad for state in last)
    grads = torch.autograd.grad(h.sum(), given, allow_unused=True)
    assert [grad is not None for grad in grads] == [True, False, False, False]


def test_learns_in_a_net_to_remember(tmp_path):
    """The first step's sign, told at the last step."""
    text = (
        'layer{name:"in" type:"Input" top:"x" top:"cont" top:"y" input_param{shape{dim:[5,8,1]}'
        " shape{dim:[5,8]} shape{dim:8}}}"
        'layer{name:"lstm" type:"LSTM" bottom:"x" bottom:"cont" top:"h" recurrent_param{'
        'num_output:4 weight_filler{type:"uniform" min:-0.5 max:0.5}}}'
        'layer{name:"cut" type:"Slice" bottom:"h" top:"early" top:"last" slice_param{axis:0'
        ' slice_point:4}} layer{name:"z" type:"Silence" bottom:"early"}'
        'layer{name:"row" type:"Reshape" bottom:"last" top:"row" reshape_param{shape{dim:[8,4]}}}'
        'layer{name:"fc" type:"InnerProduct" bottom:"row" top:"fc" inner_product_param{'
        'num_output:2 weight_filler{type:"xavier"}}}'
        'layer{name:"loss" type:"SoftmaxWithLoss" bottom:"fc" bottom:"y" top:"loss"}'
    )
    caffe.set_random_seed(1)
    net = net_from_text(tmp_path, text)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(200):
        x = 3 * rng.standard_normal((5, 8, 1)) * (np.arange(5) == 0).reshape(5, 1, 1)
        net.blobs["x"].data[...], net.blobs["y"].data[...] = x, x[0, :, 0] > 0
        net.blobs["cont"].data[...] = (np.arange(5) > 0)[:, None]
        losses.append(net.forward_backward())
        for blob, _ in net.learnable():
            blob.data[...] -= 0.3 * blob.diff
        net.clear_param_diffs()
    assert np.mean(losses[:10]) > 0.6
    assert np.mean(losses[-10:]) < 0.25


def test_debug_info_logs_each_step_and_changes_nothing(caplog):
    x = data()[0]
    with caplog.at_level(logging.INFO, "caffe"):
        layer = make_layer(PLAIN % "debug_info:true", (T, N, D), (T, N))
        (h,) = run(layer, x, CONT)
    mean = f"{np.abs(h[-1]).mean():.6g}"
    assert len(caplog.messages) == T
    assert caplog.messages[-1] == f"    [Forward] Layer l_unit_6, top blob h_6 data: {mean}"
    want, _ = recurrence(layer.blobs, x, CONT, np.zeros(STATE), np.zeros(STATE))
    np.testing.assert_allclose(h, want, rtol=1e-10, atol=1e-12)


EXPOSED = PLAIN.replace(' top:"h"', ' top:"h"' + STATES) % "expose_hidden:true"


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        ('type:"LSTM" name:"l" bottom:"x" bottom:"c" top:"h"', [(T, N, D), (T, N)], "num_output"),
        (PLAIN % "", [(T, N), (T, N)], r"expected a first bottom \(T, N, I...\), got \(6, 3\)"),
        (PLAIN % "", [(T, N, D), (N, T)], r"expected cont \(6, 3\) with .* got \(3, 6\)"),
        (STATIC % "", [(T, N, D), (T, N), (S, N)], r"x_static \(3, S...\), got \(4, 3\)"),
        (EXPOSED, [(T, N, D), (T, N), STATE, (N, H)], r"c_0 \(1, 3, 2\), got \(3, 2\)"),
        (EXPOSED, [(T, N, D), (T, N), (1, N, 3), STATE], r"h_0 \(1, 3, 2\), got \(1, 3, 3\)"),
        (PLAIN % "expose_hidden:true", [], r"expected 4 to 5 bottom blob\(s\), got 2"),
        (EXPOSED.replace(' top:"cT"', ""), [], r"expected 3 top blob\(s\), got 2"),
    ],
)
def test_names_what_does_not_fit(text, shapes, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(LSTM\): .*{message}'):
        make_layer(text, *shapes)


def test_names_a_shape_that_stops_fitting():
    layer = make_layer(PLAIN % "", (T, N, D), (T, N))
    with pytest.raises(caffe.CaffeError, match=r"expected cont \(6, 3\)"):
        run(layer, data()[0], np.ones((T, 1)))

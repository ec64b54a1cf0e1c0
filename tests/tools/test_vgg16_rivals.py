"""The benchmark's rival of the engine computes the same loss, gradients and update."""

from pathlib import Path

import numpy as np
import pytest
from vgg16_rivals import eager_pass, engine, handwritten, inputs, sgd

MODELS = Path(__file__).parents[2] / "models"


def test_both_compute_the_same():
    data, labels = inputs(batch=2, size=32)
    solver, model = engine(MODELS, 2, 32), handwritten(32)
    net = solver.net
    convs_and_lines = [layer for layer in model if hasattr(layer, "weight")]
    for blobs, layer in zip(net.params.values(), convs_and_lines, strict=True):
        blobs[0].data[...] = layer.weight.detach().numpy()
        blobs[1].data[...] = layer.bias.detach().numpy()
    net.blobs["data"].data[...], net.blobs["label"].data[...] = data, labels
    loss = eager_pass(model, data, labels, low=False)
    value = loss.item()
    assert net.forward_backward() == pytest.approx(value, rel=1e-5)
    loss.backward()
    for blobs, layer in zip(net.params.values(), convs_and_lines, strict=True):
        gradient = layer.weight.grad.numpy()
        np.testing.assert_allclose(blobs[0].diff, gradient, atol=1e-5 * np.abs(gradient).max())
    rounded = eager_pass(model, data, labels, low=True).item()
    assert rounded == pytest.approx(value, rel=1e-2)
    assert rounded != value
    solver.step(1)
    sgd(model).step()
    for blobs, layer in zip(net.params.values(), convs_and_lines, strict=True):
        weights = layer.weight.detach().numpy()
        np.testing.assert_allclose(blobs[0].data, weights, atol=1e-6 * np.abs(weights).max())

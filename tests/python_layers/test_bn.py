"""The numpy twin of BN: golden values, a hand value, frozen, in place."""

import json

import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text, relative_error
from tests.python_layers.twin_checks import replay_golden_on_twin

NET = """
force_backward: true
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 4 dim: 3 dim: 5 }} }} }}
layer {{ name: "copy" type: "Power" bottom: "x" top: "c" }}
layer {{ name: "l" {} bottom: "c" top: "{}" }}
"""


@pytest.mark.parametrize("case", ["pspnet_bn_test", "pspnet_bn_train"])
def test_golden(tmp_path, case):
    replay_golden_on_twin(tmp_path, f"pspnet/{case}")


def twin(**options):
    param = f'module: "python_layers.bn" layer: "BN" param_str: {json.dumps(json.dumps(options))}'
    return f'type: "Python" python_param {{ {param} }}'


def passes(tmp_path, layer, top, phase):
    """(y, running mean and variance, gradients of x, slope, bias) after two passes each."""
    net = net_from_text(tmp_path, NET.format(layer, top), phase)
    random = np.random.default_rng(2)
    for blob in net.params["l"]:
        blob.data[...] = random.random(blob.data.shape) + 0.5
    net.blobs["x"].data[...] = random.standard_normal((4, 3, 5))
    diff = random.standard_normal((4, 3, 5))
    for _ in range(2):
        net.forward()
        y = net.blobs[top].data.copy()
        net.blobs[top].diff[...] = diff
        net.backward()
    slope, bias, *running = net.params["l"]
    data = [y, *(blob.data for blob in running)]
    return data + [blob.diff for blob in (net.blobs["x"], slope, bias)]


@pytest.mark.parametrize("top", ["y", "c"])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize("frozen", [False, True])
def test_equals_the_native_layer(tmp_path, phase, frozen, top):
    native = f'type: "BN" bn_param {{ momentum: 0.7 eps: 0.01 frozen: {str(frozen).lower()} }}'
    python = twin(momentum=0.7, eps=0.01, frozen=frozen)
    wants = passes(tmp_path, native, top, phase)
    for got, want in zip(passes(tmp_path, python, top, phase), wants, strict=True):
        assert relative_error(got, want) <= 2e-6


def test_start_values(tmp_path):
    net = net_from_text(tmp_path, NET.format(twin(slope_filler=0.5, bias_filler=2), "y"))
    assert [blob.data.ravel().tolist() for blob in net.params["l"]] == [
        [0.5] * 3,
        [2] * 3,
        [0] * 3,
        [0] * 3,
    ]


def test_names_an_unknown_option(tmp_path):
    with pytest.raises(ValueError, match="BN: param_str: engine: expected one of the keys"):
        net_from_text(tmp_path, NET.format(twin(engine=1), "y"))

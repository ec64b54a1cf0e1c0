"""TorchScript files: every layer type that goes, on other numbers than traced; what cannot."""

import re

import numpy as np
import pytest

import caffe
from caffe.export import torchscript, verify
from tests import evidence
from tests.export.layer_cases import BOTH, ONNX_ALONE, Case, net

IN = 'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:2 dim:1 dim:7 dim:5}}}'


@pytest.mark.parametrize("case", BOTH, ids=lambda case: f"{case.type} {case.fields}")
def test_pytorch_computes_the_same(case):
    made = case.net()
    content = torchscript.script(made, case.arrays(seed=0))
    inputs = case.arrays(seed=1)
    got = torchscript.run(content, inputs)
    assert set(got) == set(made.outputs)
    errors = verify.differences(made, inputs, got)
    assert max(errors.values()) <= 1e-5, errors
    evidence.EXPORTS.append(evidence.Export(case.type, "torchscript", max(errors.values())))


def test_inputs_and_what_leads_nowhere():
    made = net(
        IN + 'layer{name:"s" type:"Silence" bottom:"x"} layer{name:"y" type:"AbsVal" '
        'bottom:"x" top:"y"}'
    )
    traced, inputs = verify.examples(made, seed=0), verify.examples(made, seed=1)
    got = torchscript.run(torchscript.script(made, traced), inputs)
    assert np.array_equal(got["y"], np.abs(inputs["x"]))
    for name in ("Input", "Silence"):
        evidence.EXPORTS.append(evidence.Export(name, "torchscript", 0.0))


CODE = [
    Case("UniqueLabel", "unique_label_param{max_labels:9}", ((2, 1, 7, 5),)),
    Case("AdaptiveBiasChannel", "", ((2, 3, 7, 5), (2, 4))),
    Case("SegAccuracy", "", ((2, 3, 7, 5), (2, 1, 7, 5))),
]


@pytest.mark.parametrize("case", [*CODE, *ONNX_ALONE], ids=lambda case: case.type)
def test_what_cannot_go_says_why(case):
    why = "it computes with a native operator"
    if case in CODE:
        why = "it looks at its bottoms' numbers in Python"
    if case.type == "DummyData":
        why = "it reads or writes data"
    words = f'layer "l" ({case.type}): cannot go to TorchScript: {why}'
    with pytest.raises(caffe.CaffeError, match=re.escape(words)):
        torchscript.script(case.net(), case.arrays())


def test_a_net_without_outputs():
    made = net(IN + 'layer{name:"s" type:"Silence" bottom:"x"}')
    with pytest.raises(caffe.CaffeError, match="it has no outputs to export"):
        torchscript.script(made, verify.examples(made, seed=0))


def test_what_pytorchs_tracer_refuses(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("cannot\n  do this " + "x" * 300)

    made = net(IN + 'layer{name:"y" type:"AbsVal" bottom:"x" top:"y"}')
    monkeypatch.setattr(torchscript.torch.jit, "trace", refuse)
    with pytest.raises(
        caffe.CaffeError, match=r'net "": PyTorch cannot trace it: cannot do thisx? x+$'
    ):
        torchscript.script(made, verify.examples(made, seed=0))

"""TorchScript files: every layer type that goes, on other numbers than traced; what cannot."""

import pytest

from caffe.export import torchscript, verify
from tests import evidence
from tests.export.layer_cases import BOTH


@pytest.mark.parametrize(
    "case",
    BOTH,
    ids=lambda case: f"{case.type} {case.fields}",
)
def test_pytorch_computes_the_same(case):
    made = case.net()
    content = torchscript.script(made, case.arrays(seed=0))
    inputs = case.arrays(seed=1)
    got = torchscript.run(content, inputs)
    assert set(got) == set(made.outputs)
    errors = verify.differences(made, inputs, got)
    assert max(errors.values()) <= 1e-5, errors
    evidence.EXPORTS.append(evidence.Export(case.type, "torchscript", max(errors.values())))

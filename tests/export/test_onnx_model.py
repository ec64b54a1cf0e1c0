"""ONNX files: every layer type that goes, in onnxruntime; whole nets; what cannot go, and why."""

import numpy as np
import pytest

import caffe
from caffe.export import onnx_model, verify
from caffe.export.onnx_graph import writer_of
from tests import evidence
from tests.export.layer_cases import BOTH, ONNX_ALONE

# No data, no user's code, and numbers that no standard operators compute.
DATA = ["Data", "HDF5Data", "HDF5Output", "HumanAttData", "ImageData", "ImageSegData", "MatRead"]
DATA += ["MatWrite", "MemoryData", "WindowData"]
NEVER = ["AdaptiveBiasChannel", "Python", "SegAccuracy", "UniqueLabel", *DATA]


def exported(made: caffe.Net, inputs: dict[str, np.ndarray]) -> dict[str, float]:
    """How far off each output is in onnxruntime."""
    got = onnx_model.run(onnx_model.model(made), inputs)
    assert set(got) == set(made.outputs)
    return verify.differences(made, inputs, got)


@pytest.mark.parametrize("case", BOTH + ONNX_ALONE, ids=lambda case: f"{case.type} {case.fields}")
def test_onnxruntime_computes_the_same(case):
    errors = exported(case.net(), case.arrays())
    assert max(errors.values()) <= 1e-5, errors
    evidence.EXPORTS.append(evidence.Export(case.type, "onnx", max(errors.values())))


def test_every_layer_type_is_tried_or_has_a_reason_not_to_be():
    tried = {case.type for case in BOTH + ONNX_ALONE}
    assert {*caffe.layer_type_list()} - tried == {*NEVER, "Input", "Silence"}
    assert [name for name in NEVER if writer_of(name)] == []

"""The memory counted for training: against a count by hand, and against what autograd holds."""

import numpy as np
import pytest
import torch
from google.protobuf import text_format

import caffe
from caffe import footprint
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from python_layers.data_shapes import with_inputs

TINY = """
layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: [2, 3, 8, 10] } shape { dim: [2, 7] } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 7 } }
layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" }
layer { name: "frozen" type: "InnerProduct" bottom: "x" top: "frozen"
  param { lr_mult: 0 } param { lr_mult: 0 } inner_product_param { num_output: 11 } }
layer { name: "quiet" type: "Silence" bottom: "frozen" }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "y" top: "loss" }
"""
LEARNED = 5 * 3 * 3 * 3 + 5 + 7 * (5 * 4 * 5) + 7
FROZEN = 11 * (3 * 8 * 10) + 11
SGD = {"type": "SGD", "momentum": 0.9}
FILES = ["wsddn", "student", "stage1", "stage2", "resnet18/stage1", "mobilenet_v1/student"]


@pytest.fixture(autouse=True)
def _cpu():
    """What is compared was measured there: a GPU keeps maps in another layout."""
    caffe.set_mode_cpu()


def tiny():
    with torch.device("meta"):
        return caffe.Net(text_format.Parse(TINY, caffe_pb2.NetParameter()), caffe.TRAIN)


def solver(**fields):
    return caffe_pb2.SolverParameter(**SGD | fields)


def numbers_of(images, conv, fc):
    """Floats of the blobs: the map, fc and its noise and the dropped fc, pool, inputs, loss."""
    inputs = images * (3 * 8 * 10 + 7)
    return inputs + conv + images * 5 * 4 * 5 + 3 * fc + images * 11 + 1


def test_counted_by_hand():
    conv, pool, fc = 2 * 5 * 8 * 10, 2 * 5 * 4 * 5, 2 * 7
    found = footprint.of_training(tiny(), solver())
    assert found.weights == 4 * (LEARNED + FROZEN)
    assert found.gradients == found.history == 4 * LEARNED
    assert found.maps == 4 * numbers_of(2, conv, fc) + 8 * pool  # places of maxima: int64
    assert found.working == 5 * 4 * conv
    assert found.update == 0
    assert found.peak == sum(found)


@pytest.mark.parametrize(("fields", "history", "update"), [
    ({"iter_size": 3}, 1, 1),
    ({"weight_decay": 0.1}, 1, 0),
    ({"weight_decay": 0.1, "momentum": 0}, 1, 1),
    ({"weight_decay": 0.1, "regularization_type": "L1", "iter_size": 3}, 1, 2),
    ({"weight_decay": 0.1, "type": "Nesterov"}, 1, 1),
    ({"type": "Adam"}, 2, 1),
])  # fmt: skip
def test_what_the_solver_adds(fields, history, update):
    found = footprint.of_training(tiny(), solver(**fields))
    assert found.gradients == 4 * LEARNED * (2 if "iter_size" in fields else 1)
    assert (found.history, found.update) == (4 * LEARNED * history, 4 * LEARNED * update)
    held = found.weights + found.gradients + found.history + found.maps
    assert found.peak == held + max(found.working, found.update)


def test_a_pass_alone_has_no_history():
    found = footprint.of_training(tiny())
    assert (found.history, found.update) == (0, 0)


def test_bfloat16_halves_maps_and_copies_weights():
    full, low = (footprint.of_training(tiny(), low=low) for low in (False, True))
    assert low.weights == full.weights + 2 * (LEARNED + FROZEN)
    assert low.working == full.working / 2
    assert full.maps / 2 < low.maps < full.maps


def test_recompute_works_on_one_stretch_at_a_time():
    param = read_text("models/demo/student/train.prototxt", caffe_pb2.NetParameter())
    with torch.device("meta"):
        net = caffe.Net(with_inputs(param, 2), caffe.TRAIN)
    plain, again = (footprint.of_training(net, recompute=on) for on in (False, True))
    conv = 4 * 2 * 8 * 96 * 96  # conv1_1 and conv1_2, the largest
    data, places = 4 * 2 * 3 * 96 * 96, 8 * 2 * 8 * 48 * 48  # of pool1's maxima, int64
    assert again.working == plain.working + data + 2 * conv + places
    assert again.maps < 0.6 * plain.maps


def memory_of(tensor):
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


@pytest.mark.parametrize("how", ["fp32", "bf16", "recompute"])
@pytest.mark.parametrize("path", FILES)
def test_maps_are_what_blobs_and_autograd_hold(path, how):
    param = read_text(f"models/demo/{path}/train.prototxt", caffe_pb2.NetParameter())
    net = caffe.Net(with_inputs(param, 2), caffe.TRAIN)
    for name in net.inputs:
        net.blobs[name].data[...] = np.array([0, 0, 0, 29, 31, 1]) if "rois" in name else 1
    low, recompute = how == "bf16", how == "recompute"
    weights = {memory_of(blob.tensor())[0] for blob, _ in net.learnable()}
    held = {}
    caffe.set_precision("bf16" if low else "fp32")
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: held.update([memory_of(x)]) or x, lambda x: x
    ):
        net._forward_stretches() if recompute else net.forward()
    counted = footprint.of_training(net, low=low, recompute=recompute).maps
    caffe.set_precision("fp32")
    held.update(memory_of(mirror.tensor) for mirror in tensors(net))
    actual = sum(size for place, size in held.items() if place not in weights)
    if low:  # the copies of the weights, which count as weights
        actual -= 2 * sum(blob.count for blob, _ in net.learnable() if blob.learned)
    # On a CPU the first map has a copy in another layout.
    assert 0.85 < counted / actual < 1.15, counted / actual


def tensors(net):
    """Where blobs hold a tensor: reading `tensor()` would make one where there is none."""
    mirrors = [blob._data for blob in net.blobs.values()]
    return [mirror for mirror in mirrors if mirror.tensor is not None]

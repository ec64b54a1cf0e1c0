"""Whole nets of models/, made thin, in onnxruntime and as TorchScript."""

import re

import numpy as np
import pytest
from nets import pspnet101

import caffe
from caffe.export import onnx_model, torchscript, verify
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from models.generate import ROOT
from tests.export.layer_cases import fill

# How many times fewer channels.
THINNER = {
    "mnist/lenet": 1,
    "imagenet/caffenet": 8,
    "imagenet/googlenet": 8,
    "imagenet/resnet50": 16,
    "voc2011/fcn8s": 16,
    "cityscapes/pspnet101": 16,
    "demo/student": 1,
}
_FEW = 21  # classes and the like, as they are
SIDES = {"voc2011/fcn8s": 63, "cityscapes/pspnet101": 97}


def message_of(path: str) -> caffe_pb2.NetParameter:
    if path == "cityscapes/pspnet101":
        spec = caffe.NetSpec()
        spec.data = caffe.layers.Input(shape={"dim": [1, 3, SIDES[path], SIDES[path]]})
        pspnet101.scores(spec, SIDES[path])
        return spec.to_proto()
    message = read_text(ROOT / path / "deploy.prototxt", caffe_pb2.NetParameter())
    if path in SIDES:
        message.layer[0].input_param.shape[0].dim[2:] = [SIDES[path]] * 2
    return message


def thin(path: str) -> caffe.Net:
    message = message_of(path)
    for layer in message.layer:
        for param in (layer.convolution_param, layer.inner_product_param):
            if param.num_output > _FEW:
                param.num_output //= THINNER[path]
    net = caffe.Net(message, caffe.TEST)
    fill(net)
    return net


@pytest.mark.parametrize("path", THINNER)
def test_a_net_computes_the_same_in_both_formats(path):
    net = thin(path)
    traced, inputs = verify.examples(net, seed=0), verify.examples(net, seed=1)
    assert np.ptp(net.forward(**inputs)[net.outputs[0]]) > 1e-3, "too dull a net to tell"
    for format_, content in (
        (onnx_model, onnx_model.model(net)),
        (torchscript, torchscript.script(net, traced)),
    ):
        errors = verify.differences(net, inputs, format_.run(content, inputs))
        assert list(errors) == net.outputs
        assert max(errors.values()) <= 1e-5, errors


def test_the_teacher_goes_to_onnx_and_not_to_torchscript():
    net = caffe.Net(str(ROOT / "demo/wsddn/deploy.prototxt"), caffe.TEST)
    fill(net)
    inputs = verify.examples(net, seed=1)
    inputs["roi_mask"][...] = 0
    assert inputs["rois"].shape == (64, 6)
    assert np.ptp(net.forward(**inputs)["p"]) > 1e-3
    errors = verify.differences(net, inputs, onnx_model.run(onnx_model.model(net), inputs))
    assert set(errors) == {*net.outputs}
    assert max(errors.values()) <= 1e-5, errors
    words = 'layer "roi_pool5" (ROIPooling): cannot go to TorchScript: it computes with a native'
    with pytest.raises(caffe.CaffeError, match=re.escape(words)):
        torchscript.script(net, inputs)

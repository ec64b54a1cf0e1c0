"""Runs a native layer and its numpy twin in real nets on the same numbers and compares them."""

import json

import numpy as np
import rewrite_net
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from tests.layer_checks import GOLDEN, net_from_text, relative_error, replay_golden


def python_net(
    tmp_path, bottoms: dict, module: str, layer: str, options=None, extra=""
) -> caffe.Net:
    """A net with a `type: "Python"` layer "l" that reads `bottoms` (name -> array), top "y"."""
    text = json.dumps(json.dumps(options)) if options is not None else '""'
    param = f'python_param{{module:"python_layers.{module}" layer:"{layer}" param_str:{text}}}'
    return _net(tmp_path, bottoms, f'type:"Python" {param} {extra}')


def compare_with_native(tmp_path, bottoms, module, layer, options=None, param="", extra="") -> None:
    """Forward and backward of the layer and of its twin: the same within 1e-6.

    `param` is the native layer's prototxt for `options`; `extra` goes to both layers.
    """
    nets = [
        _net(tmp_path, bottoms, f'type:"{layer}" {param} {extra}'),
        python_net(tmp_path, bottoms, module, layer, options, f"{extra}"),
    ]
    for net in nets:
        net.forward()
        if not net.blob_loss_weights["y"]:
            count = net.blobs["y"].count
            net.blobs["y"].diff[...] = np.linspace(-1, 2, count).reshape(net.blobs["y"].shape)
        net.backward()
    native, twin = nets
    assert relative_error(twin.blobs["y"].data.ravel(), native.blobs["y"].data.ravel()) <= 1e-6
    for name in bottoms:
        assert relative_error(twin.blobs[name].diff, native.blobs[name].diff) <= 1e-6, name


def _net(tmp_path, bottoms: dict, layer: str) -> caffe.Net:
    shapes = ["".join(f"dim:{n} " for n in array.shape) for array in bottoms.values()]
    tops = " ".join(f'top:"{name}"' for name in bottoms)
    text = (
        f'force_backward:true layer{{name:"in" type:"Input" {tops} input_param{{'
        + "".join(f"shape{{{shape}}}" for shape in shapes)
        + f'}}}} layer{{name:"l" {tops.replace("top", "bottom")} top:"y" {layer}}}'
    )
    net = net_from_text(tmp_path, text)
    for name, array in bottoms.items():
        net.blobs[name].data[...] = array
    return net


def replay_golden_on_twin(tmp_path, name: str) -> None:
    """`replay_golden` of a case whose layer tools/rewrite_net.py has made a Python layer."""
    case = dict(np.load(GOLDEN / f"{name}.npz"))
    net = text_format.Parse(str(case["prototxt"]), caffe_pb2.NetParameter())
    for field in ("slope_filler", "bias_filler"):  # the case holds the weights
        net.layer[0].bn_param.ClearField(field)
    assert rewrite_net.rewrite(net, rewrite_net.TWINS) == ["l"]
    case["prototxt"] = np.array(text_format.MessageToString(net))
    for key in ("top0", "topdiff0"):
        if key in case and case[key].shape == ():  # the loss of a Python layer has an axis
            case[key] = case[key].reshape(1)
    np.savez(tmp_path / "twin.npz", **case)
    replay_golden(tmp_path, str(tmp_path / "twin"))

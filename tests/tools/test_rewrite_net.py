"""rewrite_net.py: which layers become Python layers, with which text, computing the same."""

import json
from pathlib import Path

import numpy as np
import pytest
import rewrite_net
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from tests.tools.original_fakes import BVLC

MODELS = Path(__file__).parents[2] / "models"
NET = """
layer { name: "in" type: "Input" top: "x" top: "rois" input_param {
  shape { dim: 2 dim: 3 dim: 7 dim: 5 } shape { dim: 4 dim: 6 } } }
layer { name: "bn" type: "BN" bottom: "x" top: "bn" param { lr_mult: 2 }
  bn_param { eps: 0.5 slope_filler { value: 2 } engine: CUDNN } }
layer { name: "pool" type: "ROIPooling" bottom: "bn" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_h: 2 pooled_w: 3 score_scale: 10 } phase: TEST }
layer { name: "levels" type: "ROISpatialPyramidPooling" bottom: "bn" bottom: "rois" top: "levels"
  roi_spatial_pyramid_pooling_param { bins: 1 bins: 3 } }
layer { name: "t" type: "Parameter" top: "t" parameter_param { shape { dim: 4 dim: 30 } } }
layer { name: "loss" type: "PredictionL2Loss" bottom: "levels" bottom: "t" }
"""


def layer_of(net, name):
    return next(layer for layer in net.layer if layer.name == name)


def rewritten(text, lacks=rewrite_net.TWINS):
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    rewrite_net.rewrite(net, lacks)
    return net


def test_text():
    net = rewritten(NET)
    options = {
        layer.name: json.loads(layer.python_param.param_str or "null")
        for layer in net.layer
        if layer.type == "Python"
    }
    assert options == {
        "bn": {"eps": 0.5, "slope_filler": 2.0},
        "pool": {"pooled_h": 2, "pooled_w": 3, "score_scale": 10.0},
        "levels": {"bins": [1, 3]},
        "t": {"shape": [4, 30]},
        "loss": None,
    }
    bn, pool, loss = (layer_of(net, name) for name in ("bn", "pool", "loss"))
    assert (pool.python_param.module, pool.python_param.layer) == (
        "python_layers.roi_pooling",
        "ROIPooling",
    )
    assert pool.phase == caffe_pb2.TEST
    assert [(spec.lr_mult, spec.decay_mult) for spec in bn.param] == [
        (2, 1),
        (1, 1),
        (0, 0),
        (0, 0),
    ]
    assert (list(loss.top), list(loss.loss_weight)) == (["loss"], [1])
    assert not any(layer.HasField("bn_param") for layer in net.layer)
    assert not any(layer.HasField("roi_pooling_param") for layer in net.layer)


def test_the_rewritten_net_computes_the_same():
    native = text_format.Parse(NET, caffe_pb2.NetParameter())
    nets = [caffe.Net(net, caffe.TEST) for net in (native, rewritten(NET))]
    random = np.random.default_rng(5)
    x = random.standard_normal((2, 3, 7, 5))
    rois = [[0, 0, 1, 4, 5, 0.5], [1, 2, 2, 3, 6, 0.1], [1, 0, 0, 4, 6, 1], [0, 1, 1, 1, 1, 0.3]]
    weights = [random.random(blob.data.shape) + 0.5 for blobs in nets[0].params.values()
               for blob in blobs]  # fmt: skip
    for net in nets:
        blobs = [blob for blobs in net.params.values() for blob in blobs]
        for blob, values in zip(blobs, weights, strict=True):
            blob.data[...] = values
        net.forward(x=x, rois=np.array(rois))
        net.backward()
    ours, twin = nets
    assert list(ours.params) == list(twin.params) == ["bn", "t"]
    loss = next(name for name in ours.blobs if name.startswith("(automatic)"))
    np.testing.assert_allclose(twin.blobs["loss"].data, [ours.blobs[loss].data], rtol=1e-6)
    for name in ("bn", "t"):
        for a, b in zip(ours.params[name], twin.params[name], strict=True):
            np.testing.assert_allclose(b.diff, a.diff, rtol=1e-4, atol=1e-4 * np.abs(a.diff).max())


def test_only_what_lacks():
    net = rewritten(NET, ["Parameter", "Interp"])
    assert [layer.name for layer in net.layer if layer.type == "Python"] == ["t"]


@pytest.mark.parametrize("path", sorted(MODELS.glob("*/**/*.prototxt")), ids=str)
def test_every_net_in_models_runs_on_bvlc_caffe(path):
    text = path.read_text(encoding="utf-8")
    if path.name == "solver.prototxt":
        return
    net = rewritten(text, rewrite_net.parser().parse_args(["a", "b"]).lacks)
    types = {layer.type for layer in net.layer if layer.bottom}
    assert types <= set(BVLC)


def test_command(tmp_path, capsys):
    source, target = tmp_path / "in.prototxt", tmp_path / "new" / "out.prototxt"
    source.write_text(NET)
    assert rewrite_net.main([str(source), str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: 4 Python layers: bn, pool, levels, loss\n"
    text = target.read_text()
    assert text.startswith(f"# Written by tools/rewrite_net.py from {source}.\n")
    assert text_format.Parse(text, caffe_pb2.NetParameter()).layer[4].type == "Parameter"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('layers { name: "x" }', "in.prototxt: a net of old `layers`: convert it with upgrade_net"),
        ('layer { name: "x" kind: 1 }', "in.prototxt:1:19 : "),
        ('layer { name: "b" type: "BN" bn_param { bias_filler { type: "xavier" } } }',
         'layer "b" (BN): bias_filler: expected type "constant", got "xavier"'),
    ],
)  # fmt: skip
def test_says_what_does_not_fit(tmp_path, capsys, text, message):
    (tmp_path / "in.prototxt").write_text(text)
    assert rewrite_net.main([str(tmp_path / "in.prototxt"), str(tmp_path / "out.prototxt")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.prototxt").exists()


def test_wrong_type(capsys):
    with pytest.raises(SystemExit, match="2"):
        rewrite_net.main(["a", "b", "--lacks", "Pooling"])
    assert "expected one of BN, CrossEntropyLoss" in capsys.readouterr().err

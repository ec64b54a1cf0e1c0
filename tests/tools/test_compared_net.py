"""What two engines get: inputs in place of data layers, no randomness, outputs' gradients."""

import cv2
import numpy as np
import pytest
import record_caffe
from compared_net import prepare, random_boxes, unknown_fields, write_random_weights
from errors import UserError
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

READERS = """
layer { name: "in" type: "Input" top: "x" top: "k" top: "y" top: "rois"
  input_param { shape { dim: 6 dim: 3 dim: 8 dim: 4 } shape { dim: 6 } shape { dim: 6 dim: 3 }
    shape { dim: 7 dim: 5 } } }
layer { name: "pool" type: "ROIPooling" bottom: "x" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
  inner_product_param { num_output: 3 } }
layer { name: "classes" type: "SoftmaxWithLoss" bottom: "fc" bottom: "k" top: "classes" }
layer { name: "labels" type: "SigmoidCrossEntropyLoss" bottom: "fc" bottom: "y" top: "labels" }
"""
DROPS = """
input: "x" input_shape { dim: 2 dim: 6 }
layer { name: "d" type: "Dropout" bottom: "x" top: "d" }
layer { name: "none" type: "Dropout" bottom: "d" top: "e" dropout_param { dropout_ratio: 0 } }
layer { name: "test" type: "Dropout" bottom: "e" top: "f" phase: TEST }
layer { name: "fc" type: "InnerProduct" bottom: "f" top: "y" inner_product_param { num_output: 3 } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
layer { name: "best" type: "ArgMax" bottom: "x" top: "best" }
"""
DATA = """
layer { name: "data" type: "ImageData" top: "x" top: "k" include { phase: TRAIN }
  image_data_param { source: "list.txt" batch_size: 2 } }
layer { name: "data" type: "ImageData" top: "x" top: "k" include { phase: TEST }
  image_data_param { source: "missing.txt" batch_size: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
  inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "k" top: "loss" }
"""


def made(tmp_path, text, phase="TEST", given=(), seed=1):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return prepare(path, phase, dict(given), seed)


def test_random_inputs_are_what_their_readers_take(tmp_path):
    inputs = made(tmp_path, READERS).inputs
    assert {name: array.shape for name, array in inputs.items()} == {
        "x": (6, 3, 8, 4),
        "k": (6,),
        "y": (6, 3),
        "rois": (7, 5),
    }
    assert set(np.unique(inputs["k"])) <= {0, 1, 2}
    assert set(np.unique(inputs["y"])) == {0, 1}
    assert 0.8 < inputs["x"].std() < 1.2
    rois = inputs["rois"]
    assert (rois[:, 3] <= 7).all()
    assert rois[:, 3].max() > 3  # in pixels of the image, twice as wide as the maps
    assert rois[:, 4].max() > 7


def test_seed(tmp_path):
    one, same, other = (made(tmp_path, READERS, seed=seed).inputs["x"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_boxes_are_of_images_in_order():
    boxes = random_boxes((7, 6), 3, np.array([9, 5]), np.random.default_rng(0))
    assert boxes[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert (boxes[:, 1:3] <= boxes[:, 3:5]).all()
    assert (boxes[:, 3:5] <= [8, 4]).all()
    assert ((boxes[:, 5] >= 0) & (boxes[:, 5] < 1)).all()


def test_given_arrays_replace_random_ones_with_their_shapes(tmp_path):
    x = np.full((4, 3, 8, 4), 2.0)
    compared = made(tmp_path, READERS, given={"x": x, "k": np.ones(4), "y": np.ones((4, 3))})
    np.testing.assert_array_equal(compared.inputs["x"], x)
    assert list(compared.net.input_shape[0].dim) == [4, 3, 8, 4]
    assert compared.inputs["rois"].shape == (7, 5)
    with pytest.raises(UserError, match="--inputs: expected x, k, y, rois, got also z"):
        made(tmp_path, READERS, given={"z": x})


def test_random_layers_run_as_in_test(tmp_path):
    compared = made(tmp_path, DROPS, "TRAIN")
    assert [layer.phase for layer in compared.net.layer if layer.HasField("phase")] == [1, 1]
    assert compared.notes[0].endswith("different random numbers: d (Dropout)")
    assert len(made(tmp_path, DROPS, "TEST").notes) == 1


def test_outputs_without_a_loss_get_gradients(tmp_path):
    compared = made(tmp_path, DROPS)
    assert compared.notes == ["no loss: gradients from random ones of the outputs: y"]
    assert {name: array.shape for name, array in compared.diffs.items()} == {"y": (2, 3)}
    assert [list(layer.loss_weight) for layer in compared.net.layer[-3:]] == [[], [1], []]
    assert not made(tmp_path, READERS).diffs


def test_inputs_in_place_of_a_data_layer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (2, 7, 5, 3), np.uint8)
    for number, image in enumerate(pixels):
        cv2.imwrite(f"{number}.png", image)
    (tmp_path / "list.txt").write_text("0.png 2\n1.png 0\n")
    compared = made(tmp_path, DATA, "TRAIN")
    np.testing.assert_array_equal(compared.inputs["x"], pixels.transpose(0, 3, 1, 2))
    assert compared.inputs["k"].tolist() == [2, 0]
    assert list(compared.net.input) == ["x", "k"]
    assert compared.notes == [
        "inputs in place of data layer data (ImageData), from its first batch here: x, k"
    ]
    with pytest.raises(
        UserError, match=r'"data" \(ImageData\) cannot .*missing.txt.*--inputs FILE'
    ):
        made(tmp_path, DATA, "TEST")
    given = {"x": np.zeros((1, 3, 2, 2)), "k": np.zeros(1)}
    assert made(tmp_path, DATA, "TEST", given).notes == [
        "inputs in place of data layer data (ImageData), from --inputs: x, k"
    ]


def test_random_weights_hide_nothing(tmp_path):
    text = """input: "x" input_shape { dim: 2 dim: 3 dim: 4 }
    layer { name: "bn" type: "BN" bottom: "x" top: "bn" }
    layer { name: "fc" type: "InnerProduct" bottom: "bn" top: "fc"
      inner_product_param { num_output: 2 bias_filler { value: 0.25 } } }
    layer { name: "t" type: "Parameter" top: "t" parameter_param { shape { } } }"""
    compared = made(tmp_path, text)
    write_random_weights(compared.net, tmp_path / "start", 3)
    net = caffe.Net(compared.net, caffe.TEST)
    record_caffe.take_start(net, str(tmp_path / "start"))
    assert all(blob.data.all() for blobs in net.params.values() for blob in blobs)
    assert (net.params["bn"][3].data >= 0.5).all()
    assert net.params["fc"][1].data.tolist() == [0.25, 0.25]


def test_unknown_fields():
    text = 'name: "l" pooling_param { kernel_size: 2 round_mode: FLOOR } param { lr_mult: 1 }'
    layer = text_format.Parse(text, caffe_pb2.LayerParameter())
    known = {
        "LayerParameter": ["name", "pooling_param", "param"],
        "PoolingParameter": ["kernel_size"],
        "ParamSpec": [],
    }
    assert list(unknown_fields(layer, known, "")) == ["param.lr_mult", "pooling_param.round_mode"]

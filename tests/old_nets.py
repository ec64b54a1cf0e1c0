"""One net as three generations of Caffe wrote it, and its weights."""

import numpy as np
from google.protobuf import text_format

from caffe.proto import caffe_pb2

V0 = """
name: "small" force_backward: true
input: "data" input_dim: 2 input_dim: 3 input_dim: 11 input_dim: 7
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "padded" }
layers { layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 3 stride: 2 biasterm: false
    weight_filler { type: "gaussian" std: 0.5 } blobs_lr: 3 weight_decay: 0.5 }
  bottom: "padded" top: "conv1" }
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
layers { layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.25 beta: 0.5 }
  bottom: "conv1" top: "norm1" }
layers { layer { name: "pad2" type: "padding" pad: 1 } bottom: "norm1" top: "pad2" }
layers { layer { name: "pool1" type: "pool" pool: AVE kernelsize: 3 stride: 2 }
  bottom: "pad2" top: "pool1" }
layers { layer { name: "conv2" type: "conv" num_output: 6 kernelsize: 2 group: 2 pad: 1
    weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.25 }
    blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 } bottom: "pool1" top: "conv2" }
layers { layer { name: "join" type: "concat" concat_dim: 2 } bottom: "conv2" bottom: "conv2"
  top: "join" }
layers { layer { name: "ip" type: "innerproduct" num_output: 5
    weight_filler { type: "gaussian" std: 0.1 } bias_filler { type: "uniform" } }
  bottom: "join" top: "ip" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.25 } bottom: "ip" top: "ip" }
layers { layer { name: "prob" type: "softmax" } bottom: "ip" top: "prob" }
"""
V1 = """
name: "small" force_backward: true
input: "data" input_shape { dim: 2 dim: 3 dim: 11 dim: 7 }
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 3 weight_decay: 0.5
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 2 bias_term: false
    weight_filler { type: "gaussian" std: 0.5 } } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers { name: "norm1" type: LRN bottom: "conv1" top: "norm1"
  lrn_param { local_size: 3 alpha: 0.25 beta: 0.5 } }
layers { name: "pool1" type: POOLING bottom: "norm1" top: "pool1"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layers { name: "conv2" type: CONVOLUTION bottom: "pool1" top: "conv2"
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 6 kernel_size: 2 group: 2 pad: 1
    weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.25 } } }
layers { name: "join" type: CONCAT bottom: "conv2" bottom: "conv2" top: "join"
  concat_param { concat_dim: 2 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "join" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.1 }
    bias_filler { type: "uniform" } } }
layers { name: "drop" type: DROPOUT bottom: "ip" top: "ip" dropout_param { dropout_ratio: 0.25 } }
layers { name: "prob" type: SOFTMAX bottom: "ip" top: "prob" }
"""
CURRENT = """
name: "small" force_backward: true
layer { name: "input" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 11 dim: 7 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 3 decay_mult: 0.5 }
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 2 bias_term: false
    weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1"
  lrn_param { local_size: 3 alpha: 0.25 beta: 0.5 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 6 kernel_size: 2 group: 2 pad: 1
    weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.25 } } }
layer { name: "join" type: "Concat" bottom: "conv2" bottom: "conv2" top: "join"
  concat_param { concat_dim: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "join" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.1 }
    bias_filler { type: "uniform" } } }
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" dropout_param { dropout_ratio: 0.25 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


def parse(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


def small_arrays(seed):
    """Blobs for the layers of the net that learn, by their names."""
    rng = np.random.default_rng(seed)
    shapes = {"conv1": [(4, 3, 3, 3)], "conv2": [(6, 2, 2, 2), (6,)], "ip": [(5, 6 * 10 * 4), (5,)]}
    return {
        name: [rng.standard_normal(shape).astype(np.float32) for shape in layer]
        for name, layer in shapes.items()
    }


def with_blobs(text, arrays):
    """The net as a weights file had it: its text, and blobs in the layers that learn."""
    net = parse(text)
    layers = [old.layer if old.HasField("layer") else old for old in net.layers] or net.layer
    for layer in layers:
        for array in arrays.get(layer.name, []):
            shape = (1,) * (4 - array.ndim) + array.shape
            num, channels, height, width = shape
            blob = layer.blobs.add(num=num, channels=channels, height=height, width=width)
            blob.data.extend(array.ravel())
            blob.diff.extend(-array.ravel())
    return net

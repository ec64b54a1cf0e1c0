"""One small net for each way in which a layer type can leave the engine, sizes pairwise unequal."""

from typing import NamedTuple

import numpy as np
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

_RNG = np.random.default_rng(5)


def _whole(high: int, *shape: int) -> np.ndarray:
    return _RNG.integers(0, high, shape).astype(np.float32)


def _positive(*shape: int) -> np.ndarray:
    return _RNG.random(shape, np.float32)


MAP = (2, 3, 7, 5)
CONT = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1, 1]], np.float32)
# image index, corners, score: whole and broken corners, outside the map, larger than it, empty
ROIS = np.array(
    [
        [0, 1, 2, 12, 9, 0.3],
        [1, 0, 0, 18, 26, 0.7],
        [1, 7.5, 3.2, 8, 3, 0.1],
        [0, -9, -9, -5, -5, 0.5],
        [0, 4, 4, 60, 60, 0.9],
    ],
    np.float32,
)
BOXES = _positive(2, 15) * 40 - 10
Bottom = tuple[int, ...] | np.ndarray  # a shape to fill with normal numbers, or the numbers


class Case(NamedTuple):
    """A layer of `type` with these fields; what it reads and how many tops it has."""

    type: str
    fields: str = ""
    bottoms: tuple[Bottom, ...] = (MAP,)
    tops: int = 1

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """What the inputs b0, b1, ... hold."""
        rng = np.random.default_rng(seed)
        return {
            f"b{i}": b if isinstance(b, np.ndarray) else rng.standard_normal(b, np.float32)
            for i, b in enumerate(self.bottoms)
        }

    def net(self) -> caffe.Net:
        """Input layers and the layer, called "l", with random parameters."""
        inputs = [
            f'layer{{name:"{name}" type:"Input" top:"{name}" input_param{{shape{{'
            f"{' '.join(f'dim:{n}' for n in array.shape)}}}}}}}"
            for name, array in self.arrays().items()
        ]
        bottoms = " ".join(f'bottom:"b{i}"' for i in range(len(self.bottoms)))
        tops = " ".join(f'top:"t{i}"' for i in range(self.tops))
        layer = f'layer{{name:"l" type:"{self.type}" {bottoms} {tops} {self.fields}}}'
        return net(f'name:"{self.type}" ' + " ".join([*inputs, layer]))


def net(text: str) -> caffe.Net:
    """A net in phase TEST from prototxt text, with random parameters (variances positive)."""
    message = caffe_pb2.NetParameter()
    text_format.Parse(text, message)
    made = caffe.Net(message, caffe.TEST)
    fill(made)
    return made


def fill(made: caffe.Net) -> None:
    """Numbers that keep a deep net's blobs of one size and no channel like another."""
    rng = np.random.default_rng(3)
    for layer in made.layers:
        for blob in layer.blobs:
            fan = max(1, blob.count // max(1, blob.shape[0])) if len(blob.shape) > 1 else 4
            blob.data[...] = rng.standard_normal(blob.shape) * (2 / fan) ** 0.5
            if layer.type in ("BN", "BatchNorm"):
                blob.data[...] = rng.uniform(0.5, 1.5, blob.shape)


def _convolution(fields: str) -> str:
    fillers = "weight_filler{} bias_filler{}"
    return f"convolution_param{{num_output:6 {fields} {fillers}}}"


def _recurrent(fields: str = "") -> str:
    return f"recurrent_param{{num_output:2 {fields}}}"


_POOLS = [
    "kernel_size:2 stride:2",
    "kernel_size:3 stride:2 pad:1",
    "kernel_size:3 stride:2 pad:2",
    "kernel_h:4 kernel_w:2 stride_h:1 stride_w:3 pad_h:3",
    "kernel_h:8 kernel_w:3 stride:2",
    "kernel_size:3 stride:3 round_mode:FLOOR",
    "global_pooling:true",
]
_TWO = ((2, 3), (2, 3))
_SCORES = (2, 3, 4, 5)
_ROI = "pooled_h:2 pooled_w:3 spatial_scale:0.25"
_IGNORING = "loss_param{ignore_label:1"

# Layers that both ONNX and TorchScript can hold.
BOTH = [
    Case("AbsVal"),
    Case("Accuracy", "", ((7, 3), _whole(3, 7))),
    Case("Accuracy", "accuracy_param{top_k:2 ignore_label:0}", (_SCORES, _whole(3, 2, 4, 5)), 2),
    Case("Accuracy", "", (_whole(2, 7, 3), _whole(3, 7))),
    Case("ArgMax", "argmax_param{axis:1 top_k:2}"),
    Case("ArgMax", "argmax_param{axis:2 out_max_val:true}"),
    Case("ArgMax", "argmax_param{top_k:4 out_max_val:true}"),
    Case("ArgMax", "argmax_param{top_k:3}", (_whole(3, 2, 9),)),
    Case("BN"),
    Case("BNLL"),
    Case("BatchNorm", "batch_norm_param{eps:0.1}"),
    Case("BatchNorm", "", ((3,),)),
    Case("BatchNorm", "batch_norm_param{use_global_stats:false}"),
    Case("BatchReindex", "", (MAP, np.array([1, 0, 1, 1], np.float32))),
    Case("Bias", "bias_param{num_axes:2}"),
    Case("Bias", "bias_param{axis:2}", (MAP, (7,))),
    Case("BiasChannel", "", (MAP, np.array([[0, 2], [1, -1]], np.float32))),
    Case(
        "BiasChannel",
        "bias_channel_param{label_type:PIXEL fg_bias:3 ignore_label:2}",
        (MAP, _whole(3, 2, 1, 7, 5)),
    ),
    Case("Clip", "clip_param{min:-0.5 max:0.7}"),
    Case("Concat", "concat_param{axis:2}", (MAP, (2, 3, 4, 5))),
    Case("ContrastiveLoss", "", (*_TWO, np.array([0, 1], np.float32))),
    Case(
        "ContrastiveLoss",
        "contrastive_loss_param{legacy_version:true margin:4}",
        ((4, 3, 1, 1), (4, 3, 1, 1), _whole(2, 4)),
    ),
    Case(
        "Convolution",
        _convolution("group:3 kernel_size:3 stride:2 pad:1 dilation:2"),
        ((2, 3, 13, 11),),
    ),
    Case("Convolution", _convolution("kernel_size:3 bias_term:false"), ((2, 3, 7),)),
    Case("Convolution", _convolution("kernel_size:2 pad:1"), ((2, 3, 4, 6, 5),)),
    Case("Convolution", _convolution("axis:2 kernel_size:3"), ((2, 4, 3, 7),)),
    Case("Convolution", _convolution("kernel_h:3 kernel_w:2"), (MAP, MAP), 2),
    Case("Convolution", _convolution("axis:1"), ((2, 3),)),
    Case("Crop", "crop_param{axis:2 offset:1 offset:2}", ((2, 3, 9, 8), MAP)),
    Case("CrossEntropyLoss", "", (_positive(2, 3), _whole(2, 2, 3))),
    Case("Deconvolution", _convolution("group:3 kernel_h:4 kernel_w:3 stride:2 pad:1")),
    Case("Deconvolution", _convolution("kernel_size:3 dilation:2"), ((2, 3, 7),)),
    Case("Deconvolution", _convolution("kernel_size:3 stride:2 pad:1"), ((2, 3, 4, 7, 5),)),
    Case("Dropout"),
    Case("ELU", "elu_param{alpha:0.7}"),
    Case("Eltwise", "eltwise_param{operation:PROD}", (MAP, MAP)),
    Case("Eltwise", "eltwise_param{operation:MAX}", (MAP, MAP, MAP)),
    Case("Eltwise", "eltwise_param{coeff:1 coeff:-2 coeff:0.5}", (MAP, MAP, MAP)),
    Case("Embed", "embed_param{num_output:4 input_dim:5}", (_whole(5, 2, 3),)),
    Case("EuclideanLoss", "", (MAP, MAP)),
    Case("Exp", "exp_param{base:2 scale:0.5 shift:1}"),
    Case("Exp"),
    Case("Filter", "", (MAP, (2, 4), np.array([0, 1], np.float32)), 2),
    Case("Flatten", "flatten_param{axis:1 end_axis:2}"),
    Case("HingeLoss", "", ((4, 3), _whole(3, 4))),
    Case("Im2col", _convolution("kernel_size:3 stride:2 pad:1 dilation:2"), ((2, 3, 9, 8),)),
    Case("Im2col", _convolution("axis:2 kernel_h:3 kernel_w:2"), ((2, 4, 3, 6, 5),)),
    Case("InfogainLoss", "", (_positive(4, 3), _whole(3, 4), _positive(1, 1, 3, 3))),
    Case(
        "InfogainLoss",
        f"infogain_loss_param{{axis:1}} {_IGNORING}}}",
        (_SCORES, _whole(3, 2, 4, 5), _positive(1, 1, 3, 3)),
        2,
    ),
    Case("InnerProduct", "inner_product_param{num_output:4 axis:2}"),
    Case("InnerProduct", "inner_product_param{num_output:4 transpose:true bias_term:false}"),
    Case("Interp", "interp_param{height:9 width:11}"),
    Case("Interp", "interp_param{shrink_factor:2}"),
    Case("Interp", "interp_param{zoom_factor:3 pad_beg:-1 pad_end:-2}"),
    Case("Interp", "interp_param{height:3 width:1}"),
    Case("LRN", "lrn_param{local_size:5 alpha:0.5 k:2}"),
    Case("LRN", "lrn_param{local_size:3 alpha:0.5 norm_region:WITHIN_CHANNEL}"),
    Case("LSTM", _recurrent(), ((4, 3, 5), CONT)),
    Case("LSTM", _recurrent(), ((4, 3, 5, 2), CONT, (3, 7))),
    Case("LSTM", _recurrent("expose_hidden:true"), ((4, 3, 5), CONT, (1, 3, 2), (1, 3, 2)), 3),
    Case("LSTMUnit", "", ((1, 3, 2), (1, 3, 8), CONT[:1]), 2),
    Case("Log", "log_param{base:10 scale:0.1 shift:7}"),
    Case("MVN"),
    Case("MVN", "mvn_param{across_channels:true normalize_variance:false}"),
    Case("MultinomialLogisticLoss", "", (_positive(4, 3), _whole(3, 4))),
    Case("Normalization"),
    Case("Normalization", "", (np.array([[0, 0], [3, 4], [-1, 2]], np.float32),)),
    Case("PReLU"),
    Case("PReLU", "prelu_param{channel_shared:true}", ((2, 3),)),
    Case("Parameter", "parameter_param{shape{dim:2 dim:3}}", ()),
    *(
        Case("Pooling", f"pooling_param{{pool:{method} {window}}}", ((2, 3, 8, 6),))
        for window in _POOLS
        for method in ("MAX", "AVE")
    ),
    Case("Pooling", "pooling_param{kernel_size:3 stride:2 pad:1}", ((2, 3, 8, 6),), 2),
    Case(
        "Pooling", "pooling_param{pool:STOCHASTIC kernel_size:3 stride:2}", (_positive(2, 3, 8, 6),)
    ),
    Case("Power", "power_param{power:2 scale:0.5 shift:1}"),
    Case("Power", "power_param{scale:0 shift:3}"),
    Case("RNN", _recurrent(), ((4, 3, 5), CONT)),
    Case("RNN", _recurrent("expose_hidden:true"), ((4, 3, 5), CONT, (3, 7), (1, 3, 2)), 2),
    Case("ReLU"),
    Case("ReLU", "relu_param{negative_slope:0.1}"),
    *(
        Case("Reduction", f"reduction_param{{operation:{name} axis:2 coeff:0.5}}")
        for name in ("SUM", "ASUM", "SUMSQ", "MEAN")
    ),
    Case("Reduction"),
    Case("Reshape", "reshape_param{shape{dim:0 dim:-1 dim:5}}"),
    Case("Reshape", "reshape_param{shape{dim:3 dim:7} axis:1 num_axes:2}"),
    Case("SPP", "spp_param{pyramid_height:3}", ((2, 3, 9, 8),)),
    Case("SPP", "spp_param{pyramid_height:2 pool:AVE}"),
    Case("Scale", "scale_param{bias_term:true}"),
    Case("Scale", "scale_param{axis:0}", (MAP, (2, 3))),
    Case("Sigmoid"),
    Case("SigmoidCrossEntropyLoss", "", (_TWO[0], _positive(2, 3))),
    Case("SigmoidCrossEntropyLoss", f"{_IGNORING} normalize:true}}", ((4, 3), _whole(3, 4, 3))),
    Case("Slice", "slice_param{axis:2 slice_point:2 slice_point:3}", tops=3),
    Case("Slice", "", ((5, 6),), 2),
    Case("Softmax"),
    Case("Softmax", "softmax_param{axis:-2}"),
    Case("SoftmaxWithLoss", "", ((4, 3), _whole(3, 4))),
    Case(
        "SoftmaxWithLoss",
        f"softmax_param{{axis:2}} {_IGNORING} normalization:BATCH_SIZE}}",
        ((2, 4, 3, 5), _whole(3, 2, 4, 5)),
        2,
    ),
    Case(
        "SoftmaxWithLoss",
        f"{_IGNORING} weight_by_label_freqs:true {'class_weighting:2 ' * 2} class_weighting:5}}",
        (_SCORES, _whole(3, 2, 1, 4, 5)),
    ),
    Case("SpatialProduct", "", (MAP, (2, 1, 7, 5))),
    Case("Split", tops=2),
    Case("Swish", "swish_param{beta:1.5}"),
    Case("TanH"),
    Case("Threshold", "threshold_param{threshold:0.3}"),
    Case("Tile", "tile_param{axis:2 tiles:3}"),
    Case("WsdRoigen", "", (BOXES,)),
    Case("WsdRoigenSingleScale", "roi_pooling_param{single_scale:7 origin_scale:13}", (BOXES,)),
]
# Those whose native operators TorchScript has not.
ONNX_ALONE = [
    Case("DummyData", "dummy_data_param{shape{dim:2 dim:3} data_filler{value:2}}", ()),
    Case("FeatureL2Loss", "", ((5, 3, 2), (5, 3, 2), ROIS)),
    Case("PredictionL2Loss", "", _TWO),
    Case("ROIPooling", f"roi_pooling_param{{{_ROI}}}", (MAP, ROIS[:, :5].copy())),
    Case("ROIPooling", f"roi_pooling_param{{{_ROI} score_scale:10 score_bias:1}}", (MAP, ROIS)),
    Case(
        "ROISpatialPyramidPooling",
        "roi_spatial_pyramid_pooling_param{bins:1 bins:3 spatial_scale:0.25 score_scale:2}",
        (MAP, ROIS),
    ),
    Case("ScoreWeightedConcat", "", ((5, 4, 2), (5, 3), ROIS)),
]
# Layers that read or write data, that run Python code, whose numbers no operators compute.
NEVER = [
    "AdaptiveBiasChannel",
    "Data",
    "HDF5Data",
    "HDF5Output",
    "HumanAttData",
    "ImageData",
    "ImageSegData",
    "MatRead",
    "MatWrite",
    "MemoryData",
    "Python",
    "SegAccuracy",
    "UniqueLabel",
    "WindowData",
]

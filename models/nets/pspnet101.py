"""PSPNet-101: a dilated ResNet-101 and a pyramid of pooled contexts, for segmentation.

Zhao et al., Pyramid scene parsing network, CVPR 2017.
"""

from functools import partial

import caffe
from caffe import layers as L
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts

PATH = "cityscapes/pspnet101"
CLASSES = 19
SIDE = 713  # 8 * 89 + 1: corners stay corners from the image to the maps and back
LEVELS = (1, 2, 3, 6)  # cells per side of the pyramid's maps
NEW = 10  # times as fast as what starts from ImageNet
MSRA = {"type": "msra"}
# stage -> (blocks, channels inside a block, stride of the first block, dilation of the 3x3)
STAGES = {2: (3, 64, 1, 1), 3: (4, 128, 2, 1), 4: (23, 256, 1, 2), 5: (3, 512, 1, 4)}


def convolve(
    n: caffe.NetSpec, name: str, bottom: Top, outputs: int, factor: float = 1, **shape: int
) -> Top:
    """A convolution without bias, <name>, and its <name>/bn."""
    options = {"bias_term": False, "param": parts.rates(factor, bias=False)} | shape
    top = parts.learn(n, name, "Convolution", bottom, outputs, MSRA, **options)
    learned, kept = {"lr_mult": factor, "decay_mult": 0}, {"lr_mult": 0, "decay_mult": 0}
    start = {"slope_filler": parts.constant(1), "bias_filler": parts.constant(0), "momentum": 0.95}
    return parts.add(n, f"{name}/bn", "BN", top, param=[learned] * 2 + [kept] * 2, **start)


def convolve_relu(
    n: caffe.NetSpec, name: str, bottom: Top, outputs: int, factor: float = 1, **shape: int
) -> Top:
    top = convolve(n, name, bottom, outputs, factor, **shape)
    return parts.relu(n, f"{name}/relu", top)


def bottleneck(
    n: caffe.NetSpec, block: str, bottom: Top, inside: int, stride: int, dilation: int
) -> Top:
    """relu(shortcut + 1x1, dilated 3x3, 1x1); a stage's first shortcut is learned."""
    strided = {"kernel_size": 1} | ({"stride": stride} if stride > 1 else {})
    wide = {"kernel_size": 3, "pad": dilation} | ({"dilation": dilation} if dilation > 1 else {})
    shortcut = bottom
    if block.endswith("_1"):
        shortcut = convolve(n, f"{block}_1x1_proj", bottom, 4 * inside, **strided)
    top = convolve_relu(n, f"{block}_1x1_reduce", bottom, inside, **strided)
    top = convolve_relu(n, f"{block}_3x3", top, inside, **wide)
    top = convolve(n, f"{block}_1x1_increase", top, 4 * inside, kernel_size=1)
    top = parts.add(n, block, "Eltwise", shortcut, top, operation="SUM")
    return parts.relu(n, f"{block}/relu", top)


def body(n: caffe.NetSpec) -> Top:
    """conv5_3 (N, 2048, side, side) from n.data, one pixel of it for eight; conv4_23 stays in n."""
    same = {"kernel_size": 3, "pad": 1}
    top = convolve_relu(n, "conv1_1_3x3_s2", n.data, 64, stride=2, **same)
    top = convolve_relu(n, "conv1_2_3x3", top, 64, **same)
    top = convolve_relu(n, "conv1_3_3x3", top, 128, **same)
    top = parts.max_pool(n, "pool1_3x3_s2", top, 3, 2, pad=1)
    for stage, (blocks, inside, stride, dilation) in STAGES.items():
        for i in range(1, blocks + 1):
            first = stride if i == 1 else 1
            top = bottleneck(n, f"conv{stage}_{i}", top, inside, first, dilation)
    return top


def pyramid(n: caffe.NetSpec, bottom: Top, side: int) -> Top:
    """bottom, and behind it the means of its cells, enlarged to its size again."""
    tops = [bottom]
    for level in sorted(LEVELS, reverse=True):
        name, cell = f"conv5_3_pool{level}", side // level
        top = parts.average_pool(n, name, bottom, cell, cell)
        top = convolve_relu(n, f"{name}_conv", top, 512, NEW, kernel_size=1)
        tops.append(parts.add(n, f"{name}_interp", "Interp", top, height=side, width=side))
    return parts.add(n, "conv5_3_concat", "Concat", *tops)


def classify(n: caffe.NetSpec, name: str, bottom: Top) -> Top:
    """Scores of each class, eight times as fine."""
    new = {"kernel_size": 1, "param": parts.rates(NEW)}
    top = parts.learn(n, name, "Convolution", bottom, CLASSES, MSRA, **new)
    return parts.add(n, f"{name}_interp", "Interp", top, zoom_factor=8)


def scores(n: caffe.NetSpec, side: int) -> Top:
    """(N, classes, side, side) from n.data (N, 3, side, side)."""
    top = pyramid(n, body(n), (side - 1) // 8 + 1)
    top = convolve_relu(n, "conv5_4", top, 512, NEW, kernel_size=3, pad=1)
    top = parts.dropout(n, "conv5_4_dropout", top, 0.1)
    return classify(n, "conv6", top)


def auxiliary(n: caffe.NetSpec) -> None:
    """A second loss before the last stage, which only training needs."""
    top = convolve_relu(n, "conv_aux", n.conv4_23, 256, NEW, kernel_size=3, pad=1)
    top = parts.dropout(n, "conv_aux_dropout", top, 0.1)
    parts.score_pixels(n, classify(n, "conv6_aux", top), "loss_aux", loss_weight=0.4)


def learning(n: caffe.NetSpec, side: int) -> None:
    top = scores(n, side)
    parts.score_pixels(n, top)
    unlabelled = {"ignore_label": parts.IGNORED}
    n.accuracy = L.Accuracy(top, n.label, include=parts.TEST, **unlabelled)
    auxiliary(n)


def train_val(side: int = SIDE) -> caffe_pb2.NetParameter:
    """The net for images of side x side pixels; (side - 1) / 8 + 1 must be a multiple of 6."""
    crop = {"crop_size": side, "mean_value": parts.IMAGENET_MEAN}
    scales = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
    train = parts.segmented(
        "data/cityscapes", "train", 16, mirror=True, scale_factors=scales, **crop
    )
    val = parts.segmented("data/cityscapes", "val", 1, **crop)
    return parts.train_val("PSPNet-101", partial(learning, side=side), "ImageSegData", train, val)


def deploy() -> caffe_pb2.NetParameter:
    return parts.deploy("PSPNet-101", lambda n: scores(n, SIDE), (1, 3, SIDE, SIDE))


def solver() -> caffe_pb2.SolverParameter:
    return parts.solver(
        PATH,
        base_lr=0.01,
        lr_policy="poly",
        power=0.9,
        weight_decay=1e-4,
        max_iter=90_000,
        test_iter=[500],
        test_interval=5000,
        test_initialization=False,
        average_loss=20,
        display=20,
        snapshot=5000,
    )


PSPNET101 = parts.Net(
    PATH,
    "PSPNet-101 on Cityscapes",
    {"train_val": train_val, "deploy": deploy, "solver": solver},
)

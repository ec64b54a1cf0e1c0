"""ResNet-18: residual learning with two 3x3 convolutions in a block.

He et al., Deep residual learning for image recognition, CVPR 2016. Shortcuts are learned where
the number of channels changes (option B), and there only.
"""

import caffe
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts, residual

PATH = "imagenet/resnet18"
IMAGES = 64
WIDTH = 64  # channels of the first maps; stage s has 2^(s-2) times as many


def block(n: caffe.NetSpec, name: str, bottom: Top, channels: int, stride: int) -> Top:
    """relu(shortcut + 3x3, 3x3)."""
    shortcut = bottom
    if stride > 1:
        learned = f"{name}_branch1"
        shortcut = residual.convolve(n, learned, bottom, channels, stride, kernel_size=1)
    square = {"kernel_size": 3, "pad": 1}
    top = residual.convolve(n, f"{name}_branch2a", bottom, channels, stride, **square)
    top = parts.relu(n, f"res{name}_branch2a_relu", top)
    top = residual.convolve(n, f"{name}_branch2b", top, channels, 1, **square)
    return residual.join(n, name, shortcut, top)


def lower(n: caffe.NetSpec, data: Top, width: int = WIDTH) -> Top:
    """res4b (N, 4 width, side, side), one pixel of it for 16 of data."""
    stages = {2: (2, width, 1), 3: (2, 2 * width, 2), 4: (2, 4 * width, 2)}
    return residual.add_stages(n, residual.first(n, data, width, bias_term=False), stages, block)


def upper(n: caffe.NetSpec, res4b: Top, width: int = WIDTH) -> Top:
    """pool5 (N, 8 width, 1, 1), from what `lower` has made."""
    top = residual.add_stages(n, res4b, {5: (2, 8 * width, 2)}, block)
    return parts.average_map(n, "pool5", top)


def scores(n: caffe.NetSpec) -> Top:
    """(N, 1000) from n.data (N, 3, side, side)."""
    top = upper(n, lower(n, n.data))
    return parts.learn(n, "fc1000", "InnerProduct", top, 1000, residual.MSRA)


def solver() -> caffe_pb2.SolverParameter:
    return residual.solver(PATH, IMAGES)


RESNET18 = parts.imagenet_classifier(PATH, "ResNet-18", scores, IMAGES, solver)

"""MobileNet v1: each 3x3 convolution sees one channel, each 1x1 behind it all of them.

Howard et al., MobileNets: efficient convolutional neural networks for mobile vision applications,
2017 (arXiv 1704.04861), at full width and 224 x 224 pixels.
"""

import caffe
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts

PATH = "imagenet/mobilenet_v1"
IMAGES = 64  # side by side
MSRA = {"type": "msra"}
WIDTH = 32  # channels of conv1; every other layer has a multiple of it
PIXEL_SCALE = 0.017  # the published weights see (pixel - mean) times this
# Table 1: block -> (stride of its 3x3, channels of its 1x1 as multiples of conv1's)
LOWER = {
    "2_1": (1, 2),
    "2_2": (2, 4),
    "3_1": (1, 4),
    "3_2": (2, 8),
    "4_1": (1, 8),
    "4_2": (2, 16),
    **{f"5_{i}": (1, 16) for i in range(1, 6)},
}
UPPER = {"5_6": (2, 32), "6": (1, 32)}


def convolve(n: caffe.NetSpec, name: str, bottom: Top, outputs: int, **shape) -> Top:
    """<name>, and in place <name>/bn, <name>/scale and relu<name without conv>."""
    fields = {"bias_term": False} | shape
    top = parts.learn(n, name, "Convolution", bottom, outputs, MSRA, **fields)
    top = parts.normalise(n, top, f"{name}/bn", f"{name}/scale")
    return parts.relu(n, name.replace("conv", "relu"), top)


def add_blocks(
    n: caffe.NetSpec, top: Top, inputs: int, blocks: dict[str, tuple[int, int]], width: int
) -> Top:
    """Blocks conv<number>/dw, conv<number>/sep on a map of `inputs` channels."""
    for number, (stride, factor) in blocks.items():
        # Section 3.2: filters of so few weights get no weight decay.
        kept = {"param": [{"lr_mult": 1, "decay_mult": 0}]}
        shape = {"kernel_size": 3, "pad": 1, "group": inputs} | kept
        shape |= {"stride": stride} if stride > 1 else {}
        top = convolve(n, f"conv{number}/dw", top, inputs, **shape)
        inputs = factor * width
        top = convolve(n, f"conv{number}/sep", top, inputs, kernel_size=1)
    return top


def lower(n: caffe.NetSpec, data: Top, width: int = WIDTH) -> Top:
    """conv5_5/sep (N, 16 width, side, side), one pixel of it for 16 of data."""
    top = convolve(n, "conv1", data, width, kernel_size=3, pad=1, stride=2)
    return add_blocks(n, top, width, LOWER, width)


def upper(n: caffe.NetSpec, conv5_5: Top, width: int = WIDTH) -> Top:
    """pool6 (N, 32 width, 1, 1), from what `lower` has made."""
    return parts.average_map(n, "pool6", add_blocks(n, conv5_5, 16 * width, UPPER, width))


def scores(n: caffe.NetSpec) -> Top:
    """(N, 1000, 1, 1) from n.data (N, 3, side, side)."""
    top = upper(n, lower(n, n.data))
    return parts.learn(n, "fc7", "Convolution", top, 1000, MSRA, kernel_size=1)


def solver() -> caffe_pb2.SolverParameter:
    """Batches of 256 images, 64 at a time; the paper gives no schedule."""
    return parts.solver(
        PATH,
        base_lr=0.1,
        lr_policy="poly",
        power=1,
        weight_decay=4e-5,
        iter_size=256 // IMAGES,
        max_iter=600_000,
        test_iter=[2000],
        test_interval=5000,
        display=20,
        snapshot=5000,
    )


MOBILENET_V1 = parts.imagenet_classifier(
    PATH, "MobileNet v1", scores, IMAGES, solver, scale=PIXEL_SCALE
)

"""FCN-8s: VGG16 as a fully convolutional net for segmentation, with two skip connections.

Shelhamer et al., Fully convolutional networks for semantic segmentation, PAMI 2017.
"""

import caffe
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts

PATH = "voc2011/fcn8s"
CLASSES = 21
SIDE = 500  # the longest side of VOC's images
CONVOLUTIONS = {1: (2, 64), 2: (2, 128), 3: (3, 256), 4: (3, 512), 5: (3, 512)}
MSRA = {"type": "msra"}


def convolve(n: caffe.NetSpec, name: str, bottom: Top, outputs: int, **shape: int) -> Top:
    """conv<name> or fc<name> and its relu<name>."""
    top = parts.learn(n, name, "Convolution", bottom, outputs, MSRA, **shape)
    return parts.relu(n, name.replace("conv", "relu").replace("fc", "relu"), top)


def body(n: caffe.NetSpec) -> Top:
    """relu7 (N, 4096, h, w) from n.data; pool3 and pool4 stay in n.

    100 pixels of padding, so that fc6 finds its 7x7 pixels in images of any size.
    """
    top = n.data
    for i, (count, outputs) in CONVOLUTIONS.items():
        for j in range(1, count + 1):
            pad = 100 if (i, j) == (1, 1) else 1
            top = convolve(n, f"conv{i}_{j}", top, outputs, kernel_size=3, pad=pad)
        top = parts.max_pool(n, f"pool{i}", top, 2, 2)
    for i, kernel in ((6, 7), (7, 1)):
        top = convolve(n, f"fc{i}", top, 4096, kernel_size=kernel)
        top = parts.dropout(n, f"drop{i}", top, 0.5)
    return top


def classify(n: caffe.NetSpec, name: str, bottom: Top) -> Top:
    return parts.learn(n, name, "Convolution", bottom, CLASSES, parts.constant(0), kernel_size=1)


def enlarge(n: caffe.NetSpec, name: str, bottom: Top, factor: int) -> Top:
    """Bilinear interpolation, each class by itself, not learned.

    The authors' layers `name` hold the same kernels on the diagonal of 21x21 of them. Under another
    name theirs do not have to fit: their file loads, and ours stay as filled.
    """
    shape = {"kernel_size": 2 * factor, "stride": factor}
    return parts.add(
        *(n, name, "Deconvolution", bottom),
        name=f"{name}_bilinear",
        param={"lr_mult": 0, "decay_mult": 0},
        convolution_param=shape
        | {"num_output": CLASSES, "group": CLASSES, "bias_term": False}
        | {"weight_filler": {"type": "bilinear"}},
    )


def crop(n: caffe.NetSpec, name: str, bottom: Top, reference: Top, offset: int) -> Top:
    return parts.add(n, name, "Crop", bottom, reference, axis=2, offset=offset)


def scores(n: caffe.NetSpec) -> Top:
    """(N, 21, H, W) from n.data (N, 3, H, W).

    The crops take the padding off again: each cuts where the lower map's pixels lie in the upper.
    """
    top = enlarge(n, "upscore2", classify(n, "score_fr", body(n)), 2)
    pool4 = crop(n, "score_pool4c", classify(n, "score_pool4", n.pool4), top, 5)
    top = parts.add(n, "fuse_pool4", "Eltwise", top, pool4, operation="SUM")
    top = enlarge(n, "upscore_pool4", top, 2)
    pool3 = crop(n, "score_pool3c", classify(n, "score_pool3", n.pool3), top, 9)
    top = parts.add(n, "fuse_pool3", "Eltwise", top, pool3, operation="SUM")
    top = enlarge(n, "upscore8", top, 8)
    return crop(n, "score", top, n.data, 31)


def learning(n: caffe.NetSpec) -> None:
    """The loss is the sum over the pixels, as in the paper."""
    parts.score_pixels(n, scores(n), loss_param={"normalize": False})


def deployed(n: caffe.NetSpec) -> None:
    scores(n)


def train_val() -> caffe_pb2.NetParameter:
    crop = {"crop_size": SIDE, "mean_value": parts.IMAGENET_MEAN}
    train = parts.segmented("data/voc2011", "train", 1, mirror=True, **crop)
    val = parts.segmented("data/voc2011", "val", 1, **crop)
    return parts.train_val("FCN-8s", learning, "ImageSegData", train, val)


def deploy() -> caffe_pb2.NetParameter:
    return parts.deploy("FCN-8s", deployed, (1, 3, SIDE, SIDE))


def solver() -> caffe_pb2.SolverParameter:
    """The last of the paper's stages; it starts from FCN-16s, or VGG16 as convolutions."""
    return parts.solver(
        PATH,
        base_lr=1e-14,
        lr_policy="fixed",
        momentum=0.99,
        weight_decay=5e-4,
        max_iter=100_000,
        test_iter=[736],
        test_interval=4000,
        test_initialization=False,
        average_loss=20,
        display=20,
        snapshot=4000,
    )


FCN8S = parts.Net(
    PATH,
    "FCN-8s on PASCAL VOC 2011",
    {"train_val": train_val, "deploy": deploy, "solver": solver},
)

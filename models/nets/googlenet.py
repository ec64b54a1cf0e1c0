"""GoogLeNet: inception modules and two auxiliary losses.

Szegedy et al., Going deeper with convolutions, CVPR 2015.
"""

import caffe
from caffe import layers as L
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts

PATH = "imagenet/googlenet"
SIDE = 224
XAVIER = {"type": "xavier"}
# Table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOLED = {"3b": "pool3/3x3_s2", "4e": "pool4/3x3_s2"}
AUXILIARY = {"4a": "loss1", "4d": "loss2"}


def convolve(
    n: caffe.NetSpec, name: str, bottom: Top, outputs: int, kernel: int = 1, stride: int = 1
) -> Top:
    """The layer <group>/<name> and its <group>/relu_<name>, of the same size at stride 1."""
    shape = {"kernel_size": kernel}
    shape |= {"stride": stride} if stride > 1 else {}
    shape |= {"pad": kernel // 2} if kernel > 1 else {}
    options = shape | {"bias_filler": parts.constant(0.2)}
    top = parts.learn(n, name, "Convolution", bottom, outputs, XAVIER, **options)
    return parts.relu(n, "/relu_".join(name.split("/")), top)


def normalise(n: caffe.NetSpec, name: str, bottom: Top) -> Top:
    return parts.add(n, name, "LRN", bottom, local_size=5, alpha=1e-4, beta=0.75)


def stem(n: caffe.NetSpec) -> Top:
    """(N, 192, 28, 28) from n.data (N, 3, 224, 224)."""
    top = convolve(n, "conv1/7x7_s2", n.data, 64, kernel=7, stride=2)
    top = parts.max_pool(n, "pool1/3x3_s2", top, 3, 2)
    top = normalise(n, "pool1/norm1", top)
    top = convolve(n, "conv2/3x3_reduce", top, 64)
    top = convolve(n, "conv2/3x3", top, 192, kernel=3)
    top = normalise(n, "conv2/norm2", top)
    return parts.max_pool(n, "pool2/3x3_s2", top, 3, 2)


def inception(n: caffe.NetSpec, module: str, bottom: Top) -> Top:
    """Four branches side by side, joined as channels."""
    one, reduce3, three, reduce5, five, pooled = MODULES[module]
    group = f"inception_{module}"
    branches = [convolve(n, f"{group}/1x1", bottom, one)]
    for kernel, reduced, outputs in ((3, reduce3, three), (5, reduce5, five)):
        top = convolve(n, f"{group}/{kernel}x{kernel}_reduce", bottom, reduced)
        branches.append(convolve(n, f"{group}/{kernel}x{kernel}", top, outputs, kernel))
    top = parts.max_pool(n, f"{group}/pool", bottom, 3, 1, pad=1)
    branches.append(convolve(n, f"{group}/pool_proj", top, pooled))
    return parts.add(n, f"{group}/output", "Concat", *branches)


def auxiliary(n: caffe.NetSpec, group: str, bottom: Top) -> None:
    """A small classifier half way up, whose loss counts 0.3 and which only training needs."""
    top = parts.average_pool(n, f"{group}/ave_pool", bottom, 5, 3)
    top = convolve(n, f"{group}/conv", top, 128)
    bias = parts.constant(0.2)
    top = parts.learn(n, f"{group}/fc", "InnerProduct", top, 1024, XAVIER, bias_filler=bias)
    top = parts.relu(n, f"{group}/relu_fc", top)
    top = parts.dropout(n, f"{group}/drop_fc", top, 0.7)
    top = parts.learn(n, f"{group}/classifier", "InnerProduct", top, 1000, XAVIER)
    score(n, group, top, 0.3)


def score(n: caffe.NetSpec, group: str, scores: Top, weight: float = 1) -> None:
    accuracies = {f"{group}/top-{k}": k for k in (1, 5)}
    parts.score_classes(n, scores, f"{group}/{group}", weight, **accuracies)


def scores(n: caffe.NetSpec, with_auxiliary: bool) -> Top:
    """(N, 1000) from n.data (N, 3, 224, 224)."""
    top = stem(n)
    for module in MODULES:
        top = inception(n, module, top)
        if with_auxiliary and module in AUXILIARY:
            auxiliary(n, AUXILIARY[module], top)
        if module in POOLED:
            top = parts.max_pool(n, POOLED[module], top, 3, 2)
    top = parts.average_pool(n, "pool5/7x7_s1", top, 7, 1)
    top = parts.dropout(n, "pool5/drop_7x7_s1", top, 0.4)
    return parts.learn(n, "loss3/classifier", "InnerProduct", top, 1000, XAVIER)


def learning(n: caffe.NetSpec) -> None:
    score(n, "loss3", scores(n, with_auxiliary=True))


def deployed(n: caffe.NetSpec) -> None:
    n.prob = L.Softmax(scores(n, with_auxiliary=False))


def train_val() -> caffe_pb2.NetParameter:
    return parts.imagenet("GoogLeNet", learning, (32, 50), SIDE)


def deploy() -> caffe_pb2.NetParameter:
    return parts.deploy("GoogLeNet", deployed, (10, 3, SIDE, SIDE))


def solver() -> caffe_pb2.SolverParameter:
    """The rate falls by 4 % every 8 epochs."""
    epoch = parts.IMAGENET_IMAGES // 32
    return parts.solver(
        PATH,
        base_lr=0.01,
        lr_policy="step",
        gamma=0.96,
        stepsize=8 * epoch,
        weight_decay=2e-4,
        max_iter=250 * epoch,
        test_iter=[1000],
        test_interval=epoch,
        display=40,
        snapshot=epoch,
    )


GOOGLENET = parts.Net(
    PATH,
    "GoogLeNet on ImageNet",
    {"train_val": train_val, "deploy": deploy, "solver": solver},
)

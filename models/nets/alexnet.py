"""AlexNet and CaffeNet: the first deep nets on ImageNet.

Krizhevsky et al., ImageNet classification with deep convolutional neural networks, NIPS 2012.
CaffeNet (Jia et al., Caffe, 2014) pools before it normalises, which costs less, and has larger
batches.
"""

from collections.abc import Callable
from functools import partial

from google.protobuf.message import Message

import caffe
from caffe import layers as L
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts

SIDE = 227


def scores(n: caffe.NetSpec, pool_first: bool) -> Top:
    """(N, 1000) from n.data (N, 3, 227, 227)."""
    top = convolve(n, 1, n.data, 96, kernel_size=11, stride=4)
    top = thin_out(n, 1, top, pool_first)
    top = convolve(n, 2, top, 256, 1, kernel_size=5, pad=2, group=2)
    top = thin_out(n, 2, top, pool_first)
    top = convolve(n, 3, top, 384, kernel_size=3, pad=1)
    top = convolve(n, 4, top, 384, 1, kernel_size=3, pad=1, group=2)
    top = convolve(n, 5, top, 256, 1, kernel_size=3, pad=1, group=2)
    top = parts.max_pool(n, "pool5", top, 3, 2)
    for i in (6, 7):
        bias = parts.constant(1)
        filler = parts.gaussian(0.005)
        top = parts.learn(n, f"fc{i}", "InnerProduct", top, 4096, filler, bias_filler=bias)
        top = parts.relu(n, f"relu{i}", top)
        top = parts.dropout(n, f"drop{i}", top, 0.5)
    return parts.learn(n, "fc8", "InnerProduct", top, 1000, parts.gaussian(0.01))


def convolve(
    n: caffe.NetSpec, i: int, bottom: Top, outputs: int, bias: float = 0, **shape: int
) -> Top:
    filler = parts.constant(bias)
    options = shape | {"bias_filler": filler}
    top = parts.learn(
        n, f"conv{i}", "Convolution", bottom, outputs, parts.gaussian(0.01), **options
    )
    return parts.relu(n, f"relu{i}", top)


def thin_out(n: caffe.NetSpec, i: int, top: Top, pool_first: bool) -> Top:
    """Pooling and normalisation across channels, one or the other first."""
    if pool_first:
        top = parts.max_pool(n, f"pool{i}", top, 3, 2)
    top = parts.add(n, f"norm{i}", "LRN", top, local_size=5, alpha=1e-4, beta=0.75)
    return top if pool_first else parts.max_pool(n, f"pool{i}", top, 3, 2)


def learning(n: caffe.NetSpec, pool_first: bool) -> None:
    parts.score_classes(n, scores(n, pool_first), accuracy=1, accuracy_top5=5)


def deployed(n: caffe.NetSpec, pool_first: bool) -> None:
    n.prob = L.Softmax(scores(n, pool_first))


def files(path: str, name: str, pool_first: bool, batch: int) -> dict[str, Callable[[], Message]]:
    add, head = partial(learning, pool_first=pool_first), partial(deployed, pool_first=pool_first)
    return {
        "train_val": lambda: parts.imagenet(name, add, (batch, 50), SIDE),
        "deploy": lambda: parts.deploy(name, head, (10, 3, SIDE, SIDE)),
        "solver": lambda: solver(path, batch),
    }


def solver(path: str, batch: int) -> caffe_pb2.SolverParameter:
    """90 epochs, in which the rate falls three times."""
    epoch = parts.IMAGENET_IMAGES // batch
    return parts.solver(
        path,
        base_lr=0.01,
        lr_policy="step",
        gamma=0.1,
        stepsize=90 * epoch // 4,
        weight_decay=5e-4,
        max_iter=90 * epoch,
        test_iter=[1000],
        test_interval=epoch,
        display=20,
        snapshot=epoch,
    )


ALEXNET = parts.Net(
    "imagenet/alexnet",
    "AlexNet on ImageNet",
    files("imagenet/alexnet", "AlexNet", pool_first=False, batch=128),
)
CAFFENET = parts.Net(
    "imagenet/caffenet",
    "CaffeNet on ImageNet",
    files("imagenet/caffenet", "CaffeNet", pool_first=True, batch=256),
)

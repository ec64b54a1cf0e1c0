"""LeNet: handwritten digits.

LeCun et al., Gradient-based learning applied to document recognition, 1998; with rectified linear
units and a softmax, as Caffe's users know it.
"""

import caffe
from caffe import layers as L
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts

PATH = "mnist/lenet"
XAVIER = {"type": "xavier"}
SCALE = 1 / 256  # grey levels of 0..255 to 0..1


def scores(n: caffe.NetSpec) -> Top:
    """(N, 10) from n.data (N, 1, 28, 28)."""
    top = parts.learn(n, "conv1", "Convolution", n.data, 20, XAVIER, kernel_size=5)
    top = parts.max_pool(n, "pool1", top, 2, 2)
    top = parts.learn(n, "conv2", "Convolution", top, 50, XAVIER, kernel_size=5)
    top = parts.max_pool(n, "pool2", top, 2, 2)
    top = parts.learn(n, "ip1", "InnerProduct", top, 500, XAVIER)
    top = parts.relu(n, "relu1", top)
    return parts.learn(n, "ip2", "InnerProduct", top, 10, XAVIER)


def learning(n: caffe.NetSpec) -> None:
    parts.score_classes(n, scores(n), accuracy=1)


def deployed(n: caffe.NetSpec) -> None:
    n.prob = L.Softmax(scores(n))


def train_val() -> caffe_pb2.NetParameter:
    train = parts.database("data/mnist/train_lmdb", 64, scale=SCALE)
    test = parts.database("data/mnist/test_lmdb", 100, scale=SCALE)
    return parts.train_val("LeNet", learning, "Data", train, test)


def deploy() -> caffe_pb2.NetParameter:
    return parts.deploy("LeNet", deployed, (64, 1, 28, 28))


def solver() -> caffe_pb2.SolverParameter:
    return parts.solver(
        PATH,
        base_lr=0.01,
        lr_policy="inv",
        gamma=1e-4,
        power=0.75,
        weight_decay=5e-4,
        max_iter=10_000,
        test_iter=[100],
        test_interval=500,
        display=100,
        snapshot=5000,
    )


LENET = parts.Net(
    PATH,
    "LeNet on MNIST",
    {"train_val": train_val, "deploy": deploy, "solver": solver},
)

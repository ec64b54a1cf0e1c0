"""CIFAR-10 quick: small colour images of ten things, learned in minutes.

Krizhevsky, cuda-convnet, 2011 ("layers-18pct" without its local response normalisation).
"""

import caffe
from caffe import layers as L
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts

PATH = "cifar10/quick"


def scores(n: caffe.NetSpec) -> Top:
    """(N, 10) from n.data (N, 3, 32, 32)."""
    same = {"kernel_size": 5, "pad": 2}
    top = parts.learn(n, "conv1", "Convolution", n.data, 32, parts.gaussian(1e-4), **same)
    top = parts.max_pool(n, "pool1", top, 3, 2)
    top = parts.relu(n, "relu1", top)
    for i, outputs in ((2, 32), (3, 64)):
        filler = parts.gaussian(0.01)
        top = parts.learn(n, f"conv{i}", "Convolution", top, outputs, filler, **same)
        top = parts.relu(n, f"relu{i}", top)
        top = parts.average_pool(n, f"pool{i}", top, 3, 2)
    top = parts.learn(n, "ip1", "InnerProduct", top, 64, parts.gaussian(0.1))
    return parts.learn(n, "ip2", "InnerProduct", top, 10, parts.gaussian(0.1))


def learning(n: caffe.NetSpec) -> None:
    parts.score_classes(n, scores(n), accuracy=1)


def deployed(n: caffe.NetSpec) -> None:
    n.prob = L.Softmax(scores(n))


def train_val() -> caffe_pb2.NetParameter:
    mean = {"mean_file": "data/cifar10/mean.binaryproto"}
    train = parts.database("data/cifar10/train_lmdb", 100, **mean)
    test = parts.database("data/cifar10/test_lmdb", 100, **mean)
    return parts.train_val("CIFAR10_quick", learning, "Data", train, test)


def deploy() -> caffe_pb2.NetParameter:
    return parts.deploy("CIFAR10_quick", deployed, (1, 3, 32, 32))


def solver() -> caffe_pb2.SolverParameter:
    return parts.solver(
        PATH,
        base_lr=0.001,
        lr_policy="multistep",
        stepvalue=[4000],
        gamma=0.1,
        weight_decay=0.004,
        max_iter=5000,
        test_iter=[100],
        test_interval=500,
        display=100,
        snapshot=4000,
    )


CIFAR10_QUICK = parts.Net(
    PATH,
    "the quick net on CIFAR-10",
    {"train_val": train_val, "deploy": deploy, "solver": solver},
)

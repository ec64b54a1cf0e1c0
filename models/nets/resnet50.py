"""ResNet-50: residual learning with bottlenecks.

He et al., Deep residual learning for image recognition, CVPR 2016; the stride of a stage is in its
first 1x1 convolutions, as in the authors' nets.
"""

import caffe
from caffe import layers as L
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts

PATH = "imagenet/resnet50"
SIDE = 224
MSRA = {"type": "msra"}
# Table 1: stage -> (blocks, channels inside a block, stride of the first block)
STAGES = {2: (3, 64, 1), 3: (4, 128, 2), 4: (6, 256, 2), 5: (3, 512, 2)}


def convolve(n: caffe.NetSpec, prefix: str, name: str, bottom: Top, outputs: int, **shape) -> Top:
    """<prefix><name> and, in place, bn<name> and scale<name>."""
    top = parts.learn(n, prefix + name, "Convolution", bottom, outputs, MSRA, **shape)
    top = parts.add(n, f"bn{name}", "BatchNorm", top, in_place=True)
    return parts.add(n, f"scale{name}", "Scale", top, in_place=True, bias_term=True)


def bottleneck(n: caffe.NetSpec, block: str, bottom: Top, inside: int, stride: int) -> Top:
    """relu(shortcut + 1x1, 3x3, 1x1); in the first block of a stage the shortcut is learned."""
    plain = {"bias_term": False}
    strided = plain | ({"stride": stride} if stride > 1 else {})
    shortcut = bottom
    if block.endswith("a"):
        name = f"{block}_branch1"
        shortcut = convolve(n, "res", name, bottom, 4 * inside, kernel_size=1, **strided)
    top = convolve(n, "res", f"{block}_branch2a", bottom, inside, kernel_size=1, **strided)
    top = parts.relu(n, f"res{block}_branch2a_relu", top)
    top = convolve(n, "res", f"{block}_branch2b", top, inside, kernel_size=3, pad=1, **plain)
    top = parts.relu(n, f"res{block}_branch2b_relu", top)
    top = convolve(n, "res", f"{block}_branch2c", top, 4 * inside, kernel_size=1, **plain)
    top = parts.add(n, f"res{block}", "Eltwise", shortcut, top)
    return parts.relu(n, f"res{block}_relu", top)


def scores(n: caffe.NetSpec) -> Top:
    """(N, 1000) from n.data (N, 3, 224, 224)."""
    # The authors' file has a bias here and in no other convolution.
    top = parts.learn(n, "conv1", "Convolution", n.data, 64, MSRA, kernel_size=7, stride=2, pad=3)
    top = parts.add(n, "bn_conv1", "BatchNorm", top, in_place=True)
    top = parts.add(n, "scale_conv1", "Scale", top, in_place=True, bias_term=True)
    top = parts.relu(n, "conv1_relu", top)
    top = parts.max_pool(n, "pool1", top, 3, 2)
    for stage, (blocks, inside, stride) in STAGES.items():
        for i in range(blocks):
            block = f"{stage}{'abcdef'[i]}"
            top = bottleneck(n, block, top, inside, stride if i == 0 else 1)
    top = parts.average_pool(n, "pool5", top, 7, 1)
    return parts.learn(n, "fc1000", "InnerProduct", top, 1000, MSRA)


def learning(n: caffe.NetSpec) -> None:
    parts.score_classes(n, scores(n), **{"accuracy/top-1": 1, "accuracy/top-5": 5})


def deployed(n: caffe.NetSpec) -> None:
    n.prob = L.Softmax(scores(n))


def train_val() -> caffe_pb2.NetParameter:
    return parts.imagenet("ResNet-50", learning, (32, 25), SIDE)


def deploy() -> caffe_pb2.NetParameter:
    return parts.deploy("ResNet-50", deployed, (1, 3, SIDE, SIDE))


def solver() -> caffe_pb2.SolverParameter:
    """Batches of 256 images, 8 at a time 32; their statistics are those of 32."""
    return parts.solver(
        PATH,
        base_lr=0.1,
        lr_policy="multistep",
        stepvalue=[300_000, 450_000],
        gamma=0.1,
        weight_decay=1e-4,
        iter_size=8,
        max_iter=600_000,
        test_iter=[2000],
        test_interval=5000,
        display=20,
        snapshot=5000,
    )


RESNET50 = parts.Net(
    PATH,
    "ResNet-50 on ImageNet",
    {"train_val": train_val, "deploy": deploy, "solver": solver},
)

"""What the nets of He et al. 2016 have in common: names, first layers, stages, schedule.

The stride of a stage is in its first convolutions, as in the authors' nets.
"""

from collections.abc import Callable, Mapping

import caffe
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts

MSRA = {"type": "msra"}

# (net, block, bottom, channels inside it, stride) -> the block's map
Block = Callable[[caffe.NetSpec, str, Top, int, int], Top]
# Table 1: stage -> (blocks, channels inside a block, stride of the first block)
Stages = Mapping[int, tuple[int, int, int]]


def first(n: caffe.NetSpec, data: Top, outputs: int, **fields) -> Top:
    """conv1 and pool1, one pixel of it for four."""
    shape = {"kernel_size": 7, "stride": 2, "pad": 3} | fields
    top = parts.learn(n, "conv1", "Convolution", data, outputs, MSRA, **shape)
    top = parts.normalise(n, top, "bn_conv1", "scale_conv1")
    return parts.max_pool(n, "pool1", parts.relu(n, "conv1_relu", top), 3, 2)


def convolve(n: caffe.NetSpec, name: str, bottom: Top, outputs: int, stride: int, **shape) -> Top:
    """res<name> and, in place, bn<name> and scale<name>."""
    fields = {"bias_term": False} | shape | ({"stride": stride} if stride > 1 else {})
    top = parts.learn(n, f"res{name}", "Convolution", bottom, outputs, MSRA, **fields)
    return parts.normalise(n, top, f"bn{name}", f"scale{name}")


def join(n: caffe.NetSpec, block: str, shortcut: Top, top: Top) -> Top:
    """relu(shortcut + what the block has learned)."""
    return parts.relu(n, f"res{block}_relu", parts.add(n, f"res{block}", "Eltwise", shortcut, top))


def add_stages(n: caffe.NetSpec, top: Top, stages: Stages, block: Block) -> Top:
    """The blocks 2a, 2b, ... of these stages; only the first of a stage strides."""
    for stage, (blocks, inside, stride) in stages.items():
        for i in range(blocks):
            top = block(n, f"{stage}{'abcdef'[i]}", top, inside, stride if i == 0 else 1)
    return top


def solver(path: str, images: int) -> caffe_pb2.SolverParameter:
    """Batches of 256 images, `images` at a time; their statistics are those of so many."""
    return parts.solver(
        path,
        base_lr=0.1,
        lr_policy="multistep",
        stepvalue=[300_000, 450_000],
        gamma=0.1,
        weight_decay=1e-4,
        iter_size=256 // images,
        max_iter=600_000,
        test_iter=[2000],
        test_interval=5000,
        display=20,
        snapshot=5000,
    )

"""ResNet-50: residual learning with bottlenecks.

He et al., Deep residual learning for image recognition, CVPR 2016.
"""

import caffe
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from nets import parts, residual

PATH = "imagenet/resnet50"
IMAGES = 32
STAGES = {2: (3, 64, 1), 3: (4, 128, 2), 4: (6, 256, 2), 5: (3, 512, 2)}


def bottleneck(n: caffe.NetSpec, block: str, bottom: Top, inside: int, stride: int) -> Top:
    """relu(shortcut + 1x1, 3x3, 1x1); in the first block of a stage the shortcut is learned."""
    name, shortcut = f"{block}_branch2", bottom
    if block.endswith("a"):
        learned = f"{block}_branch1"
        shortcut = residual.convolve(n, learned, bottom, 4 * inside, stride, kernel_size=1)
    top = residual.convolve(n, f"{name}a", bottom, inside, stride, kernel_size=1)
    top = parts.relu(n, f"res{name}a_relu", top)
    top = residual.convolve(n, f"{name}b", top, inside, 1, kernel_size=3, pad=1)
    top = parts.relu(n, f"res{name}b_relu", top)
    top = residual.convolve(n, f"{name}c", top, 4 * inside, 1, kernel_size=1)
    return residual.join(n, block, shortcut, top)


def scores(n: caffe.NetSpec) -> Top:
    """(N, 1000) from n.data (N, 3, 224, 224)."""
    # The authors' file has a bias in conv1 and in no other convolution.
    top = residual.add_stages(n, residual.first(n, n.data, 64), STAGES, bottleneck)
    top = parts.average_pool(n, "pool5", top, 7, 1)
    return parts.learn(n, "fc1000", "InnerProduct", top, 1000, residual.MSRA)


def solver() -> caffe_pb2.SolverParameter:
    return residual.solver(PATH, IMAGES)


RESNET50 = parts.imagenet_classifier(PATH, "ResNet-50", scores, IMAGES, solver)

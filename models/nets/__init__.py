"""Nets of well-known papers: one module for each, all of them in NETS.

Layers have the names under which their weights were published.
"""

from nets.alexnet import ALEXNET, CAFFENET
from nets.cifar10_quick import CIFAR10_QUICK
from nets.fcn8s import FCN8S
from nets.googlenet import GOOGLENET
from nets.lenet import LENET
from nets.mobilenet_v1 import MOBILENET_V1
from nets.pspnet101 import PSPNET101
from nets.resnet18 import RESNET18
from nets.resnet50 import RESNET50

NETS = (
    LENET,
    CIFAR10_QUICK,
    ALEXNET,
    CAFFENET,
    GOOGLENET,
    RESNET18,
    RESNET50,
    MOBILENET_V1,
    FCN8S,
    PSPNET101,
)

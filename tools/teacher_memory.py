"""How much memory and time a training pass of T-WDet takes, on images and boxes of noise.

    python tools/teacher_memory.py --precision bf16 --recompute

The net is models/coco/wsddn/train.prototxt; gradients count, the solver's history does not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import run_files
from errors import exit_code
from hardware import hardware, peak_memory
from options import natural

import caffe
from caffe.precision import PRECISIONS
from caffe.proto import caffe_pb2

BOXES = 500  # of an image, as the net has it


def make_net(options: argparse.Namespace) -> caffe.Net:
    """The teacher with Input layers in place of its data layer, and noise in them."""
    path = Path("models/coco/wsddn/train.prototxt")
    param = run_files.read_prototxt(path, caffe_pb2.NetParameter())
    images, side, boxes = options.batch_size, options.size, BOXES
    data = caffe_pb2.LayerParameter(name="data", type="Input", top=param.layer[0].top)
    for shape in ((images, 3, side, side), (images, 80), (images * boxes, 6), (images, boxes)):
        data.input_param.shape.add(dim=shape)
    param.layer[0].CopyFrom(data)
    net = caffe.Net(param, caffe.TRAIN)
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, side - 1, (images * boxes, 2, 2)), axis=1).reshape(-1, 4)
    index = np.repeat(np.arange(images), boxes)
    net.blobs["data"].data[...] = 50 * rng.standard_normal((images, 3, side, side))
    net.blobs["label"].data[...] = rng.integers(0, 2, (images, 80))
    net.blobs["rois"].data[...] = np.column_stack([index, corners, rng.random(images * boxes)])
    return net


def run(options: argparse.Namespace) -> None:
    """Two passes; the second one's seconds, and the peak before and after them."""
    if options.gpu is not None:
        caffe.set_mode_gpu()
        caffe.set_device(options.gpu)
    caffe.set_precision(options.precision)
    net = make_net(options)
    net.recompute = options.recompute
    before, seconds = peak_memory(), 0.0
    for _ in range(2):
        start = time.perf_counter()
        net.clear_param_diffs()
        net.forward_backward()
        seconds = time.perf_counter() - start
    caffe.set_precision("fp32")
    how = options.precision + (", recompute" if options.recompute else "")
    print(f"{how}: {seconds:.1f} s a pass, peak memory {peak_memory()}, before it {before}")
    print(hardware())


def parser() -> argparse.ArgumentParser:
    """The command line, documented by --help."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--precision", choices=PRECISIONS, default="fp32", help="(fp32)")
    made.add_argument("--recompute", action="store_true", help="see tools/train.py")
    made.add_argument("--batch-size", type=natural, default=2, help="images (2)")
    made.add_argument("--size", type=natural, default=672, help="of an image (672)")
    made.add_argument("--gpu", type=int, help="device to run on (default: the CPU)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 after one line that says what is wrong."""
    options = parser().parse_args(arguments)
    return exit_code("teacher_memory.py", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())

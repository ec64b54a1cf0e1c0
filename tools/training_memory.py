"""How much memory and time a training pass takes, on noise, next to the memory counted for it.

    python tools/training_memory.py wsddn --batch-size 2 --size 672 --precision bf16 --recompute

The net is models/<dataset>/<stage>/train.prototxt; gradients count, the solver's history does not.
Both numbers are without the program and PyTorch, whose memory is measured beforehand: the counted
one is what models/*/presets.json is made with.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import run_files
import torch
from errors import exit_code
from hardware import hardware, peak_memory
from options import natural

import caffe
from caffe import footprint
from caffe.precision import PRECISIONS
from caffe.proto import caffe_pb2
from python_layers.data_shapes import with_inputs


def make_net(options: argparse.Namespace) -> caffe.Net:
    """The stage's net with noise in place of its data."""
    path = Path("models", options.dataset, options.stage, "train.prototxt")
    param = run_files.read_prototxt(path, caffe_pb2.NetParameter())
    net = caffe.Net(with_inputs(param, options.batch_size, options.size), caffe.TRAIN)
    rng = np.random.default_rng(0)
    for name in net.inputs:
        data = net.blobs[name].data
        if name == "data":
            data[...] = 50 * rng.standard_normal(data.shape)
        elif name == "label":
            data[...] = rng.integers(0, 2, data.shape)
        elif name.startswith("rois"):
            side = net.blobs["data_student" if name == "rois_student" else "data"].shape[3]
            corners = np.sort(rng.uniform(0, side - 1, (len(data), 2, 2)), axis=1).reshape(-1, 4)
            index = np.repeat(np.arange(options.batch_size), len(data) // options.batch_size)
            data[...] = np.column_stack([index, corners, rng.random(len(data))])
    return net


def held(on_gpu: bool) -> int:
    """Bytes that the process has held at most so far; on a GPU those of PyTorch there."""
    if on_gpu:
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(options: argparse.Namespace) -> None:
    """Two passes; the second one's seconds, and the peak of both."""
    if options.gpu is not None:
        caffe.set_mode_gpu()
        caffe.set_device(options.gpu)
    caffe.set_precision(options.precision)
    program = held(options.gpu is not None)
    net = make_net(options)
    net.recompute = options.recompute
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        net.clear_param_diffs()
        net.forward_backward()
        seconds = time.perf_counter() - start
    low = options.precision in ("bf16", "fp16")
    counted = footprint.of_training(net, low=low, recompute=options.recompute).peak
    caffe.set_precision("fp32")
    measured = held(options.gpu is not None) - program
    how = options.precision + (", recompute" if options.recompute else "")
    print(f"{how}: {seconds:.1f} s a pass, peak memory {peak_memory()}")
    print(
        f"beside {program / 2**30:.2f} GiB for the program: {measured / 2**30:.2f} GiB measured, "
        f"{counted / 2**30:.2f} GiB counted, {measured / counted:.2f} times as much"
    )
    print(hardware())


def parser() -> argparse.ArgumentParser:
    """The command line, documented by --help."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("stage", nargs="?", default="wsddn", help="folder of the net (wsddn)")
    made.add_argument("--dataset", default="coco", help="(coco)")
    made.add_argument("--precision", choices=PRECISIONS, default="fp32", help="(fp32)")
    made.add_argument("--recompute", action="store_true", help="see tools/train.py")
    made.add_argument("--batch-size", type=natural, default=2, help="images (2)")
    made.add_argument("--size", type=natural, default=672, help="of an image (672)")
    made.add_argument("--gpu", type=int, help="device to run on (default: the CPU)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 after one line that says what is wrong."""
    options = parser().parse_args(arguments)
    return exit_code("training_memory.py", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())

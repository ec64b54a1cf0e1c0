"""Print the milliseconds of each layer and of whole passes, averaged over some of them."""

import argparse
import logging
import time
from collections.abc import Callable
from functools import partial

from caffe.commands import net_flags
from caffe.commands.common import Parser
from caffe.device import peak_memory
from caffe.net import Net
from caffe.proto import caffe_pb2
from caffe.timer import Timer

_log = logging.getLogger("caffe")


def add_flags(parser: Parser) -> None:
    parser.epilog = "Example: caffe time --model deploy.prototxt --iterations 10 --phase TEST"
    net_flags.add_model(parser)
    parser.add_argument("--phase", choices=["TRAIN", "TEST"], default="TRAIN", help="(TRAIN)")


def _milliseconds(work: Callable[[], object]) -> float:
    timer = Timer()
    timer.start()
    work()
    return timer.ms


class _Times:
    """Milliseconds of each layer, and of whole passes, summed over the iterations."""

    def __init__(self, net: Net) -> None:
        self._net, self._layers = net, range(len(net.layers))
        self.forward, self.backward = [0.0 for _ in self._layers], [0.0 for _ in self._layers]
        self.both = 0.0

    def warm_up(self) -> None:
        """Run once without a clock: the first pass also allocates and picks algorithms."""
        # pycaffe's _forward and _backward: the public calls would time copies to numpy arrays, too.
        self._net._forward(0, self._layers[-1])
        self._net._backward(self._layers[-1], 0)
        self._net.clear_param_diffs()

    def add(self) -> float:
        """Run once more, by layers and whole; what the whole pass took."""
        self._net._release()  # whole passes do so themselves
        for i in self._layers:
            self.forward[i] += _milliseconds(partial(self._net._forward, i, i))
        for i in reversed(self._layers):
            self.backward[i] += _milliseconds(partial(self._net._backward, i, i))
        self._net.clear_param_diffs()
        took = _milliseconds(self.warm_up)
        self.both += took
        return took


def run(args: argparse.Namespace) -> int:
    """The command; its exit code."""
    net, count = net_flags.net(args, caffe_pb2.Phase.Value(args.phase)), args.iterations
    times = _Times(net)
    times.warm_up()
    _log.info("*** Benchmark begins ***")
    _log.info("Testing for %d iterations.", count)
    start = time.perf_counter()
    for number in range(1, count + 1):
        _log.info("Iteration: %d forward-backward time: %g ms.", number, times.add())
    total = 1e3 * (time.perf_counter() - start)
    _log.info("Average time per layer: ")
    for name, forward, backward in zip(
        net._layer_names, times.forward, times.backward, strict=True
    ):
        _log.info("%10s\tforward: %g ms.", name, forward / count)
        _log.info("%10s\tbackward: %g ms.", name, backward / count)
    _log.info("Average Forward pass: %g ms.", sum(times.forward) / count)
    _log.info("Average Backward pass: %g ms.", sum(times.backward) / count)
    _log.info("Average Forward-Backward: %g ms.", times.both / count)
    _log.info("Total Time: %g ms.", total)
    _log.info("Peak memory: %s", peak_memory())
    _log.info("*** Benchmark ends ***")
    return 0

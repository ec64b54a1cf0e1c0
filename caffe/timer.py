"""caffe.Timer: how long something takes, the GPU's work included."""

import time

import torch

from caffe.device import current_device


def _now() -> float:
    """Seconds of a clock, read when the device has done all that it was given."""
    device = current_device()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Timer:
    """Measures the time from `start` to `stop`: pycaffe's `Timer`.

    Starting a running timer and stopping one at rest change nothing.
    """

    def __init__(self) -> None:
        self._started: float | None = None
        self._seconds = 0.0

    def start(self) -> None:
        """Begin to measure anew."""
        if self._started is None:
            self._started = _now()

    def stop(self) -> None:
        """End measuring."""
        if self._started is not None:
            self._seconds, self._started = _now() - self._started, None

    @property
    def ms(self) -> float:
        """Milliseconds last measured, 0 if there are none; a running timer is stopped."""
        self.stop()
        return 1e3 * self._seconds

"""What tests in several folders need."""

from collections.abc import Iterator

import pytest
import torch

import caffe
from caffe.device import current_device


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    """Where nets compute after `caffe.set_mode_gpu()`; the test begins in CPU mode."""
    if current_device().type == "cpu":
        if not torch.cuda.is_available():
            pytest.skip("needs a GPU")
        caffe.set_mode_gpu()
    device = current_device()
    caffe.set_mode_cpu()
    yield device
    caffe.set_mode_cpu()

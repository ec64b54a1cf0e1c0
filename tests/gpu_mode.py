"""A pytest plugin that runs the tests with nets computing on a GPU: `make test-gpu`."""

import pytest
import torch

import caffe


def pytest_configure() -> None:
    if not torch.cuda.is_available():
        pytest.exit("make test-gpu: PyTorch sees no GPU; make test needs none", returncode=1)


@pytest.fixture(autouse=True)
def _gpu_mode():
    caffe.set_mode_gpu()
    yield
    caffe.set_mode_cpu()

"""The benchmark's rivals of RoI pooling do the same work as ours."""

import pytest
import torch
from roi_pooling_rivals import cpp_loop, gpu_calls, ours, sample


def test_the_cpp_loop_gives_our_bits():
    inputs = sample(boxes=23, channels=5, side=11)
    for mine, theirs in zip(ours(*inputs)(), cpp_loop(*inputs)(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_says_that_there_is_no_gpu():
    assert gpu_calls(3) == "no GPU"

"""forward_all and forward_backward_all: as if the net held all items at once."""

import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

TEXT = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: %d dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" } } }
layer { name: "act" type: "TanH" bottom: "h" top: "y" }
"""


@pytest.fixture
def nets(tmp_path):
    """A net of 2 items a batch, and one of 7 with the same weights."""
    small, large = (net_from_text(tmp_path, TEXT % count) for count in (2, 7))
    large.share_with(small)
    return small, large


def test_all_items_and_no_more(nets):
    small, large = nets
    x = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    out = small.forward_all(x=x, blobs=["h"])
    want = large.forward(x=x, blobs=["h"])
    assert set(out) == {"y", "h"}
    for name, array in out.items():
        np.testing.assert_allclose(array, want[name], rtol=1e-5, atol=1e-6)


def test_gradients_of_all_items(nets):
    small, large = nets
    rng = np.random.default_rng(1)
    x, top = (rng.standard_normal((7, n)).astype(np.float32) for n in (3, 5))
    out, diffs = small.forward_backward_all(x=x, y=top, diffs=["h"])
    large.forward(x=x)
    want = large.backward(y=top, diffs=["h"])
    np.testing.assert_allclose(out["y"], large.blobs["y"].data, rtol=1e-5, atol=1e-6)
    for name in ("x", "h"):
        np.testing.assert_allclose(diffs[name], want[name], rtol=1e-5, atol=1e-6)


def test_wrong_names_and_counts(nets):
    small, _ = nets
    with pytest.raises(caffe.CaffeError, match=r"expected arrays for \['x'\], got \['z'\]"):
        small.forward_all(z=np.zeros((7, 3)))
    with pytest.raises(caffe.CaffeError, match="same number of items"):
        small.forward_backward_all(x=np.zeros((7, 3)), y=np.zeros((6, 5)))

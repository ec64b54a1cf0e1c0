"""The shared library: what is said when it is not there."""

import pytest

import caffe
from caffe.ops import native


def test_says_how_to_build_a_missing_library(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    with pytest.raises(caffe.CaffeError, match=r"libcaffe_ops\.so.*pip install -e \."):
        native._library.__wrapped__()

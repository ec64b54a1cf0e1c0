"""The rois blob's checks: limits, types, and what a GPU reports later."""

import math

import pytest
import torch

from caffe.ops import rois as rois_module
from caffe.ops.rois import checked_rois
from caffe.ops.score_weighted_concat import score_weighted_concat

CPU = torch.device("cpu")


def test_gives_the_rows_in_float32_without_gradient(device):
    rois = torch.tensor([[1, 2, 3, 4, 5, 6], [0, -1, -2, -3, -4, -5]], dtype=torch.int64)
    got = checked_rois(rois.to(device), device, images=2)
    assert got.device == device
    assert got.dtype == torch.float32
    assert got.tolist() == rois.tolist()
    strided = torch.rand(5, 4, dtype=torch.float64).t()[:, :5].requires_grad_(True)
    strided.data[:, 0] = 3
    got = checked_rois(strided.to(device), device)
    assert not got.requires_grad
    assert torch.equal(got.cpu(), strided.detach().float())


def test_without_boxes(device):
    assert checked_rois(torch.zeros(0, 6, device=device), device, images=0).shape == (0, 6)


@pytest.mark.parametrize("column", range(6))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2.0**24 + 2, -(2.0**24) - 2])
def test_every_column_must_be_finite_and_within_reach(column, value, use_kernels):
    rois = torch.zeros(9, 6)
    rois[4:, column] = value
    with pytest.raises(ValueError, match=r"rois row 4: .*2\^24, on the map too, .*a whole number"):
        checked_rois(rois, CPU)
    use_kernels()
    with pytest.raises(ValueError, match=r"rois row 4: .*2\^24, on the map too, .*a whole number"):
        checked_rois(rois, CPU)


@pytest.mark.parametrize("column", range(1, 5))
def test_corners_must_be_within_reach_on_the_map(column, use_kernels):
    rois = torch.zeros(3, 5)
    rois[1, 0], rois[2, column] = 9, 2.0**20
    checked_rois(rois, CPU, scale=16.0)
    with pytest.raises(ValueError, match=r"rois row 2"):
        checked_rois(rois, CPU, scale=17.0)
    use_kernels()
    checked_rois(rois, CPU, scale=16.0)
    with pytest.raises(ValueError, match=r"rois row 2"):
        checked_rois(rois, CPU, scale=17.0)


def test_kernels_name_the_first_of_many_bad_rows(kernels, use_kernels):
    rois = torch.zeros(1000, 5)
    rois[[600, 700, 970], 3] = math.nan
    use_kernels()
    for order in (1, 2, 0):
        kernels.caffe_set_order(order)
        with pytest.raises(
            ValueError, match=r"rois row 600: .*got \[0\.0, 0\.0, 0\.0, nan, 0\.0\]$"
        ):
            checked_rois(rois, CPU)


def test_what_a_gpu_reports_is_raised_by_the_next_call_and_forgotten(monkeypatch):
    report = rois_module._new_report(CPU)  # which a kernel of an earlier call has written to
    report[:3] = torch.tensor([7, 2, 5])
    report[3:].view(torch.float32)[:5] = torch.tensor([2.0, 0, 0, 1, 1])
    monkeypatch.setattr(rois_module, "_new_report", lambda device: report)
    features, rois = [torch.ones(3, 2)], torch.ones(3, 6)
    with pytest.raises(
        ValueError, match=r"rois row 7: .*0 to 1\), got \[2\.0, 0\.0, 0\.0, 1\.0, 1\.0\]$"
    ):
        score_weighted_concat(features, rois)
    assert score_weighted_concat(features, rois).tolist() == [[1, 1]] * 3


def test_a_gpu_reports_without_being_waited_for(gpu):
    rois = torch.zeros(3, 6, device=gpu)
    rois[1, 5] = math.nan

    def concat():
        top = score_weighted_concat([torch.ones(3, 2, device=gpu)], rois)  # raises if it was quick
        assert top.isnan().all(1).tolist() == [False, True, False]  # which waits
        rois_module.raise_reported(rois_module._gpu_report(gpu))

    with pytest.raises(ValueError, match=r"rois row 1: .*nan"):
        concat()

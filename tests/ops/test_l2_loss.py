"""The two distillation losses: hand values, CPU and kernels against plain torch, bad input."""

import numpy as np
import pytest
import torch

from caffe.ops import l2_loss
from caffe.ops.l2_loss import feature_l2_loss, prediction_l2_loss
from tests.ops.samples import random_rois, same_bits, values_and_gradients


def sample(boxes, seed):
    rng = np.random.default_rng(seed)
    pair = [torch.tensor(rng.random((boxes, 5, 7)).astype(np.float32)) for _ in range(2)]
    return *pair, torch.tensor(random_rois(rng, 3, boxes, 30, 20))


def test_feature_loss_by_hand(device):
    # image 4 has one box with |d|^2 = 25, image 1 two boxes with 1 and 8: (25 + (1 + 8) / 2) / 4
    rois = torch.zeros(3, 6)
    rois[:, 0] = torch.tensor([1.0, 4, 1])
    teacher = torch.tensor([[1.0, 0], [3, 4], [2, 2]], device=device)
    loss = feature_l2_loss(teacher, torch.zeros_like(teacher), rois.to(device))
    assert loss.item() == pytest.approx(7.375)


def test_prediction_loss_by_hand():
    teacher, student = torch.tensor([[1.0, 0], [0.5, 0.25]]), torch.tensor([[0.0, 0.5], [0.5, 0]])
    assert prediction_l2_loss(teacher, student).item() == pytest.approx((1.25 + 0.0625) / 4)


@pytest.mark.parametrize("boxes", [0, 1, 4, 11])
def test_feature_loss_equals_plain_torch(boxes, device):
    teacher, student, rois = sample(boxes, seed=boxes)
    ours = values_and_gradients(
        lambda a, b: feature_l2_loss(a, b, rois.to(device)), teacher.to(device), student.to(device)
    )
    twin = values_and_gradients(
        lambda a, b: feature_l2_loss(a.double(), b.double(), rois), teacher, student
    )
    for got, want in zip(ours, twin, strict=True):
        torch.testing.assert_close(got.cpu(), want.float(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("images", [1, 6])
def test_prediction_loss_equals_plain_torch(images, device):
    teacher, student, _ = sample(images, seed=images)
    ours = values_and_gradients(prediction_l2_loss, teacher.to(device), student.to(device))
    twin = values_and_gradients(
        lambda a, b: prediction_l2_loss(a.double(), b.double()), teacher, student
    )
    for got, want in zip(ours, twin, strict=True):
        torch.testing.assert_close(got.cpu(), want.float(), rtol=1e-6, atol=1e-8)


def test_only_the_wanted_gradient_is_computed():
    teacher, student, rois = sample(5, seed=1)
    student.requires_grad_(True)
    feature_l2_loss(teacher, student, rois).backward()
    assert teacher.grad is None
    _, _, both = values_and_gradients(
        lambda a, b: feature_l2_loss(a, b, rois) / -1.0, teacher, student
    )
    torch.testing.assert_close(student.grad, both)  # the weighting of a single number is -1


def test_threads_do_not_change_a_bit():
    teacher, student, rois = sample(11, seed=2)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            call = values_and_gradients(lambda a, b: feature_l2_loss(a, b, rois), teacher, student)
            results.append(call)
    finally:
        torch.set_num_threads(threads)
    assert all(same_bits(results[0], other) for other in results[1:])


def test_kernels_give_the_same_bits_in_any_order_of_threads(kernels, use_kernels):
    rng = np.random.default_rng(3)
    teacher, student = (torch.tensor(rng.random((2, 4099)).astype(np.float32)) for _ in range(2))
    on_cpu = values_and_gradients(prediction_l2_loss, teacher, student)
    use_kernels()
    results = []
    for order in (1, 2, 0):
        kernels.caffe_set_order(order)
        results.append(values_and_gradients(prediction_l2_loss, teacher, student))
    assert all(same_bits(results[0], other) for other in results[1:])
    assert same_bits(results[0][1:], on_cpu[1:])
    torch.testing.assert_close(results[0][0], on_cpu[0])


def test_rows_of_any_strides_and_rois_with_gradient(device):
    teacher, student, rois = sample(5, seed=4)
    loss = feature_l2_loss(teacher, student, rois)
    rois.requires_grad_(True)
    strided = [
        x.transpose(1, 2).contiguous().transpose(1, 2).to(device) for x in (teacher, student)
    ]
    other = feature_l2_loss(*strided, rois.to(device))
    assert other.item() == pytest.approx(loss.item(), rel=1e-6)
    assert not other.requires_grad


def test_a_row_that_a_gpu_found_impossible_makes_the_loss_nan():
    images = torch.tensor([4.0, 1, float("nan"), 4, 4])
    weights = l2_loss._box_weights(images)
    assert weights[2].isnan()
    assert l2_loss._box_weights(images[[0, 1, 3, 4]]).tolist() == pytest.approx(
        [1 / 6, 1 / 2, 1 / 6, 1 / 6]
    )


def test_names_what_does_not_fit():
    teacher, student, rois = sample(4, seed=0)
    with pytest.raises(ValueError, match=r"student: .*floating-point.*torch\.int32"):
        feature_l2_loss(teacher, student.int(), rois)
    with pytest.raises(ValueError, match=r"got teacher on cpu, student on meta"):
        prediction_l2_loss(teacher, student.to("meta"))
    with pytest.raises(ValueError, match=r"\(R, 5\) or \(R, 6\).*got \(\)"):
        feature_l2_loss(teacher, student, torch.tensor(0.0))
    many = torch.zeros(1, 1).expand(2**16, 2**15)
    with pytest.raises(ValueError, match=r"at most 2147483647 numbers"):
        prediction_l2_loss(many, many)
    with pytest.raises(ValueError, match=r"same shape .*\(4, 5, 7\) and \(3, 5, 7\)"):
        prediction_l2_loss(teacher, student[:3])
    with pytest.raises(ValueError, match=r"one row of rois per row of features, got 3"):
        feature_l2_loss(teacher, student, rois[:3])
    rois[2, 0] = 0.5
    with pytest.raises(ValueError, match=r"rois row 2: .*a whole number"):
        feature_l2_loss(teacher, student, rois)

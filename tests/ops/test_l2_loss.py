"""The two distillation losses: hand values, the native path against plain torch, errors."""

import numpy as np
import pytest
import torch

from caffe.ops.l2_loss import feature_l2_loss, prediction_l2_loss
from tests.ops.samples import random_rois, values_and_gradients


def sample(boxes, seed):
    rng = np.random.default_rng(seed)
    pair = [torch.tensor(rng.random((boxes, 5, 7)).astype(np.float32)) for _ in range(2)]
    return *pair, torch.tensor(random_rois(rng, 3, boxes, 30, 20))


def test_feature_loss_by_hand():
    # image 4 has one box with |d|^2 = 25, image 1 two boxes with 1 and 8: (25 + (1 + 8) / 2) / 4
    rois = torch.zeros(3, 6)
    rois[:, 0] = torch.tensor([1.0, 4, 1])
    teacher = torch.tensor([[1.0, 0], [3, 4], [2, 2]])
    assert feature_l2_loss(teacher, torch.zeros(3, 2), rois).item() == pytest.approx(7.375)


def test_prediction_loss_by_hand():
    teacher, student = torch.tensor([[1.0, 0], [0.5, 0.25]]), torch.tensor([[0.0, 0.5], [0.5, 0]])
    assert prediction_l2_loss(teacher, student).item() == pytest.approx((1.25 + 0.0625) / 4)


@pytest.mark.parametrize("boxes", [0, 1, 4, 11])
def test_feature_loss_native_equals_plain_torch(boxes):
    teacher, student, rois = sample(boxes, seed=boxes)
    native = values_and_gradients(lambda a, b: feature_l2_loss(a, b, rois), teacher, student)
    twin = values_and_gradients(
        lambda a, b: feature_l2_loss(a.double(), b.double(), rois), teacher, student
    )
    for got, want in zip(native, twin, strict=True):
        torch.testing.assert_close(got, want.float(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("images", [1, 6])
def test_prediction_loss_native_equals_plain_torch(images):
    teacher, student, _ = sample(images, seed=images)
    native = values_and_gradients(prediction_l2_loss, teacher, student)
    twin = values_and_gradients(
        lambda a, b: prediction_l2_loss(a.double(), b.double()), teacher, student
    )
    for got, want in zip(native, twin, strict=True):
        torch.testing.assert_close(got, want.float(), rtol=1e-6, atol=1e-8)


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
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_names_what_does_not_fit():
    teacher, student, rois = sample(4, seed=0)
    with pytest.raises(ValueError, match=r"same shape .*\(4, 5, 7\) and \(3, 5, 7\)"):
        prediction_l2_loss(teacher, student[:3])
    with pytest.raises(ValueError, match=r"one row of rois per row of features, got 3"):
        feature_l2_loss(teacher, student, rois[:3])
    rois[2, 0] = 0.5
    with pytest.raises(ValueError, match=r"rois row 2: .*a whole number"):
        feature_l2_loss(teacher, student, rois)

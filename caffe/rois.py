"""Box lists per image as one list of RoIs."""

import torch

from caffe.layer import Layer


def rois_of(layer: Layer, boxes: torch.Tensor) -> torch.Tensor:
    """(N, 5 B), per box x1 y1 x2 y2 score, as (N B, 6) with the image's index in front.

    Fails in the layer's name unless each row holds whole boxes.
    """
    count = boxes[0].numel()
    if count % 5:
        layer.fail(f"expected 5 numbers per box (x1 y1 x2 y2 score), got rows of {count}")
    rows = boxes.detach().reshape(-1, 5)
    image = torch.arange(boxes.shape[0], device=boxes.device, dtype=boxes.dtype)
    return torch.cat([image.repeat_interleave(count // 5)[:, None], rows], dim=1)

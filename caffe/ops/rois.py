"""The rois blob: checks that all its readers share.

rois (R, 6): image index, x1, y1, x2, y2 (input pixels, inclusive corners), score; or (R, 5) without
score.
"""

import torch

_FARTHEST = 2.0**24  # up to here float32 holds every whole pixel


def check_shape(shape: tuple[int, ...], columns: tuple[int, ...] = (5, 6)) -> None:
    """Raises ValueError if `shape` is not (R, one of `columns`)."""
    if len(shape) != 2 or shape[1] not in columns:
        wanted = " or ".join(f"(R, {n})" for n in columns)
        raise ValueError(
            f"rois: expected shape {wanted}, columns image index, x1, y1, x2, y2"
            f"{', score' if 6 in columns else ''}; got {tuple(shape)}"
        )


def checked_rois(
    rois: torch.Tensor, images: int | None = None, columns: tuple[int, ...] = (5, 6)
) -> torch.Tensor:
    """The rois in float32 on the CPU.

    Raises ValueError naming the first row with a number that is not finite or beyond 2^24, or with
    an image index that is not whole, negative or, if `images` is given, not below it.
    """
    check_shape(tuple(rois.shape), columns)
    rows = rois.detach().to("cpu", torch.float32)
    index = rows[:, 0]
    good = (rows.abs() <= _FARTHEST).all(1) & (index >= 0) & (index == index.floor())
    if images is not None:
        good &= index < images
    if good.all():
        return rows
    bad = int(good.logical_not().nonzero()[0])
    limit = "a whole number" if images is None else f"0 to {images - 1}"
    raise ValueError(
        f"rois row {bad}: expected finite numbers up to 2^24 and an image index ({limit}), "
        f"got {[round(value, 4) for value in rows[bad].tolist()]}"
    )

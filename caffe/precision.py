"""In what nets compute: `caffe.set_precision("bf16")`, and the loss scale that fp16 needs.

fp32    float32 throughout; the default, and what the golden values were compared with
tf32    float32 whose products a GPU rounds to 10 bits of mantissa; on a CPU the same as fp32
bf16    layers with `arithmetic = "low"` (convolutions, fully connected) in bfloat16, those with
        "any" in whatever reaches them, all others (losses, softmax, RoI pooling) in float32
fp16    the same with float16, whose gradients need a loss scale

Parameters, their gradients, the solver's history and every file stay float32.
"""

import logging
import math

import torch

from caffe.errors import CaffeError

_log = logging.getLogger("caffe")
_LOW = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = tuple(_LOW)
_state = {"precision": "fp32"}


def set_precision(name: str) -> None:
    """Compute in `name`, one of PRECISIONS, from now on.

    Raises CaffeError for another name.
    """
    if name not in _LOW:
        raise CaffeError(f'unknown precision "{name}"; expected one of {", ".join(PRECISIONS)}')
    _state["precision"] = name
    # PyTorch's own default lets cuDNN round to TF32, which is not what fp32 promises.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == "tf32"


def get_precision() -> str:
    """What `set_precision` chose last."""
    return _state["precision"]


def low_type() -> torch.dtype | None:
    """The type of layers with `arithmetic = "low"`, None if that is float32 as well."""
    return _LOW[_state["precision"]]


class LossScale:
    """A factor on the loss that keeps float16's small gradients from becoming 0.

    It starts at 2^16, is halved whenever a gradient was not finite (that update is left out) and
    doubled after 2000 updates in a row that were. Source: Micikevicius et al., ICLR 2018.
    """

    patience = 2000

    def __init__(self) -> None:
        self.value = 2.0**16
        self._good = 0

    def update(self, finite: bool) -> None:
        """Adapt to whether the last gradients were finite.

        Raises CaffeError if they are not even at a scale of 1.
        """
        if finite:
            self._good += 1
            if self._good == self.patience:
                self.value, self._good = min(2 * self.value, 2.0**24), 0
            return
        if self.value <= 1:
            raise CaffeError(
                "fp16: a gradient is not finite whatever the loss scale; lower base_lr, or "
                "compute in bf16 or fp32"
            )
        self.value, self._good = self.value / 2, 0
        _log.info(
            "fp16: a gradient is not finite, no update; loss scale 2^%d", math.log2(self.value)
        )

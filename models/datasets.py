"""The data sets: sizes of the nets, rates and lengths of the training, what each set has."""

from dataclasses import dataclass, replace
from typing import Any

MEAN = [103.52, 116.28, 123.675]  # blue, green, red


@dataclass(frozen=True)
class Size:
    """Everything in which the demo's nets differ from those of the paper."""

    widths: tuple[int, ...]  # channels of conv1_x .. conv5_x
    fc: int  # outputs of fc6 and fc7
    grid: int  # RoI pooling's; pool5 of the student makes the same grid
    scales: tuple[int, ...]  # sides of the training image; one is drawn per mini-batch
    side: int  # of the test image
    student_side: int
    boxes: int  # rows of `rois` per image
    score: str  # "proposal", or "one": every box counts alike
    score_scale: float  # RoI pooling multiplies by score_scale * score + score_bias
    score_bias: float
    kept: int  # at most so many boxes per image in stage 1
    dropout: float
    # VGG16's weights expect pixels of 0..255 minus the mean. The demo's start from noise, made for
    # inputs near 1: its conv1_1 starts, and under Adam learns, this much smaller instead.
    input_scale: float


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one stage learns."""

    batch: int
    epochs: float
    base_lr: float
    # After these parts of the run the rate falls by `gamma`; without any it falls evenly to 0.
    drops: tuple[float, ...] = (2 / 3,)
    new_rate: float = 10.0  # lr_mult of a new classifier: those of VGG16 start from weights
    transfer_weight: float = 1.0  # of the distillation loss; lambda in stage 2


@dataclass(frozen=True)
class Dataset:
    """One folder of models/."""

    name: str
    title: str
    classes: int
    images: int  # of the training set; only the schedules depend on it
    size: Size
    recipes: dict[str, Recipe]
    solver: dict[str, Any]
    backbone: str = "vgg16"  # the student's; the teacher's is VGG16

    @property
    def folder(self) -> str:
        """Of its nets below models/, and of their results below out/."""
        return self.name if self.backbone == "vgg16" else f"{self.name}/{self.backbone}"


FULL = Size(
    widths=(64, 128, 256, 512, 512),
    fc=4096,
    grid=7,
    scales=(480, 576, 672, 736, 832),
    side=672,
    student_side=224,
    boxes=500,
    score="proposal",
    score_scale=10,
    score_bias=1,
    kept=50,
    dropout=0.5,
    input_scale=1,
)
DEMO = Size(
    widths=(8, 16, 32, 64, 64),
    fc=256,
    grid=3,
    scales=(192,),
    side=192,
    student_side=96,
    boxes=64,
    score="one",
    score_scale=1,
    score_bias=0,
    kept=8,
    dropout=0.1,
    input_scale=1 / 64,
)


def with_baselines(recipes: dict[str, Recipe]) -> dict[str, Recipe]:
    """The recipes, and those of the other methods: as long as ours in all, at ours' rates."""
    stage1, stage2 = recipes["stage1"], recipes["stage2"]
    whole = replace(stage2, epochs=stage1.epochs + stage2.epochs)
    return recipes | {
        "hinton/stage2": whole,
        "fitnets/stage1": stage1,
        "fitnets/stage2": stage2,
        "attention/stage2": replace(whole, transfer_weight=1000),
        "released/stage1": stage1,
        "released/stage2": stage2,
    }


# The losses add up over K classes (or over a box's features), so their gradients are as many times
# larger than a mean's and the rates are small. WSDDN's own recipe is 1e-5 at one image a step,
# a tenth of it in the second half; the rate grows with the batch. Two thirds of the student's
# epochs with labels go to stage 2, the rest to stage 1: both students see the images equally often.
FULL_SOLVER = {"type": "SGD", "momentum": 0.9, "weight_decay": 5e-4}
FULL_RECIPES = with_baselines(
    {
        "wsddn": Recipe(batch=4, epochs=20, base_lr=4e-5, drops=(1 / 2,)),
        "student": Recipe(batch=32, epochs=18, base_lr=1e-4),
        "stage1": Recipe(batch=8, epochs=6, base_lr=1e-7),
        "stage2": Recipe(batch=8, epochs=12, base_lr=2.5e-5),
    }
)
DEMO_OBJECTS = {"train": 12000, "test": 1200}
DEMO_TEST_BATCH = 100
DEMO_SOLVER = {"type": "Adam", "momentum": 0.9, "momentum2": 0.999}
DEMO_RECIPES = with_baselines(
    {
        "pretrain": Recipe(batch=32, epochs=6, base_lr=1e-3, drops=(), new_rate=1),
        "wsddn": Recipe(batch=8, epochs=5, base_lr=1e-3, drops=(), new_rate=1),
        "student": Recipe(batch=32, epochs=16, base_lr=1e-3, drops=(), new_rate=1),
        "stage1": Recipe(batch=32, epochs=8, base_lr=1e-3, drops=(), new_rate=1),
        "stage2": Recipe(batch=32, epochs=8, base_lr=1e-3, drops=(), new_rate=1),
    }
)

DATASETS = (
    Dataset("coco", "MS-COCO 2014", 80, 82_081, FULL, FULL_RECIPES, FULL_SOLVER),
    Dataset("nuswide", "NUS-WIDE", 81, 119_986, FULL, FULL_RECIPES, FULL_SOLVER),
    Dataset("voc2007", "PASCAL VOC 2007", 20, 5_011, FULL, FULL_RECIPES, FULL_SOLVER),
    Dataset("demo", "the demo set", 12, 3_000, DEMO, DEMO_RECIPES, DEMO_SOLVER),
)

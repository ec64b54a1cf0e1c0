"""What only people know of the stages: the talk, reasons, the paper's and the demo's numbers."""

from dataclasses import dataclass

VGG16 = "VGG_ILSVRC_16_layers.caffemodel"
DOCS = "../../../data/README.md"
TRIALS = "from trial runs on this set"
ADAM = "Adam's customary rate"


@dataclass(frozen=True)
class Stage:
    """What people know of a stage."""

    title: str
    slide: str  # of the talk
    does: str
    command: str
    starts: str
    batch: str  # why this batch, these epochs, this rate, these drops; full size
    epochs: str
    rate: str
    drops: str
    departures: tuple[str, ...]


STAGES = {
    "pretrain": Stage(
        "single-object classification",
        "none: this stands in for ImageNet",
        "VGG16, thin, learns to tell single drawn objects apart.",
        "python tools/train.py pretrain",
        "noise",
        *("", "", "", ""),
        ("The paper starts from ImageNet's weights.",),
    ),
    "wsddn": Stage(
        "the teacher T-WDet",
        '"Step 1: Weakly-Supervised Detection"',
        "WSDDN on VGG16: p from the products of two softmaxes, over classes and over boxes.",
        "tools/train_wsddn.sh",
        "ImageNet's VGG16",
        "fits into 16 GB (computed); WSDDN's own recipe has 1",
        "as WSDDN's own recipe",
        "4 times WSDDN's 1e-5 for 1 image, as the batch is 4 times as large",
        "as WSDDN: a tenth in the second half",
        (
            "RoI pooling multiplies by {score_bias:g} + {score_scale:g} x the proposal's score; "
            "the talk does not say (WSDDN: 1 + 10 x).",
            "Padding rows carry a mask of -1e4 into the softmax over boxes.",
        ),
    ),
    "student": Stage(
        "the student S-Cls (w/o)",
        '"Ours-S-Cls (w/o)" in the tables',
        "A plain VGG16 on 224 x 224 pixels learns from labels alone: the baseline.",
        "python tools/train.py student",
        "ImageNet's VGG16",
        "fits into 8 GB (computed)",
        "as many as both stages of distillation together",
        "a starting point: for a sum over {classes} classes it is what {mean:.2g} is for a mean",
        "a tenth in the last third; our choice",
        (),
    ),
    "stage1": Stage(
        "feature-level transfer (L_f)",
        '"Stage 1: Feature-level transfer, only update convs\' params"',
        "The student's convolutions learn to pool the teacher's features in the boxes kept.",
        "tools/distill.sh stage1",
        "ImageNet's VGG16; the teacher of `wsddn`",
        "a quarter of the student's: the teacher runs beside it",
        "a third of the student's",
        "a starting point: for a sum over 512 x 7 x 7 numbers it is what 0.0025 is for a mean",
        "a tenth in the last third; our choice",
        (
            "Boxes kept: non-maximum suppression on s at IoU 0.5, then the best {kept}.",
            "s is the box's largest S over the classes, s' = s / the image's largest s: the talk "
            "cites an equation for s that it does not print.",
            "One map is compared, conv5_3; the talk's figure shows several.",
        ),
    ),
    "stage2": Stage(
        "prediction-level transfer (L_p + L_p')",
        '"Stage 2: Prediction-level transfer, update all params"',
        "All of the student learns from the labels and from the teacher's tempered predictions.",
        "tools/distill.sh stage2",
        "the student of `stage1`; the teacher of `wsddn`",
        "as stage 1",
        "two thirds of the student's",
        "the student's 1e-4 x 8 / 32, for a batch of 8 instead of 32",
        "a tenth in the last third; our choice",
        ("The student's temperature t starts at 5 and is learned as t - 5, 10 times as fast.",),
    ),
}

PREPARE = {
    "coco": (
        "ms-coco-2014-80-classes",
        "python data/prepare_coco.py --annotations data/coco/annotations/instances_train2014.json "
        "\\\n      --images data/coco/train2014 --out data/coco/train\n"
        "    python data/make_proposals.py --set data/coco/train --boxes 500",
    ),
    "nuswide": (
        "nus-wide-81-classes",
        "python data/prepare_nuswide.py --root data/nuswide --images data/nuswide/Flickr "
        "\\\n      --out data/nuswide\n"
        "    python data/make_proposals.py --set data/nuswide/train --boxes 500",
    ),
    "voc2007": (
        "voc-2007-20-classes",
        "python data/prepare_voc.py --devkit data/voc2007/VOCdevkit --split trainval "
        "\\\n      --out data/voc2007/train\n"
        "    python data/make_proposals.py --set data/voc2007/train --boxes 500",
    ),
    "demo": (
        "demo-set-12-shape-classes-drawn-minutes-no-download",
        "make demo    # data, all stages, table and report; or, once the data are there:",
    ),
}

# Percent: mAP, All F1-C, All F1-O, Top-3 F1-C, Top-3 F1-O.
QUOTED = {
    ("coco", "wsddn"): (78.6,),
    ("coco", "student"): (70.9, 63.6, 67.0, 60.7, 66.7),
    ("coco", "stage2"): (74.6, 69.2, 74.0, 66.8, 72.7),
    ("coco", "hinton"): (71.3, 64.7, 69.3, 61.5, 67.6),
    ("coco", "fitnets"): (72.5, 65.2, 70.9, 62.3, 68.3),
    ("coco", "attention"): (71.4, 64.6, 69.8, 61.6, 67.8),
    ("nuswide", "wsddn"): (58.2,),
    ("nuswide", "student"): (55.6, 52.0, 67.2, 47.5, 64.8),
    ("nuswide", "stage2"): (60.1, 58.7, 73.7, 53.8, 71.1),
    ("nuswide", "hinton"): (57.2, 54.3, 69.5, 50.3, 67.5),
    ("nuswide", "fitnets"): (57.4, 54.9, 70.4, 51.4, 68.6),
    ("nuswide", "attention"): (57.6, 55.2, 70.3, 51.7, 68.8),
}
WSDDN_ON_VOC = (
    "WSDDN's own paper: detection mAP 34.8, classification mAP 89.7; the authors' run of it in "
    "Caffe: 29.1 and 91.2 (quoted)."
)
# Minutes of one training with the teacher live; mAP over seeds 1, 2, 3.
MEASURED = "Intel Xeon with AVX-512, 2 cores, 2026-11-20"
TWO_CORES = "Intel Xeon with AVX-512, 2 cores, 2026-11-21"
DEMO_FULL = f"`make demo-full`, {TWO_CORES}"
DEMO_MAP = {
    "wsddn": "53.3 ± 1.8",
    "student": "41.5 ± 0.8",
    "stage2": "46.9 ± 1.2",
    "hinton": "46.0 ± 0.4",
    "fitnets": "44.0 ± 0.6",
    "attention": "45.3 ± 0.3",
}
# mAP of the students with another backbone, without and with distillation: seed 1, 95% interval.
DEMO_BACKBONES = {
    "resnet18": ("34.1 (31.9 to 34.8)", "40.2 (38.0 to 41.0)"),
    "mobilenet_v1": ("33.2 (31.1 to 34.0)", "37.2 (34.9 to 37.8)"),
}
DEMO_MINUTES = {"pretrain": 9.0, "wsddn": 4.0, "student": 3.3, "stage1": 2.9, "stage2": 2.3}

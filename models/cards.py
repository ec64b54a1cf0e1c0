"""The model cards models/<dataset>/<stage>/readme.md: how to train a stage, how long, to what.

Sizes, rates and schedules come from the solvers, memory from preset_table.py, hours from cost.py,
all else from card_facts.py.
"""

import textwrap
from collections.abc import Mapping

import cost
from backbones import TITLES
from card_facts import (
    ADAM,
    DEMO_BACKBONES,
    DEMO_FULL,
    DEMO_MAP,
    DEMO_MINUTES,
    DOCS,
    MEASURED,
    PREPARE,
    QUOTED,
    STAGES,
    TRIALS,
    TWO_CORES,
    VGG16,
    WSDDN_ON_VOC,
)
from datasets import DEMO_OBJECTS, Dataset
from google.protobuf.message import Message
from preset_table import MEMORIES

from caffe.proto import caffe_pb2


def table(head: str, rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; `head` has its columns between bars."""
    columns = head.count("|") + 1
    lines = [head, "|".join(["---"] * columns), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" if line is not lines[1] else f"|{line}|" for line in lines)


def title_of(dataset: Dataset) -> str:
    return dataset.title[0].upper() + dataset.title[1:]


def images_of(dataset: Dataset, stage: str) -> int:
    return DEMO_OBJECTS["train"] if stage == "pretrain" else dataset.images


def length(dataset: Dataset, stage: str) -> str:
    """How the number of iterations follows from images, batch and epochs."""
    recipe, images = dataset.recipes[stage], images_of(dataset, stage)
    steps = -(-images // recipe.batch)
    total = round(recipe.epochs * steps)
    epochs = f"{recipe.epochs:g} epochs x ceil({images:,} images / {recipe.batch})"
    return f"{epochs} = {recipe.epochs:g} x {steps:,} = {total:,} iterations"


def falls(solver: caffe_pb2.SolverParameter) -> str:
    if solver.lr_policy == "poly":
        return "evenly to 0"
    steps = " and ".join(f"{step:,}" for step in solver.stepvalue)
    return f"x {solver.gamma:g} after {steps} iterations"


def update(solver: caffe_pb2.SolverParameter) -> str:
    """The rule and its constants."""
    decay = f", weight decay {solver.weight_decay:g}" if solver.weight_decay else ""
    second = f" and {solver.momentum2:g}" if solver.type == "Adam" else ""
    return f"{solver.type}, momentum {solver.momentum:g}{second}{decay}"


def schedule(dataset: Dataset, name: str, solver: caffe_pb2.SolverParameter) -> str:
    """Batch, length, rate and solver, each with its reason."""
    recipe, stage = dataset.recipes[name], STAGES[name]
    mean = {"classes": dataset.classes, "mean": recipe.base_lr * dataset.classes}
    batch, epochs, rate, drops = stage.batch, stage.epochs, stage.rate.format(**mean), stage.drops
    if solver.type == "Adam":
        batch, epochs, rate, drops = TRIALS, TRIALS, ADAM, TRIALS
    if recipe.new_rate != 1 and name != "stage1":
        rate += f"; new classifiers learn {recipe.new_rate:g} times as fast"
    rows = [
        ("batch", f"{recipe.batch} images", batch),
        ("length", length(dataset, name), epochs),
        ("rate", f"{recipe.base_lr:g}", rate),
        ("it falls", falls(solver), drops),
        ("solver", update(solver), "VGG16's own" if solver.type == "SGD" else TRIALS),
    ]
    if name == "stage2":
        rows.append(("loss", f"L_p + {recipe.transfer_weight:g} L_p'", "the talk's lambda"))
    return table("what | value | why", rows)


def memory(presets: Mapping[str, Mapping]) -> str:
    """The presets of a stage, a column for each GPU."""
    head = "`--memory`, GB | " + " | ".join(presets)
    sizes = ("images a pass x passes", *map(parts, presets.values()))
    counted = ("counted, GiB", *(f"{row['bytes'] / 2**30:.1f}" for row in presets.values()))
    return table(head, [sizes, counted])


def parts(preset: Mapping) -> str:
    """How a mini-batch goes through a GPU."""
    if "batch_size" not in preset:
        return "too small"
    again = ", recomputed" if preset["recompute"] else ""
    return f"{preset['batch_size']} x {preset['iter_size']}{again}"


def time(dataset: Dataset, name: str, net: caffe_pb2.NetParameter) -> str:
    """Hours on known machines, computed; the demo's minutes, measured."""
    if dataset.name == "demo" and name in DEMO_MINUTES and dataset.backbone == "vgg16":
        return (
            f"{DEMO_MINUTES[name]:g} minutes, measured ({MEASURED}; `make demo`, the teacher live)."
        )
    seen = dataset.recipes[name].epochs * images_of(dataset, name)
    operations = seen * cost.of_image(net)
    rows = [
        (
            machine.name,
            f"{machine.peak / 1e12:g} TFLOP/s in {machine.precision}",
            f"{machine.share:.0%}, {machine.basis}",
            duration(cost.hours(operations, machine)),
        )
        for machine in cost.MACHINES
    ]
    reading = duration(seen / cost.IMAGES_A_SECOND / 3600)
    return (
        table("hardware | peak | of it | time", rows)
        + f"\n\n{seen:,.0f} images, {peta(operations)} PFLOP; bf16 is `--precision bf16`. Two CPU "
        f"cores read so\nmany images in {reading} ({cost.IMAGES_A_SECOND} a second, measured): a "
        "faster GPU waits for them."
    )


def peta(operations: float) -> str:
    value = operations / 1e15
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def duration(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} min" if hours > 1 / 120 else "< 1 min"
    return f"{hours:,.1f} h" if hours < 100 else f"{hours:,.0f} h"


def numbers(dataset: Dataset, name: str) -> str:
    """What should come out, and whose number that is."""
    if dataset.name == "demo":
        if dataset.backbone != "vgg16":
            alone, distilled = DEMO_BACKBONES[dataset.backbone]
            text = f"mAP in percent {alone} without distillation, {distilled} with it: seed 1 alone"
            return wrapped(f"{text}, 95% intervals over the test images ({TWO_CORES}).")
        if name not in DEMO_MAP:
            return "None measured."
        return wrapped(f"mAP {DEMO_MAP[name]} %, measured over three seeds ({DEMO_FULL}).")
    if name in ("stage1", "pretrain"):
        return "None of its own: the student's classifier learns in `stage2`."
    if dataset.name == "voc2007" and name == "wsddn":
        return wrapped(WSDDN_ON_VOC + " Ours: not run.")
    quoted = QUOTED.get((dataset.name, name))
    if not quoted or dataset.backbone != "vgg16":
        return "The talk gives none. Ours: not run."
    labels = ("mAP", "all F1-C", "all F1-O", "top-3 F1-C", "top-3 F1-O")
    said = ", ".join(f"{label} {value}" for label, value in zip(labels, quoted, strict=False))
    return wrapped(f"{said} (percent, quoted from the talk). Ours: not run.")


def options(dataset: Dataset) -> str:
    """What every command of the data set is called with."""
    if dataset.name == "demo":
        return "--dataset demo"
    weights = VGG16 if dataset.backbone == "vgg16" else f"{dataset.backbone}.caffemodel"
    return f"--dataset {dataset.name} \\\n      --weights {weights} --gpu 0 --memory 24"


def commands(dataset: Dataset, name: str) -> str:
    """The set, the weights, the stages before this one and this one, line by line."""
    lines = [PREPARE[dataset.name][1]]
    before = {"stage1": ("wsddn",), "stage2": ("wsddn", "stage1")}.get(name, ())
    if dataset.name != "demo":
        lines.append(f"python data/download.py    # {VGG16}")
    elif name != "pretrain":
        before = ("pretrain", *before)
    lines += [f"{STAGES[stage].command} {options(dataset)}" for stage in (*before, name)]
    return "\n".join(f"    {line}" for line in lines)


def starts(dataset: Dataset, name: str) -> str:
    words = STAGES[name].starts
    return words.replace("ImageNet's VGG16", "`pretrain`") if dataset.name == "demo" else words


def departures(dataset: Dataset, name: str) -> str:
    """What differs from the paper, or what it leaves open, in this stage."""
    size = vars(dataset.size)
    lines = [line.format(**size) for line in STAGES[name].departures]
    if dataset.name == "demo":
        small = f"thin VGG16, images of {dataset.size.side} and {dataset.size.student_side} pixels"
        lines.append(f"The demo is smaller: {small}, {dataset.size.boxes} boxes that count alike.")
    elif dataset.name == "voc2007":
        lines.append("The talk has no VOC: this is for WSDDN's own numbers.")
    if dataset.name != "demo":
        lines.append("Batch, epochs, rate and schedule are ours: the talk gives none.")
    return "\n".join(wrapped(f"* {line}", "  ") for line in lines)


def wrapped(text: str, indent: str = "") -> str:
    """The text in lines of at most 100 characters, the second on indented."""
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


HEAD = """\
<!-- Written by models/generate.py from models/cards.py; change it there. -->
# {title}

"""
CARD = """\
{does}

## Commands

Data in full, with the test images: [data/README.md]({docs}#{anchor}).

{commands}

The last line is this stage. Each goes on after an interruption when called again; results are in
`{results}`.

## Recipe

{schedule}

## Memory: computed, not measured (no GPU was at hand)

{memory}

`--batch-size` and `--iter-size` win against `--memory`.{cache}

## Time: {basis}

{time}

## Expected

{numbers}

## Departures from the paper

{departures}
"""
GROUP = """\
{what}

## Commands

{above}

{commands}

## Recipe

{recipe}

Rates and schedule are those of our own stages; the reasons are there.

## {what_costs}: computed, not measured (no GPU was at hand)

{costs}

{remarks}

## Expected

{numbers}
"""


def stage_card(dataset: Dataset, name: str, net: Message, solver: Message, presets: Mapping) -> str:
    """The readme.md of a stage of ours."""
    stage = STAGES[name]
    return HEAD.format(title=f"{title_of(dataset)}, `{name}`: {stage.title}") + CARD.format(
        does=wrapped(
            f"{stage.does} In the authors' talk: {stage.slide}. "
            f"Starts from {starts(dataset, name)}."
        ),
        docs=DOCS,
        anchor=PREPARE[dataset.name][0],
        commands=commands(dataset, name),
        results=f"out/{dataset.name}/" + (name if name == "pretrain" else f"seed1/{name}"),
        cache=" With `--cache` it takes less." if name in ("stage1", "stage2") else "",
        schedule=schedule(dataset, name, solver),
        memory=memory(presets),
        basis="measured" if dataset.name == "demo" else "computed from operations, not measured",
        time=time(dataset, name, net),
        numbers=numbers(dataset, name),
        departures=departures(dataset, name),
    )


def group_card(
    dataset: Dataset, title: str, group: str, stages: Mapping[str, tuple], presets: Mapping
) -> str:
    """The readme.md of another method or backbone; stages: {name: (net, solver, what it is)}."""
    recipe = []
    for name, (_, solver, _) in stages.items():
        falling = f"{solver.base_lr:.3g}, {falls(solver)}"
        recipe.append((f"`{kind_of(name)}`", length(dataset, name), falling))
    return HEAD.format(title=title) + GROUP.format(
        what="\n".join(f"* `{kind_of(n)}`: {what}." for n, (_, _, what) in stages.items()),
        commands="\n".join(group_commands(dataset, group, stages)),
        above=wrapped(prerequisites(dataset)),
        recipe=table("stage | length | rate", recipe),
        costs=costs(dataset, stages, presets),
        what_costs="Memory" if dataset.name == "demo" else "Memory and time",
        remarks=wrapped(remarks(dataset)),
        numbers=numbers(dataset, group),
    )


def kind_of(name: str) -> str:
    """The stage's name without its method's."""
    return name.rpartition("/")[2]


def costs(dataset: Dataset, stages: Mapping[str, tuple], presets: Mapping) -> str:
    """A line for each stage: mini-batches by the GPU's memory and, but for the demo, times."""
    rows = []
    machines = () if dataset.name == "demo" else cost.MACHINES[:3]
    for name, (net, _, _) in stages.items():
        operations = dataset.recipes[name].epochs * images_of(dataset, name) * cost.of_image(net)
        times = [duration(cost.hours(operations, machine)) for machine in machines]
        rows.append((f"`{kind_of(name)}`", *map(parts, presets[name].values()), *times))
    heads = ["stage", *(f"{gb} GB" for gb in MEMORIES), *(machine.name for machine in machines)]
    return table(" | ".join(heads), rows)


def remarks(dataset: Dataset) -> str:
    """What the numbers of `costs` mean."""
    said = "Images a pass x passes that fit into a GPU of so many GB (`--memory`)."
    if dataset.name != "demo":
        said += (
            " Times with `--precision bf16` at 40% of the peak (assumed), if images come fast "
            f"enough: two CPU cores read {cost.IMAGES_A_SECOND} a second (measured)."
        )
    if dataset.backbone != "vgg16":
        said += " BatchNorm takes the statistics of a pass, so 4 x 2 is not quite 8 x 1."
    if dataset.backbone == "mobilenet_v1" and dataset.name != "demo":
        said += " Depthwise convolutions reach less of the peak."
    return said


def prerequisites(dataset: Dataset) -> str:
    """What the commands need that is told elsewhere."""
    if dataset.name == "demo":
        return "Data and teacher: [`wsddn`](../wsddn/readme.md)."
    if dataset.backbone == "vgg16":
        return "Data, weights and teacher: [`wsddn`](../wsddn/readme.md)."
    return (
        "Data and teacher: [`wsddn`](../wsddn/readme.md). Weights: of ImageNet, with the layers of "
        f"models/imagenet/{dataset.backbone}; we have none to offer."
    )


def group_commands(dataset: Dataset, group: str, stages: Mapping[str, tuple]) -> list[str]:
    """One command for each stage."""
    kinds = [kind_of(name) for name in stages]
    if group in TITLES:
        lines = [f"python tools/train.py {kind} --backbone {group}" for kind in kinds]
    else:
        lines = [f"tools/distill.sh --method {group} {' '.join(kinds)}"]
    return [f"    {line} {options(dataset)}" for line in lines]


def files(
    dataset: Dataset, made: Mapping[str, tuple[Message, str]], presets: Mapping
) -> dict[str, str]:
    """{path below the data set's folder: card}: one of each stage of ours, one of each method;
    of a student with another backbone one in all. None for sets of the user's own."""
    if dataset.name not in PREPARE:
        return {}
    names = {path.rpartition("/")[0]: None for path in made if path.endswith("/train")}
    names = [name for name in STAGES if name in names] + [n for n in names if n not in STAGES]
    pairs = {name: (made[f"{name}/train"], made[f"{name}/solver"]) for name in names}
    stages = {name: (net, solver, what) for name, ((net, what), (solver, _)) in pairs.items()}
    if dataset.backbone != "vgg16":
        return {
            "readme.md": group_card(dataset, title_of(dataset), dataset.backbone, stages, presets)
        }
    cards, groups = {}, {}
    for name, (net, solver, what) in stages.items():
        if name in STAGES:
            cards[f"{name}/readme.md"] = stage_card(dataset, name, net, solver, presets[name])
        else:
            groups.setdefault(name.partition("/")[0], {})[name] = net, solver, what
    for group, some in groups.items():
        title = f"{title_of(dataset)}, `{group}`"
        cards[f"{group}/readme.md"] = group_card(dataset, title, group, some, presets)
    return cards

"""Write the results of a run folder as one HTML page that needs no other file and no network.

    python tools/report.py --dataset demo --runs out/demo --out out/demo/report.html

The page shows the table, the change per class against the number of training images, precision
over recall of every class, example images with the teacher's proposals and both students' answers,
and the loss of every stage; the teacher's detections, too, if test_det.py has scored them.
Predictions are reused from where test_cls.py left them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import figures
import jinja2
import metrics
import numpy as np
import precision_recall
import table
import test_cls
from errors import UserError, exit_code
from feeding import Feed, read_net
from files import write_atomically
from hardware import hardware
from options import BACKBONES, check_dataset, natural

from python_layers.prepared_set import PreparedSet

STAGE_TITLES = {
    "pretrain": "Single-object classification (start of all nets)",
    "wsddn": "Teacher T-WDet",
    "student": "Student without distillation",
    "stage1": "Stage 1: feature-level transfer",
    "stage2": "Stage 2: prediction-level transfer",
    **{
        f"{method}/{stage}": f"{name}: stage {stage[-1]}"
        for name, method in (
            ("Distillation", "hinton"),
            ("FitNets", "fitnets"),
            ("Attention transfer", "attention"),
            ("As released", "released"),
        )
        for stage in ("stage1", "stage2")
    },
}
STAGE_TITLES |= {
    f"{backbone}/{stage}": f"{name}, {STAGE_TITLES[stage][0].lower()}{STAGE_TITLES[stage][1:]}"
    for backbone, name in BACKBONES.items()
    for stage in ("pretrain", "student", "stage1", "stage2")
}
LINE_STYLES = {table.STUDENT: 0, table.TEACHER: 1, table.DISTILLED: 2}  # the others: 3 to 6
EXAMPLE_POOL = 200  # examples come from the first images, so that a large set needs no full pass
PROPOSALS = 10
LONGEST_SIDE = 480


@dataclass(frozen=True)
class Log:
    """One run's log.jsonl: the first line about the run, then the records of its iterations."""

    about: dict
    records: list[dict]


def read_log(path: pathlib.Path) -> Log:
    """The log; after a resumed run the later record of an iteration counts.

    UserError naming file and line where a record is not one.
    """
    about: dict = {}
    records: dict[int, dict] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            if number == 1 and "iter" not in record:
                about = record
                continue
            records[int(record["iter"])] = {**record, "loss": float(record["loss"])}
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f'{path}:{number}: expected {{"iter": number, "loss": number, ...}}, got {line!r}'
            ) from None
    return Log(about, [records[iteration] for iteration in sorted(records)])


def read_logs(runs: pathlib.Path) -> dict[str, dict[int, Log]]:
    """stage -> seed -> log, in the order of training; `pretrain` serves all seeds, as seed 0."""
    seeds = test_cls.seed_folders(runs)
    logs: dict[str, dict[int, Log]] = {}
    for stage in STAGE_TITLES:
        for seed, folder in [(0, runs)] if stage.endswith("pretrain") else seeds:
            path = folder / stage / "log.jsonl"
            if path.is_file() and (log := read_log(path)).records:
                logs.setdefault(stage, {})[seed] = log
    return logs


def seconds_spent(log: Log) -> float:
    """Time of training from images per second, so that a pause between two starts is left out."""
    total, before = 0.0, 0
    for record in log.records:
        if rate := record.get("images_per_s"):
            total += (record["iter"] - before) * log.about.get("batch_size", 0) / rate
        before = record["iter"]
    return total


def duration(seconds: float) -> str:
    """`48 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def loss_figures(logs: dict[str, dict[int, Log]]) -> list[dict]:
    """One curve per stage, in the order of training."""
    found = []
    for stage, seeds in logs.items():
        curves = {s: [(r["iter"], r["loss"]) for r in log.records] for s, log in seeds.items()}
        title = STAGE_TITLES[stage]
        found.append({"stage": title, "picture": figures.loss_curves(title, curves)})
    return found


def class_order(trained: PreparedSet) -> list[int]:
    """The classes from the one with the most training images to the one with the fewest."""
    return np.argsort(-np.asarray(trained.labels).sum(axis=0), kind="stable").tolist()


def gain_figure(
    found: dict[tuple[str, int], np.ndarray], labels: np.ndarray, trained: PreparedSet, ap: str
) -> figures.Picture | None:
    """AP of S-Cls (w/) - AP of S-Cls (w/o) per class and seed; None without both students.

    found: (row, seed) -> scores (N,K) on the test set; labels (N,K) of the test set.
    """
    seeds = [s for row, s in found if row == table.STUDENT and (table.DISTILLED, s) in found]
    if not seeds:
        return None
    gains = [
        metrics.class_average_precisions(found[table.DISTILLED, seed], labels, ap)
        - metrics.class_average_precisions(found[table.STUDENT, seed], labels, ap)
        for seed in seeds
    ]
    images = np.asarray(trained.labels).sum(axis=0, dtype=np.int64)
    return figures.class_gains(trained.classes, images, 100 * np.array(gains))


def read_detection(runs: pathlib.Path) -> dict | None:
    """The rows of test_det.py's table for the page, ours first; None if it has not been run.

    UserError if the file is not one of test_det.py's.
    """
    path = runs / "detection.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        columns = found["columns"]
        ours = [table.cell(found["mean"][c], found["std"][c]) for c in columns]
        quoted = [
            (name, "quoted", [table.cell(values.get(c)) for c in columns])
            for name, values in found["quoted"]["rows"].items()
        ]
        lines = [(found["row"], "ours", ours), *quoted]
        return {"columns": columns, "lines": lines, "notes": found["notes"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: expected the result of test_det.py; run it again") from None


def choose_examples(without: np.ndarray, with_: np.ndarray, count: int) -> list[int]:
    """Up to `count` images, evenly spread over those where the two students' top three differ.

    without, with_ (N,K): scores; nothing is said about who is right, so both kinds appear.
    """
    unlike = metrics.predict_top(without) != metrics.predict_top(with_)
    differ = np.flatnonzero(unlike.any(axis=1))
    if not len(differ):
        return []
    places = np.linspace(0, len(differ) - 1, min(count, len(differ)))
    return [int(differ[round(place)]) for place in places]


def best_boxes(
    rois: np.ndarray, s: np.ndarray, mask: np.ndarray, side: int, names: Sequence[str]
) -> list[dict]:
    """The PROPOSALS best proposals of one image by s' = s / max s, s = max over classes of S.

    rois (B,6): image index, inclusive corners x1 y1 x2 y2 in the net's side x side frame, score;
    s (B,K) in (0,1); mask (B,): 0 for a proposal, below 0 for padding. x, y, width, height in
    percent of the image.
    """
    confidence = np.where(mask < 0, -1.0, s.max(axis=1))
    order = np.argsort(-confidence, kind="stable")[:PROPOSALS]
    boxes = []
    for r in order[confidence[order] >= 0]:
        x1, y1, x2, y2 = (float(corner) for corner in rois[r, 1:5])
        place = {"x": x1, "y": y1, "width": x2 - x1 + 1, "height": y2 - y1 + 1}
        boxes.append(
            {
                **{name: round(100 * length / side, 2) for name, length in place.items()},
                "weight": float(confidence[r] / max(confidence.max(), 1e-12)),
                "label": names[int(s[r].argmax())],
            }
        )
    return boxes


def answers(p: np.ndarray, truth: np.ndarray, names: list[str]) -> list[dict]:
    """The three most probable labels of one image with p and whether they are right."""
    order = np.argsort(-p, kind="stable")[:3]
    return [{"label": names[k], "p": float(p[k]), "right": bool(truth[k])} for k in order]


def picture_of(image: np.ndarray) -> tuple[str, int, int]:
    """(JPEG data URI, width, height) of an image (H,W,3), longest side at most LONGEST_SIDE."""
    height, width = image.shape[:2]
    factor = min(1.0, LONGEST_SIDE / max(height, width))
    if factor < 1:
        size = (round(width * factor), round(height * factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
    return figures.data_uri(content, "image/jpeg"), image.shape[1], image.shape[0]


def teacher_boxes(feed: Feed, wanted: Sequence[int]) -> dict[int, list[dict]]:
    """Image number -> its best proposals, as `best_boxes` gives them; runs the net."""
    found = {}
    for images, view in feed.forward("proposals of the teacher", wanted):
        mask = feed.net.blobs["roi_mask"].data
        rois, s = (feed.net.blobs[name].data.reshape(*mask.shape, -1) for name in ("rois", "S"))
        for n, image in enumerate(images):
            found[image] = best_boxes(rois[n], s[n], mask[n], view.side, feed.set.classes)
    return found


def example(
    images: PreparedSet, index: int, boxes: list[dict], students: dict[str, np.ndarray]
) -> dict:
    """What the template shows of one image; students: row -> scores (N,K)."""
    jpeg, width, height = picture_of(images.read_image(index))
    truth = images.labels[index]
    return {
        "name": images.images[index],
        "jpeg": jpeg,
        "width": width,
        "height": height,
        "stroke": max(width, height) / 160,
        "boxes": boxes,
        "truth": [name for name, there in zip(images.classes, truth, strict=True) if there],
        "students": [
            {"name": row, "answers": answers(scores[index], truth, images.classes)}
            for row, scores in students.items()
        ],
    }


def run_facts(logs: dict[str, dict[int, Log]], result: dict) -> list[tuple[str, list[str]]]:
    """(name, lines) of the section "What was run"."""
    runs = [run for row in result["rows"] for run in row["runs"]]
    first = [next(iter(seeds.values())).about for seeds in logs.values()]
    times = []
    for stage, seeds in logs.items():
        mean = float(np.mean([seconds_spent(log) for log in seeds.values()]))
        times += [f"{STAGE_TITLES[stage]}: {duration(mean)}"] if mean else []
    started = sorted(about["started"] for about in first if "started" in about)
    facts = [
        ("Data set", [f"{result['dataset']}, {result['images']:,} test images"]),
        ("Seeds", [", ".join(map(str, sorted({run["seed"] for run in runs})))]),
        # One command may have trained several stages.
        ("Commands (first seed)", [*dict.fromkeys(a["command"] for a in first if "command" in a)]),
        ("Training time (per seed)", times),
        ("Training started", started[:1]),
        ("Trained on", sorted({about["hardware"] for about in first if "hardware" in about})),
        ("Evaluated on", [hardware()]),
        ("Weights", [run["weights"] for run in runs]),
        ("Written", [datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")]),
    ]
    return [(name, lines) for name, lines in facts if lines]


def headline(result: dict) -> str:
    """The result in one sentence, whichever way it went."""
    mean = {row["row"]: row["mean"]["mAP"] for row in result["rows"]}
    gains = {line["row"]: line["mean"]["mAP"] for line in result["differences"]}
    if gains.get(table.GAIN) is None:
        return "Evaluation of " + ", ".join(mean) + "."
    before, after = mean[table.STUDENT], mean[table.DISTILLED]
    verb = "raises" if after > before else "does not raise"
    text = (
        f"Distillation {verb} the student's mAP: {before:.1f} without, {after:.1f} with it "
        f"({after - before:+.1f} points)"
    )
    share = gains.get(table.SHARE)
    teacher = mean.get(table.TEACHER)
    if share is None or after <= before:
        return text + "."
    return text + f", {share:.0f}% of the way to the teacher's {teacher:.1f}."


def page(context: dict) -> str:
    """The HTML text of `report.html.j2`; every value is escaped."""
    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.j2").render(context)


def line_styles(result: dict) -> dict[str, int]:
    """The rows that have a line over recall and its style: more than seven could not be told."""
    others = [row["row"] for row in result["rows"] if row["row"] not in LINE_STYLES]
    return {**LINE_STYLES, **dict(zip(others, range(len(LINE_STYLES), 7), strict=False))}


def context_of(result: dict, **parts: object) -> dict:
    """What the template needs: the table and the parts facts, curves, gains and examples."""
    pool = min(EXAMPLE_POOL, result["images"])
    return {
        "title": f"Multi-label classification by distillation from detection: {result['dataset']}",
        "headline": headline(result),
        "table": result,
        "cell": table.cell,
        "interval": table.interval_cell,
        "styles": line_styles(result),
        "headings": table.headings(result),
        "lines": table.display_lines(result),
        "difference_lines": table.difference_lines(result),
        "notes": table.notes(result),
        "seeds": {run["seed"] for row in result["rows"] for run in row["runs"]},
        "examples_note": (
            f"Evenly drawn from those of the first {pool} test images for which the two students "
            f"give different top-three labels. Boxes: the teacher's {PROPOSALS} best proposals, "
            "the more opaque the larger s′. Lists: each student's three most probable labels."
        ),
        **parts,
    }


def source_of(*models: pathlib.Path) -> str:
    """The prepared set that the first of these nets which exists reads."""
    found = next((model for model in models if model.is_file()), models[-1])
    return read_net(found)[1]["source"]


def make_examples(
    candidates: Sequence[test_cls.Candidate],
    scores: dict[tuple[str, int], np.ndarray],
    options: argparse.Namespace,
) -> list[dict]:
    """Images with teacher and students of the first seed that has all three; none without one."""
    parts = [
        {c.seed: c for c in candidates if c.row == row}
        for row in (table.STUDENT, table.DISTILLED, table.TEACHER)
    ]
    seeds = set.intersection(*map(set, parts))
    if not seeds:
        return []
    first = min(seeds)
    students = {row: scores[row, first] for row in (table.STUDENT, table.DISTILLED)}
    pools = [p[:EXAMPLE_POOL] for p in students.values()]
    wanted = choose_examples(*pools, options.examples)
    if not wanted:
        return []
    teacher = parts[-1][first]
    feed = Feed(teacher.model, teacher.weights, options.folder, options.batch_size)
    boxes = teacher_boxes(feed, wanted)
    return [example(feed.set, index, boxes[index], students) for index in wanted]


def run(options: argparse.Namespace) -> pathlib.Path:
    """Evaluate what is not evaluated yet and write the page."""
    check_dataset(options.dataset)
    test_cls.set_device(options.gpu)
    runs = pathlib.Path(options.runs or f"out/{options.dataset}")
    models = pathlib.Path("models", options.dataset)
    candidates = test_cls.find_candidates(runs, models, options.folder)
    rules, view_plan = test_cls.conventions(options), test_cls.view_plan_of(options)
    logs = read_logs(runs)
    evaluated, found, labels = test_cls.evaluate_all(
        candidates, rules, options.batch_size, view_plan, options.bootstrap
    )
    result = table.build_table(options.dataset, evaluated, rules, view_plan.describe())
    own = runs / f"seed{candidates[0].seed}" / "student" / "train.prototxt"
    trained = PreparedSet(source_of(own, models / "student" / "train.prototxt"))
    styled = {key: scores for key, scores in found.items() if key[0] in line_styles(result)}
    context = context_of(
        result,
        facts=run_facts(logs, result),
        curves=loss_figures(logs),
        gains=gain_figure(found, labels, trained, rules.ap),
        precisions=precision_recall.class_curves(
            styled, labels, trained.classes, class_order(trained), rules.ap
        ),
        detection=read_detection(runs),
        examples=make_examples(candidates, found, options),
    )
    out = pathlib.Path(options.out or runs / "report.html")
    write_atomically(out, page(context).encode())
    return out


def parser() -> argparse.ArgumentParser:
    """The command line of report.py."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    test_cls.add_evaluation_options(made)
    made.add_argument("--out", help="the page (default: <runs>/report.html)")
    made.add_argument(
        "--examples", type=natural, default=6, help="images shown (default: %(default)s)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 after one line that says what is wrong."""
    options = parser().parse_args(arguments)
    return exit_code("report.py", lambda: print(f"wrote {run(options)}"))


if __name__ == "__main__":
    sys.exit(main())

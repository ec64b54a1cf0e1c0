"""Mini-batches for the memory of a GPU: what models/<dataset>/presets.json says of a stage.

`batch_size` * `iter_size` is the same for all memories, so rates and schedule stay right.
models/presets.py computes the file; nothing in it was measured on a GPU.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from errors import UserError


def of_stage(folder: Path, memory: str) -> dict:
    """{batch_size, iter_size, recompute} of the stage in a folder of models/, for so many GB.

    Raises UserError where there is no such preset, or where not even one image fits.
    """
    path = folder.parent / "presets.json"
    if not path.is_file():
        raise UserError(
            f"--memory {memory}: expected presets in {path}, got no such file; give --batch-size "
            "and --iter-size, or run: python models/generate.py"
        )
    presets = json.loads(path.read_text(encoding="utf-8")).get(folder.name, {})
    if memory not in presets:
        known = f"those of {', '.join(presets)} GB" if presets else "none"
        raise UserError(
            f"--memory {memory}: expected a preset of {folder}, {path} has {known}; give one of "
            "them, or --batch-size and --iter-size"
        )
    preset = presets[memory]
    if "batch_size" not in preset:
        raise UserError(
            f"--memory {memory}: {folder} takes {preset['bytes'] / 2**30:.1f} GiB for one image "
            "even with --recompute (computed); give smaller --scales or --precision bf16 together "
            "with --batch-size 1, --iter-size and --recompute, or take a GPU with more memory"
        )
    return preset


def with_sizes(options: argparse.Namespace, folder: Path) -> argparse.Namespace:
    """The options for the stage in `folder`: as they are, or with the sizes that --memory means.

    --batch-size or --iter-size stand against the preset's, both of them.
    """
    if options.memory is None or options.batch_size or options.iter_size:
        return options
    preset = of_stage(folder, options.memory)
    changed = argparse.Namespace(**vars(options))
    changed.batch_size, changed.iter_size = preset["batch_size"], preset["iter_size"]
    changed.recompute = options.recompute or preset["recompute"]
    return changed

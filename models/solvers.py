"""The solvers: how long each stage learns, and how fast."""

from typing import Any

from datasets import DEMO_OBJECTS, DEMO_TEST_BATCH, Dataset, Recipe

from caffe.proto import caffe_pb2


def schedule(recipe: Recipe, max_iter: int) -> dict[str, Any]:
    if not recipe.drops:
        return {"lr_policy": "poly", "power": 1}
    steps = [round(part * max_iter) for part in recipe.drops]
    return {"lr_policy": "multistep", "stepvalue": steps, "gamma": 0.1}


def solver(dataset: Dataset, stage: str, images: int) -> caffe_pb2.SolverParameter:
    recipe = dataset.recipes[stage]
    steps_per_epoch = -(-images // recipe.batch)
    max_iter = round(recipe.epochs * steps_per_epoch)
    return caffe_pb2.SolverParameter(
        net=f"models/{dataset.folder}/{stage}/train.prototxt",
        base_lr=recipe.base_lr,
        max_iter=max_iter,
        display=20,
        snapshot=steps_per_epoch,
        snapshot_prefix=f"out/{dataset.folder}/{stage}/{stage.rpartition('/')[2]}",
        random_seed=1,
        **schedule(recipe, max_iter),
        **dataset.solver,
    )


def pretrain_solver(dataset: Dataset) -> caffe_pb2.SolverParameter:
    message = solver(dataset, "pretrain", DEMO_OBJECTS["train"])
    message.test_net.append(f"models/{dataset.folder}/pretrain/test.prototxt")
    message.test_iter.append(DEMO_OBJECTS["test"] // DEMO_TEST_BATCH)
    message.test_interval = message.snapshot
    message.test_initialization = False
    return message

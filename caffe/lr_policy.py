"""Learning-rate policies: `lr_policy` of a SolverParameter."""

import math

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

# The fields without which a policy means nothing; Caffe would read them as 0.
_NEEDS = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power", "max_iter"),
    "sigmoid": ("gamma", "stepsize"),
}
_NOT_ZERO = ("stepsize", "stepvalue", "max_iter")


def check(param: caffe_pb2.SolverParameter, where: str) -> None:
    """Raise CaffeError, with `where` in front, unless the policy is known and complete."""
    if param.lr_policy not in _NEEDS:
        raise CaffeError(
            f'{where}: unknown lr_policy "{param.lr_policy}"; expected one of {", ".join(_NEEDS)}'
        )
    if not param.HasField("base_lr"):
        raise CaffeError(f"{where}: base_lr is missing")
    for field in _NEEDS[param.lr_policy]:
        value = getattr(param, field)
        given = value if field in _NOT_ZERO else param.HasField(field)
        if not given:
            raise CaffeError(f'{where}: lr_policy "{param.lr_policy}" needs {field}')


def current_step(param: caffe_pb2.SolverParameter, iteration: int) -> int:
    """How many drops of the rate lie behind `iteration` ("step" and "multistep"; otherwise 0)."""
    if param.lr_policy == "step":
        return iteration // param.stepsize
    if param.lr_policy == "multistep":
        return sum(iteration >= value for value in param.stepvalue)
    return 0


def learning_rate(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    """The rate of update number `iteration` (from 0), before any lr_mult.

    fixed       base_lr
    step        base_lr * gamma ^ floor(iteration / stepsize)
    multistep   base_lr * gamma ^ (how many stepvalue are <= iteration)
    exp         base_lr * gamma ^ iteration
    inv         base_lr * (1 + gamma * iteration) ^ -power
    poly        base_lr * (1 - iteration / max_iter) ^ power
    sigmoid     base_lr / (1 + exp(-gamma * (iteration - stepsize)))

    Source: Caffe's SGDSolver::GetLearningRate.
    """
    base, gamma, power = param.base_lr, param.gamma, param.power
    policy = param.lr_policy
    if policy in ("step", "multistep"):
        return base * gamma ** current_step(param, iteration)
    if policy == "exp":
        return base * gamma**iteration
    if policy == "inv":
        return base * (1 + gamma * iteration) ** -power
    if policy == "poly":
        # Past max_iter the base would be negative, and its power not a real number.
        return base * max(0.0, 1 - iteration / param.max_iter) ** power
    if policy == "sigmoid":
        return base / (1 + math.exp(-gamma * (iteration - param.stepsize)))
    return base

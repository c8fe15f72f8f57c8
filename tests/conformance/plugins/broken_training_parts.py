"""What `broken_training` offers."""

from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR


def no_optimizer(options, context):
    return context


def matrices_only(options, context):
    return SGD(context.groups[:1], lr=context.lr)


def ascends(options, context):
    return SGD(context.groups, lr=context.lr, maximize=True)


class Forgetful(SGD):
    """Leaves its momentum out of its state."""

    def __init__(self, options, context):
        super().__init__(context.groups, lr=context.lr, momentum=0.9)

    def state_dict(self):
        return super().state_dict() | {"state": {}}


def one_rate(options, context):
    for group in context.optimizer.param_groups:
        group["lr"] = 0.1
    return LambdaLR(context.optimizer, lambda step: 1.0)


def below_zero(options, context):
    return LambdaLR(context.optimizer, lambda step: 1 - step)


class StartsAgain(LambdaLR):
    """Forgets where it was."""

    def __init__(self, options, context):
        super().__init__(context.optimizer, lambda step: 1 / (1 + step))

    def load_state_dict(self, state_dict):
        pass

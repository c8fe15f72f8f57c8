"""A whole run, and what it leaves.

runner              from a plan to a run directory
build               a plan's data set, backbones, task and metrics, built
usable_data         which samples of a new run's data can be used
callbacks           the callbacks of a run as one
results             what came of it
directory           its files; artifacts: its model, written and loaded
validation          what is taken for a run's folder, and is none
kept_samples        which samples it had
own_data            its own data, found again and compared; named_data: those that a user names
resumed             the configuration of a run that goes on
cross_validation    a run for each fold
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

"""A whole run, and the files that it writes.

runner              from a plan to a run directory
build               builds a plan's data set, backbones, task and metrics
usable_data         which samples of a new run's data can be used
rehearsal           a few samples through what a run will call, before it trains
callbacks           all callbacks of a run as one
results             results.json
directory           the files of a run
artifacts           the model: saved and loaded
validation          whether a folder is a run, and what else it may be
kept_samples        which samples the run had
own_data            the run's own data, found again and compared
named_data          data that a user names for a run's model
resumed             the configuration of a resumed run
cross_validation    a run for each fold
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

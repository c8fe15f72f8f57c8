"""From settings to a plan: everything that a run will do, chosen before a weight loads.

trees           settings as trees: TOML, --set; merging them
engine_config   the engine's settings, typed
layers          whose word counts: recommendations lie below what a user sets
options         typed options of components, from their annotations
generation      those of whatever writes text
dataset_choice  which data set a path, a name or nothing stands for
compat          whether the chosen parts fit, by their specs alone
plan            what a run is decided by
places          settings that are paths, kept so that they still lead there from elsewhere
resolving       all of it put together: from a tree to a plan
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

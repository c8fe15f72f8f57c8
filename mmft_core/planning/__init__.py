"""From settings to a plan: everything that a run will do, chosen before a weight loads.

config          settings as trees: TOML, --set, and the engine's own as a dataclass
layers          whose word counts: recommendations lie below what a user sets
options         typed options of components, from their annotations
dataset_choice  which data set a path, a name or nothing stands for
fold_choice     which fold, of how many
compat          whether the chosen parts fit, by their specs alone
plan            all of it put together
"""

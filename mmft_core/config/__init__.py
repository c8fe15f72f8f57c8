"""From settings to a plan: everything that a run will do, chosen before weights are loaded.

trees           settings as trees: TOML, --set; merging them
engine_config   the engine's settings, typed
layers          precedence: the user's settings override recommendations
options         typed options of components, read from their annotations
generation      options for generating text
chosen          what is chosen by a list of names, with options in tables of their own
dataset_choice  the data set that a path, a name, or neither stands for
compat          whether the chosen parts fit together, judged by their specs
plan            the choices that make up a run
places          settings that are paths, stored so that they work from other folders
setting_names   finds keys that name no setting, and suggests one
resolving       puts all of this together: from a tree to a plan
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

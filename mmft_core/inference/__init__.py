"""Using a run's model.

opening                     a finished model, a run's or an export's
finished                    what `mmft eval` and `mmft predict` do with it
predictor                   the model, for new samples
sources, named, downloads   what a user points it at: files, folders, texts, addresses
pieces                      inputs that are too long to be predicted at once
recalling                   features that were kept when it was trained
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

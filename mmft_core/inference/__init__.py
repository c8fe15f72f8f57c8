"""Using a finished model.

opening                     opens the model of a run or an export
finished                    evaluation and prediction, as `mmft eval` and `mmft predict` do it
predictor                   computes predictions
sources, named, downloads   what a user gives as input: files, folders, texts, addresses
pieces                      inputs that are too long to be predicted at once
recalling                   features that were stored in training
adapter_sets                adapters of several runs on one base
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

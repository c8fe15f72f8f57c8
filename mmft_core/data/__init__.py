"""Samples: dividing and checking them, and telling whether they have changed.

splits, split_names, groups                dividing samples
fold_choice, folds                         which fold, of how many
soundness, remarks, class_counts           finding samples that cannot be used, and what is odd
number_targets                             targets that are numbers
fingerprints, likeness                     telling whether samples have changed
tables, parquet_size                       which files and folders are tables, and how large
chunks                                     working on all samples, on all cores
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

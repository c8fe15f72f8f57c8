"""Samples: dividing them, checking them, and detecting changes.

splits, split_names, groups                dividing samples into splits
fold_choice, folds                         dividing training data for cross-validation
soundness, remarks, class_counts           finding samples that are bad or odd
number_targets                             targets that are numbers
fingerprints, likeness                     detecting samples that have changed
tables, parquet_size                       recognising tables, and limiting their size
chunks                                     processing all samples on all CPU cores
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

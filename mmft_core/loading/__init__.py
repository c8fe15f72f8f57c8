"""From samples to batches.

grouping                            the order of an epoch, and which samples go together
batch_sampler, token_batch_sampler  batches of a fixed number of samples, or of a total size
sampler_choice                      chooses between the two
prepared, lengths                   samples as tensors, and how long they are
similar_lengths                     batches for prediction, nearly in order
loaders                             preparing samples in worker processes
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

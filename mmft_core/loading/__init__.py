"""From samples to batches.

grouping                            the order of an epoch, and which samples go together
batch_sampler, token_batch_sampler  which of them a step sees: so many, or so much
sampler_choice                      which of the two
prepared, lengths                   samples as networks take them, and how they are put together
loaders                             the same in worker processes
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

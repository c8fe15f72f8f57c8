"""Several processes that train together, torch's and Accelerate's.

comm                 ranks, and what the processes agree on
failure_propagation  one process that fails ends all
signals              a signal to one of them stops all after the same step
collectives          what is computed together, with gradients
batch_norm           batch norm over all of them
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

"""Training in several processes, beyond what torch and Accelerate do.

comm                 ranks, and exchanging decisions
failure_propagation  if one process fails, all end
signals              a signal to one process stops all of them after the same step
collectives          computing with the tensors of all processes, with gradients
batch_norm           batch norm over the samples of all processes
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

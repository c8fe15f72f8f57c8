"""Training a task: the loop and its parts.

loop                                the loop
state                               task, optimizer, schedule and progress, kept and restored
optim, device, losses, monitor      what it is made of
evaluation, top_examples            evaluating a split; the samples that a report shows
metrics_log                         the metrics of a training, line by line
tuning, lora, kept_weights          what is trained, by which adapters, and what of it is kept
checkpoint                          a training on disk
parallel                            how several processes hold the task
sharded_state, sharded_checkpoint   a training of which every process holds a part
memory, fitting_batch               memory that is not given back; what fits when it ran out
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

"""Training a task: the loop and its parts.

loop                                the loop
state                               task, optimizer, schedule and progress, saved and restored
optim, device, losses, monitor      the parts of the loop
evaluation, top_examples            evaluating a split; the samples that a report shows
metrics_log                         the metrics of a training, line by line
tuning, lora, kept_weights          which layers are trained, adapters, and what is saved
checkpoint                          the state of a training on disk
parallel                            how several processes hold the task
sharded_state, sharded_checkpoint   the state of a training that is divided among processes
memory, fitting_batch               reusing freed memory; the batch size that fits after an error
memory_estimate, described          estimating memory by steps that are not computed
values, device_memory               which tensors hold numbers; the memory of a device
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

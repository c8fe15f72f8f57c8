"""Training a task: the loop and its parts.

loop                                the loop
state                               task, optimizer, schedule and progress, saved and restored
optim, device, losses, monitor      the parts of the loop
evaluation, top_examples            evaluating a split; the samples that a report shows
metrics_log                         the metrics of a training, line by line
tuning, lora, kept_weights          what is trained, with which adapters, and what is saved
checkpoint                          the state of a training on disk
parallel                            how several processes hold the task
sharded_state, sharded_checkpoint   the state of a training that is divided among processes
memory, fitting_batch               keeping freed memory; the batch size that fits after an error
memory_estimate, described          the memory of a training, by steps that are not computed; and
values, device_memory               which tensors hold numbers, and what a device has
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

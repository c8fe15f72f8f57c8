"""Several processes that train together, torch's and Accelerate's.

processes    who is there, and what they agree on
fate         one that fails ends all
collectives  what is computed together, with gradients
batch_norm   batch norm over all of them
"""

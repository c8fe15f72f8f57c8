"""From samples to batches.

order           in which an epoch reads its samples, and in what company
windows, sized  which of them a step sees: so many, or so much
window_choice   which of the two
prepared        samples as networks take them, and how they are put together
loaders         the same in worker processes
"""

"""From samples to batches.

order           in which an epoch reads its samples, and in what company
windows, sized  which of them a step sees: so many, or so much
window_choice   which of the two
loading         samples prepared and put together, in worker processes
"""

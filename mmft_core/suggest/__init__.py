"""`mmft suggest`: which backbone to choose, measured on the user's data and machine.

candidates.py   which backbones could do the task, each with its plan
measuring.py    one of them in a process of its own: weights, probe, speed, memory
probe.py        how much a linear model makes of a sample's features
"""

from mmft_core.suggest.candidates import Candidate, candidates
from mmft_core.suggest.measuring import Measured, measure, missing_weights

__all__ = ["Candidate", "Measured", "candidates", "measure", "missing_weights"]

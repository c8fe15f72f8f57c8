"""Features of frozen backbones, computed once and stored.

A frozen backbone gives the same features for a sample in every epoch. They are computed once,
stored in the user's cache and memory-mapped; `attach_features` replaces the inputs by them. Tasks
need not know, because a backbone that is called with stored features returns them.

    identity.py     what must be equal for features to be shared: network, weights, preprocessing
    store.py        the files, and the place of each sample in them
    reading.py      stored features as a split and a processor
    computing.py    computes features that are missing
    attach.py       chooses the backbones whose features are stored
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

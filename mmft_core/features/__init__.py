"""Features of frozen backbones, computed once and kept.

A frozen backbone gives the same features for a sample each epoch, so they are computed once, kept
in files of the user's cache and memory-mapped from then on; `attach_features` puts them in the
place of the inputs. A task notices nothing, for a backbone that is called with stored features
hands them on.

    identity.py     of which network, weights and preprocessing features are
    store.py        the files, and where a sample's row lies in them
    reading.py      stored features as a split and a processor
    computing.py    the features that are missing
    attach.py       which backbones of a run it is done for
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

"""Where a backbone's weights come from.

request     what the user asked for, and finding and loading it
hub         the Hugging Face Hub
http        whether a server answers
undrawn     networks without random weights, for those that are read
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

"""The weights of backbones.

request     what the user asked for; finding and loading it
hub         the Hugging Face Hub
http        whether a server can be reached
undrawn     building networks without drawing random weights that will be replaced
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

from . import comm as comm
from .collectives import gathered as gathered

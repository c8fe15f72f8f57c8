"""What belongs to no room of its own: files and folders, text, packages, memory.

files, folders, digests, cache  writing whole files; reading folders; what files hold, kept
expansion                       how large packed files may become
escaping, numbers               foreign text made harmless; numbers as a reader likes them
extras                          packages that not everybody needs
logging, memory_errors          libraries kept quiet; whether an error is of memory
safe_path                       child processes import nothing from the current folder
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

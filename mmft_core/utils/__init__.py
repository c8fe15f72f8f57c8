"""Utilities that several packages use: files and folders, text, optional packages, memory.

files, folders, digests, cache  writing and reading files safely; caching
expansion                       limits for the unpacked size of archives
escaping, numbers               making text from others safe to print; formatting numbers
extras                          optional packages
logging, memory_errors          silencing libraries; recognising errors about memory
public_names                    a package's public names, imported on first use
safe_path                       keeps child processes from importing from the current folder
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

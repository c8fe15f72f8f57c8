"""The command line: the core's commands, and those that plugins add.

command_line                        `mmft`: finds the command and reports errors
run, eval, predict, plugins         the core's commands
settings                            command-line options that become settings
display, terminal, tables, summary  output during a command and after it
stdin, fetching, writers, captions  what `predict` reads, and how it writes
"""

from mmft_core.utils.public_names import on_demand

__getattr__ = on_demand(__name__, __file__)

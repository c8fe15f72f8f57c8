"""`python -m mmft_core` runs the command `mmft`."""

from mmft_core.cli.command_line import main

main()

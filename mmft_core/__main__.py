"""`python -m mmft_core` is the command `mmft`."""

from mmft_core.cli import main

main()

"""Existing runs: found below a folder, listed and compared, without torch.

finding      every run, fold and trial below a folder, and in what state each is
differences  figures and settings of some side by side
page         the same as HTML, with their curves laid over each other
"""

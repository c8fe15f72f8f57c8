"""Metrics of torchmetrics as metrics of mmft.

A library of the built-in plugins; it declares no components of its own.
"""

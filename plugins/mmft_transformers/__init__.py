"""Networks of transformers, whatever the modality: found, fetched, loaded, cut into layers.

A library of the built-in plugins; it declares no components of its own.
"""

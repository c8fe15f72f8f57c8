"""Passing a finished run on: as a folder for a model hub, or as a pip package."""

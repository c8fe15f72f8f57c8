"""Exports: a model's computing as graphs that other runtimes load, and the way back to a task.

A task says which of its parts are graphs (`Task.graphs`), a format writes and runs them, and a task
without weights takes the runners in (`Task.adopt`): so whatever uses a run uses an export.
"""

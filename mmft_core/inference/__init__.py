"""Using a run's model.

predictor   the model of a run directory or an export, for new samples
sources     what a user points it at: files, folders, texts
pieces      inputs that are too long to be predicted at once
"""

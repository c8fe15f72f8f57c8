"""Trackers: tools that keep the figures of many runs, told of ours where the user wants it.

    options      `[tracking]`: which of them, and where
    tracker      what one is told: the contract
    identity     by what name and in what group a run is known
    following    follows `metrics.jsonl`, and keeps what a tool does wrong away from the training
    tensorboard, mlflow, wandb      one each, imported on use

`metrics.jsonl` is the truth, and trackers are told what it holds. A training that goes on tells
them what they lack, and nothing twice.
"""

"""`mmft data check`, `clean` and `split`: what is wrong with data, before anything is trained.

choosing.py     which data set a path is, without a task
looking.py      every sample's traits, in worker processes
profiles.py     how alike the profiles of two inputs are
duplicates.py   exact and near duplicates, leaks between splits, contradicting labels
labels.py       missing and rare classes, and labels that a simple model contradicts
sizes.py        inputs and targets that are far longer than the others
checking.py     all of it, in the order of its report
page.py         the report to be looked at
cleaning.py     what is to be removed, and why
cutting.py      inputs that are too long, in pieces
tables_left.py  writing what is left, as CSV or Parquet
splitting.py    dividing rows by class, group or time, or into folds
"""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="data",
            summary="Check a data set before training, clean it, or split it.",
            build="mmft_data_check.command:data",
            section="Data",
        ),
    ]

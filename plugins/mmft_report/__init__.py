"""How runs are shown: their report and model card, lists and comparisons.

    callback            writes what follows, when a run or a cross-validation is finished
    collect             from a finished run to all that its report shows, `content`
    page, card, folds   the report, the model card, the report of a cross-validation
    runs                `mmft runs`: runs, listed and compared

Report and card know no modality and no task: metrics are shown by their shape (a number, one for
each class, a matrix over classes), predictions by the shape of their record, inputs by the MIME
type of their preview. What is missing is left out.

Plugins that show pages of their own build on `templating`, `page.policy`, `svg`, `scatter`,
`gallery.shown` and `wording`. Charts and wording need no torch, so nothing is imported here.
"""

from mmft_core import CallbackSpec, CommandSpec, hookimpl


@hookimpl
def register_callback() -> list[CallbackSpec]:
    return [
        CallbackSpec(
            name="report",
            summary="report.html and the model card of every run",
            build="mmft_report.callback:Report",
            default=True,
        ),
    ]


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="runs",
            summary="List and compare runs.",
            build="mmft_report.runs_command:runs",
            section="Training",
        ),
    ]

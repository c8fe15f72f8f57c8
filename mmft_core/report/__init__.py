"""The report and the model card of a run.

    content = collect_content(...)      what a run came to, in one object
    write_report(run, content)          run/report.html: one page that needs nothing else
    write_card(run, content)            run/README.md: a model card

Both know no modality and no task: figures are shown by their shape (a number, one for each class,
a matrix over classes), predictions by the shape of their record, inputs by the MIME type of their
preview. What is missing is left out.
"""

from mmft_core.report.card import write_card
from mmft_core.report.collect import collect_content, write_report_and_card
from mmft_core.report.content import ReportContent, ReportExample, ReportRelated
from mmft_core.report.page import write_report

__all__ = [
    "ReportContent",
    "ReportExample",
    "ReportRelated",
    "collect_content",
    "write_card",
    "write_report",
    "write_report_and_card",
]

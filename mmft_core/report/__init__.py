"""The report and the model card of a run.

    content = collect_content(...)      what a run came to, in one object
    write_report(run, content)          run/report.html: one page that needs nothing else
    write_card(run, content)            run/README.md: a model card

Both know no modality and no task: figures are shown by their shape (a number, one for each class,
a matrix over classes), predictions by the shape of their record, inputs by the MIME type of their
preview. What is missing is left out. Charts and wording need no torch, so nothing is imported here.
"""

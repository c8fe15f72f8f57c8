"""A finished model behind HTTP: `mmft serve`.

    connection: deadlines, a number that files allow                              event loop
         │
    HTTP request ──► exchange: id, log ──► gates: key, bytes ──► body, whole        event loop
                                                                   │
         admission: is there room in the queue? ◄──────────────────┘                event loop
                    │
         form or JSON, measured and parsed ──► Inputs: raw inputs, within limits    threads
                                                 │
                            ServedModel.prepare ─┴─► Batcher                        threads
                                                       │
    HTTP answer ◄─────── record, neighbours ◄──────────┘                            one thread

What is asked and answered follows from the model's processors and its task's records, so the model
of any plugin is served. The model is called as a function from batches to predictions, in one place
(`Compute`), where an exported network can take torch's place.
"""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="serve",
            summary="Serve a finished run over HTTP, with a page to try it out.",
            build="mmft_serve.command:serve",
            section="Deployment",
            extras=("serve",),
        ),
    ]

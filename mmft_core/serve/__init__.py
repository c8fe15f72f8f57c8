"""A finished model behind HTTP: `mmft serve`.

    HTTP request ──► gates: key, bytes ──► admission: is there room in the queue?
                          │
         form or JSON ──► request ──► Inputs: raw inputs, within limits       threads prepare
                                          │
                            ServedModel.prepare ──► Batcher                   one thread computes
                                                       │
    HTTP answer ◄─────── record, neighbours ◄──────────┘

What is asked and answered follows from the model's processors and its task's records, so the model
of any plugin is served. The model is called as a function from batches to predictions, in one place
(`Compute`), where an exported network can take torch's place.
"""

"""The lengths of prepared samples, by which samples of similar length share a batch.

Character counts are a rough measure: batches of texts with similar numbers of characters are 15%
padding, with similar numbers of tokens 3%.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from mmft_core.contracts import Processor, Split, TargetCodec
from mmft_core.data.chunks import in_chunks
from mmft_core.data.splits import of_each
from mmft_core.errors import SampleError


def measure(
    split: Split, processors: Mapping[str, Processor], codec: TargetCodec, *, alone: bool = False
) -> Sequence[float] | None:
    """(n,) the lengths of inputs and target together.

    Where a processor does not tell, they are the sizes that the split knows, which are rougher;
    None if it knows none. Processes that train together each measure their share.

    Args:
        alone: whether this process measures all, of samples that are its own.
    """
    told = lengths_told(split, processors, codec, alone=alone)
    return of_each(split, "sizes") if told is None else told


def lengths_told(
    split: Split, processors: Mapping[str, Processor], codec: TargetCodec, *, alone: bool = True
) -> Sequence[float] | None:
    """(n,) the lengths of samples, by default a process's own; None where a processor tells none.

    Tokenizers release Python's lock, so threads suffice.
    """

    none_told = threading.Event()

    def of_chunk(chunk: range) -> list[int] | None:
        lengths = []
        for index in chunk:
            length = None
            if not none_told.is_set():
                length = _measure_sample(split, index, processors, codec)
            if length is None:
                none_told.set()  # So that no other chunk reads its first sample.
                return None
            lengths.append(length)
        return lengths

    found: list[float] = []
    for part in in_chunks(len(split), of_chunk, alone=alone):
        if part is None:
            return None
        found += part
    return found


def _measure_sample(
    split: Split, index: int, processors: Mapping[str, Processor], codec: TargetCodec
) -> int | None:
    try:
        sample = split[index]
        length = 0 if sample.target is None else codec.measure(sample.target)
        for modality, processor in processors.items():
            raw = sample.inputs.get(modality)
            own = 0 if raw is None else processor.measure(raw)
            if own is None:
                return None
            length += own
        return length
    except (SampleError, ValueError):  # Reported by the check of the data.
        return 0

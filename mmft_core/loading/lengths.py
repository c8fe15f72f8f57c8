"""The lengths of prepared samples, by which samples of similar length share a batch.

Character counts are a rough measure: batches of texts with similar numbers of characters are 15%
padding, with similar numbers of tokens 3%.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mmft_core import cpus
from mmft_core.contracts import Processor, Split, TargetCodec
from mmft_core.data.splits import of_each
from mmft_core.distributed import comm
from mmft_core.errors import SampleError

_CHUNK = 256


def measure(
    split: Split, processors: Mapping[str, Processor], codec: TargetCodec
) -> Sequence[float] | None:
    """(n,) the lengths of inputs and target together.

    Where a processor does not tell, they are the sizes that the split knows, which are rougher;
    None if it knows none. Processes that train together each measure their share.
    """
    chunks = _chunks(split)
    own = comm.share(chunks)
    lengths: dict[int, list[int]] = {}
    for part in comm.gather(dict(_measure(split, processors, codec, own))):
        lengths |= part
    joined = _joined(lengths, chunks)
    return of_each(split, "sizes") if joined is None else joined


def measure_here(
    split: Split, processors: Mapping[str, Processor], codec: TargetCodec
) -> Sequence[float] | None:
    """`measure` by this process alone, of samples that are its own."""
    told = lengths_told(split, processors, codec)
    return of_each(split, "sizes") if told is None else told


def lengths_told(
    split: Split, processors: Mapping[str, Processor], codec: TargetCodec
) -> Sequence[float] | None:
    """(n,) the lengths of a process's own samples; None where a processor does not tell."""
    chunks = _chunks(split)
    return _joined(dict(_measure(split, processors, codec, chunks)), chunks)


def _chunks(split: Split) -> range:
    return range(0, len(split), _CHUNK)


def _joined(lengths: Mapping[int, list[int]], chunks: range) -> Sequence[float] | None:
    if len(lengths) < len(chunks):
        return None
    return [length for start in chunks for length in lengths[start]]


def _measure(
    split: Split, processors: Mapping[str, Processor], codec: TargetCodec, chunks: range
) -> Iterator[tuple[int, list[int]]]:
    """The lengths by where a chunk starts, up to the first that a processor does not tell.

    Tokenizers release Python's lock, so threads suffice.
    """
    with ThreadPoolExecutor(cpus.available()) as pool:
        of_chunk = partial(_measure_chunk, split, processors, codec)
        for start, found in zip(chunks, pool.map(of_chunk, chunks), strict=True):
            if found is None:
                pool.shutdown(cancel_futures=True)
                return
            yield start, found


def _measure_chunk(
    split: Split, processors: Mapping[str, Processor], codec: TargetCodec, start: int
) -> list[int] | None:
    lengths = []
    for index in range(start, min(start + _CHUNK, len(split))):
        length = _measure_sample(split, index, processors, codec)
        if length is None:
            return None
        lengths.append(length)
    return lengths


def _measure_sample(
    split: Split, index: int, processors: Mapping[str, Processor], codec: TargetCodec
) -> int | None:
    try:
        sample = split[index]
        length = 0 if sample.target is None else codec.measure(sample.target)
        for modality, processor in processors.items():
            raw = sample.inputs[modality]
            own = 0 if raw is None else processor.measure(raw)
            if own is None:
                return None
            length += own
        return length
    except (SampleError, ValueError):  # Reported by the check of the data.
        return 0

"""A small corpus of real digits, documentation strings and tones, clean and with planted faults."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageEnhance

Faults = set[tuple[str, str]]
"""(kind, the end of the id)."""

RATE = 16_000


def images(folder: Path, faulty: bool) -> Faults:
    """Class folders of digits, in train/ and test/."""
    from sklearn.datasets import load_digits

    data = load_digits()
    places: dict[str, list[Path]] = {"train": [], "test": []}
    for k, (pixels, label) in enumerate(zip(data.images, data.target, strict=True)):
        if k >= 900 or label > 4:
            continue
        split = "test" if k % 4 == 0 else "train"
        file = folder / split / f"digit {label}" / f"{k:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((pixels * 15).astype(np.uint8)).resize((64, 64), 3)
        picture.save(file)
        places[split].append(file)
    return _plant_in_images(folder, places["train"]) if faulty else set()


def _plant_in_images(folder: Path, train: list[Path]) -> Faults:
    found: Faults = set()
    free = iter(train[::7])

    def add(kind: str, file: Path) -> None:
        found.add((kind, str(file.relative_to(folder))))

    for number, content in enumerate((b"", b"no picture", train[0].read_bytes()[:90])):
        file = train[0].parent / f"broken{number}.png"
        file.write_bytes(content)
        add("unreadable", file)
    for number in range(4):
        source = next(free)
        add("duplicate", Path(shutil.copy(source, source.with_name(f"z copy{number}.png"))))
    for number in range(4):
        source = next(free)
        copy = folder / "test" / source.parent.name / f"leak{number}.png"
        shutil.copy(source, copy)
        add("leak", source)
    for number in range(3):
        source = next(free)
        other = next(p for p in (folder / "train").iterdir() if p != source.parent)
        copy = Path(shutil.copy(source, other / f"conflict{number}.png"))
        add("conflict", copy)
        add("conflict", source)
    changes: list[Callable[[Image.Image], Image.Image]] = [
        lambda picture: picture.resize((80, 80)),
        lambda picture: ImageEnhance.Brightness(picture).enhance(0.8),
        lambda picture: picture.resize((48, 48)),
    ]
    for number, change in enumerate(changes):
        source = next(free)
        with Image.open(source) as picture:
            copy = source.with_name(f"z near{number}.jpg")
            change(picture.convert("RGB")).save(copy, quality=92)
        add("near-duplicate", copy)
        source = next(free)
        with Image.open(source) as picture:
            copy = folder / "test" / source.parent.name / f"near{number}.jpg"
            change(picture.convert("RGB")).save(copy, quality=92)
        add("near-leak", source)
    for number, grey in enumerate((0, 128, 255)):
        file = train[1].parent / f"blank{number}.png"
        Image.new("L", (64, 64 + number), grey).save(file)
        add("blank", file)
    for number, shape in enumerate(((900, 20), (12, 400))):
        file = train[2].parent / f"strip{number}.png"
        noise = np.random.default_rng(number).integers(0, 255, shape[::-1], dtype=np.uint8)
        Image.fromarray(noise).save(file)
        add("extreme-shape", file)
    for number, high in enumerate((65535, 900)):
        file = train[3].parent / f"deep{number}.png"
        noise = np.random.default_rng(20 + number).integers(0, high, (64, 64))
        Image.fromarray(noise.astype(np.uint16)).save(file)
    add("flat", file)
    for number in range(2):
        file = train[3].parent / f"film{number}.gif"
        noise = np.random.default_rng(30 + number).integers(0, 255, (2, 64, 64), dtype=np.uint8)
        Image.fromarray(noise[0]).save(
            file, save_all=True, append_images=[Image.fromarray(noise[1])]
        )
        add("odd", file)
    for number in range(5):
        source = next(free)
        other = "digit 0" if source.parent.name != "digit 0" else "digit 4"
        add("suspect", source.rename(folder / "train" / other / f"moved{number}.png"))
    rare = folder / "train" / "letter"
    rare.mkdir()
    for number in range(2):
        noise = np.random.default_rng(40 + number).integers(0, 255, (64, 64), dtype=np.uint8)
        Image.fromarray(noise).save(rare / f"{number}.png")
    found |= {("rare-class", "letter"), ("absent-class", "letter")}
    return found


def texts(file: Path, faulty: bool) -> Faults:
    """A table of invented reports, of two kinds, with a column for their split."""
    random = np.random.default_rng(3)
    words = {
        "weather": [
            "rain",
            "wind",
            "storm",
            "cloud",
            "sun",
            "frost",
            "heat",
            "mist",
            "hail",
            "thunder",
            "drizzle",
            "breeze",
        ],
        "sport": [
            "goal",
            "team",
            "match",
            "score",
            "coach",
            "ball",
            "player",
            "league",
            "win",
            "cup",
            "race",
            "medal",
        ],
    }
    fill = [f"{a}{b}" for a in ("ka", "lo", "mi", "ru", "te", "vo") for b in ("ran", "sel", "tim")]
    rows = []
    for k in range(400):
        label = ("weather", "sport")[k % 2]
        text = [
            str(random.choice(words[label] if random.random() < 0.5 else fill)) for _ in range(30)
        ]
        rows.append([" ".join(text), label, "test" if k % 5 == 0 else "train"])
    found: Faults = set()
    if faulty:
        _plant_in_texts(rows, found, file.name)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label", "split"])
        writer.writerows(rows)
    return found


def _plant_in_texts(rows: list[list[str]], found: Faults, name: str) -> None:
    train = [k for k, row in enumerate(rows) if row[2] == "train"]
    free = iter(train[::9])

    def add(kind: str, index: int) -> None:
        found.add((kind, f"{name}, row {index + 1}"))

    words = [f"unheard{k}" for k in range(20)]

    def append(text: str, label: str, split: str) -> int:
        rows.append([text, label, split])
        return len(rows) - 1

    for _ in range(3):
        add("duplicate", append(*rows[next(free)]))
    for _ in range(3):
        source = next(free)
        append(rows[source][0], rows[source][1], "test")
        add("leak", source)
    for _ in range(2):
        source = next(free)
        other = "sport" if rows[source][1] == "weather" else "weather"
        add("conflict", append(rows[source][0], other, "train"))
        add("conflict", source)
    for word in ("indeed", "however", "also"):
        source = next(free)
        add("near-duplicate", append(f"{rows[source][0]} {word}", rows[source][1], "train"))
    for broken in ("caf\ufffd", "GrÃ¼ÃŸe", "bell\x07"):
        source = next(free)
        rows[source][0] += f" {broken}"
        add("encoding", source)
    for number in range(2):
        source = next(free)
        noise = np.random.default_rng(number).integers(0, 10**6, 3000)
        rows[source][0] = " ".join(f"w{n}" for n in noise)
        add("too-long", source)
    for _ in range(5):
        source = next(free)
        rows[source][1] = "sport" if rows[source][1] == "weather" else "weather"
        add("suspect", source)
    for text in ("", " \t"):
        add("empty", append(text, "sport", "train"))
    for number in range(2):
        add("no-label", append(f"{' '.join(words)} number {number}", "", "train"))


def sounds(folder: Path, faulty: bool) -> Faults:
    """Class folders of melodies, in train/ and test/."""
    random = np.random.default_rng(5)
    files = []
    for k in range(160):
        label = ("low", "high")[k % 2]
        split = "test" if k % 5 == 0 else "train"
        file = folder / split / label / f"{k:03}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        base = 200 if label == "low" else 900
        notes = [
            _note(base * random.uniform(0.7, 1.6), random.uniform(0.15, 0.4)) for _ in range(5)
        ]
        wave = np.concatenate(notes) + random.normal(0, 0.002, sum(map(len, notes)))
        soundfile.write(file, wave.astype(np.float32), RATE)
        files.append(file)
    return _plant_in_sounds(folder, [f for f in files if "train" in f.parts]) if faulty else set()


def _note(frequency: float, seconds: float) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * frequency * time) * np.hanning(len(time))


def _plant_in_sounds(folder: Path, train: list[Path]) -> Faults:
    found: Faults = set()
    free = iter(train[::5])

    def add(kind: str, file: Path) -> None:
        found.add((kind, str(file.relative_to(folder))))

    for number in range(2):
        file = train[0].parent / f"silent{number}.wav"
        soundfile.write(file, np.zeros(RATE + number), RATE)
        add("silent", file)
    for _ in range(3):
        file = next(free)
        wave, _rate = soundfile.read(file)
        soundfile.write(file, np.clip(wave * 20, -1, 1), RATE)
        add("clipped", file)
    for number in range(2):
        source = next(free)
        add("duplicate", Path(shutil.copy(source, source.with_name(f"z copy{number}.wav"))))
    for number in range(2):
        source = next(free)
        shutil.copy(source, folder / "test" / source.parent.name / f"leak{number}.wav")
        add("leak", source)
    for number in range(2):
        source = next(free)
        wave, _rate = soundfile.read(source)
        copy = source.with_name(f"z near{number}.ogg")
        soundfile.write(copy, wave * 0.7, RATE)
        add("near-duplicate", copy)
    for number, content in enumerate((b"", b"RIFF no sound at all")):
        file = train[0].parent / f"broken{number}.wav"
        file.write_bytes(content)
        add("unreadable", file)
    file = train[0].parent / "long.wav"
    noise = np.random.default_rng(8).normal(0, 0.1, 60 * RATE)
    soundfile.write(file, noise, RATE)
    add("too-long", file)
    return found


def mixed(file: Path, faulty: bool) -> Faults:
    """A table of texts and numbers; the faulty one has empty cells, and a row twice.

    Rows with the same text but other numbers are no copies.
    """
    texts(file, faulty=False)
    rows = list(csv.reader(file.open(encoding="utf-8")))
    found: Faults = set()
    for k, row in enumerate(rows[1:], start=1):
        row.insert(0, str(k * 37 % 101 / 10))
        if k == 6:
            row[1:] = rows[1][1:]
        if faulty and k in (20, 30):
            row[0] = ""
            found.add(("missing", f"{file.name}, row {k}"))
        if faulty and k in (11, 52, 93):
            row[1] = ""
            found.add(("missing", f"{file.name}, row {k}"))
    if faulty:
        rows.append(list(rows[8]))
        found.add(("duplicate", f"{file.name}, row {len(rows) - 1}"))
    rows[0].insert(0, "height")
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(rows)
    return found

"""Write a contacts file whose import has a known outcome.

Every number is from the range 555-0100 to 555-0199, which North America reserves for fiction.
"""

import csv
import random
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("first_name", "last_name", "cell", "zip", "external_id", "city", "notes")

ROWS = 10_000  # rows of the sample that make run and make demo import
_INVALID_OF_EACH_KIND = 50
_REPEATED = 150
_INVALID = ("", "not given", "555-0123", "(099) 555-0123", "+1 212 555 01234 5")

_AREA_CODES = (
    *(201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 225),
    *(228, 229, 239, 240, 248, 251, 252, 253, 254, 256, 260, 262, 267, 269, 270, 276, 281, 301),
    *(302, 303, 304, 305, 307, 308, 309, 310, 312, 313, 314, 315, 316, 317, 318, 319, 320, 321),
    *(323, 325, 330, 334, 336, 337, 352, 360, 361, 386, 401, 402, 404, 405, 406, 407, 408, 409),
    *(410, 412, 413, 414, 415, 417, 419, 423, 425, 432, 434, 435, 440, 443, 478, 479, 480, 484),
    *(501, 502, 503, 504, 505, 507, 508, 509, 510, 512, 513, 515, 516, 517, 518, 520, 530, 540),
)
_FORMATS = (
    "({area}) 555-01{line:02}",
    "{area}-555-01{line:02}",
    "{area}.555.01{line:02}",
    "{area}55501{line:02}",
    "1-{area}-555-01{line:02}",
    "+1 {area} 555 01{line:02}",
)
_FIRST_NAMES = (
    *("Ada", "Amara", "Björn", "Chloé", "Dmitri", "Fátima", "Grace", "Hans", "Ìfẹ́", "Jürgen"),
    *("José", "Keiko", "Linh", "Łukasz", "Maeve", "Noor", "Óscar", "Priya", "Renée", "Søren"),
    *("Tomás", "Uma", "Víctor", "Wei", "Ximena", "Yusuf", "Zoë", "Нина", "美咲", "Þóra"),
)
_LAST_NAMES = (
    *("Abara", "Brontë", "Castañeda", "Dvořák", "Eriksson", "Flores", "García", "Hernández"),
    *("Iyer", "Jones", "Kowalski", "Lee", "Müller", "Nguyễn", "O'Brien", "Peña", "Quist"),
    *("Rossi", "Smith", "Tanaka", "Usman", "Vargas", "Williams", "Xu", "Yıldız", "Zhang"),
)
_CITIES = (
    *("San José, CA", "New York, NY", "Austin, TX", "Cañon City, CO", "St. Paul, MN"),
    *("Bayamón, PR", "Boise, ID", 'Truth or "T" or C, NM', "Portland, OR", "Atlanta, GA"),
)
_NOTES = (
    *("", "", "", "", "Prefers texts after 5 pm", 'Said "call me back"', "Sí, en español"),
    *("First line\nsecond line", 'Two lines,\nthe second "quoted"', "Moved; check the address"),
)


@dataclass(frozen=True)
class Expected:
    """The counts that an import of the file must report."""

    imported: int
    invalid: int
    repeated: int


def write_sample(path: Path, rows: int = ROWS, seed: int = 2026) -> Expected:
    """Write the file. The same rows and seed give the same bytes."""
    rng = random.Random(seed)
    invalid = [number for number in _INVALID for _ in range(_INVALID_OF_EACH_KIND)]
    distinct = rows - len(invalid) - _REPEATED
    all_lines = [(area, line) for area in _AREA_CODES for line in range(100)]
    if not 0 < distinct <= len(all_lines):
        raise ValueError(f"A sample has from {rows - distinct + 1} to {len(all_lines)} rows.")
    lines = rng.sample(all_lines, distinct)
    lines += rng.sample(lines, _REPEATED)
    numbers = [rng.choice(_FORMATS).format(area=area, line=line) for area, line in lines]
    numbers += invalid
    rng.shuffle(numbers)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_row(rng, index, number) for index, number in enumerate(numbers))
    return Expected(imported=distinct, invalid=len(invalid), repeated=_REPEATED)


def _row(rng: random.Random, index: int, number: str) -> tuple[str, ...]:
    return (
        rng.choice(_FIRST_NAMES),
        rng.choice(_LAST_NAMES),
        number,
        f"{rng.randrange(100_000):05}",
        f"voter-{index:06}",
        rng.choice(_CITIES),
        rng.choice(_NOTES),
    )

"""Write a contacts file whose import has a known outcome.

Every number is from the range 555-0100 to 555-0199, which North America reserves for fiction.
"""

import csv
import random
from pathlib import Path
from typing import NamedTuple

_INVALID = ("", "not given", "555-0123", "(099) 555-0123", "+1 212 555 01234 5") * 50
_AREA_CODES = (
    *(201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 225),
    *(228, 229, 239, 240, 248, 251, 252, 253, 254, 256, 260, 262, 267, 269, 270, 276, 281, 301),
    *(302, 303, 304, 305, 307, 308, 309, 310, 312, 313, 314, 315, 316, 317, 318, 319, 320, 321),
    *(323, 325, 330, 334, 336, 337, 352, 360, 361, 386, 401, 402, 404, 405, 406, 407, 408, 409),
    *(410, 412, 413, 414, 415, 417, 419, 423, 425, 432, 434, 435, 440, 443, 478, 479, 480, 484),
    *(501, 502, 503, 504, 505, 507, 508, 509, 510, 512, 513, 515, 516, 517, 518, 520, 530, 540),
)
_FORMATS = (
    *("({}) 555-01{:02}", "{}-555-01{:02}", "{}.555.01{:02}", "{}55501{:02}"),
    *("1-{}-555-01{:02}", "+1 {} 555 01{:02}"),
)
_FIRST_NAMES = ("Ada", "Björn", "Chloé", "Ìfẹ́", "José", "Łukasz", "Noor", "Zoë", "Нина", "美咲")
_LAST_NAMES = ("Abara", "Brontë", "Dvořák", "García", "Müller", "Nguyễn", "O'Brien", "Yıldız")
_NOTES = ("", "Austin, TX", 'Said "call me back"', 'Two lines,\nthe second "quoted"')


class Expected(NamedTuple):
    """The counts that an import of the file must report."""

    imported: int = 9_600
    invalid: int = len(_INVALID)
    repeated: int = 150


def write_sample(path: Path) -> Expected:
    """Write 10,000 rows, which are the same each time."""
    rng, expected = random.Random(2026), Expected()
    every_line = [(area, line) for area in _AREA_CODES for line in range(100)]
    lines = rng.sample(every_line, expected.imported)
    lines += rng.sample(lines, expected.repeated)
    numbers = [rng.choice(_FORMATS).format(*line) for line in lines] + [*_INVALID]
    rng.shuffle(numbers)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["first_name", "last_name", "cell", "external_id", "notes"])
        for index, number in enumerate(numbers):
            name = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
            writer.writerow([*name, number, f"voter-{index:06}", rng.choice(_NOTES)])
    return expected

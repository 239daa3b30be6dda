"""Where the files of this checkout are."""

from pathlib import Path

# The folder above `job_runners`.
ROOT = Path(__file__).resolve().parent.parent

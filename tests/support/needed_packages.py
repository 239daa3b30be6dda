"""The packages that an extra of Job Runners brings with it."""

import tomllib
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from job_runners.places import CODE as ROOT


def needed(extra: str) -> set[str]:
    """Return the distributions that this extra brings with it, as pip would find them."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    queue = [Requirement(f"job-runners[{extra}]")] if extra else []
    found: set[tuple[str, str]] = set()
    while queue:
        each = queue.pop()
        name = canonicalize_name(each.name)
        for wanted in each.extras or {""}:
            if (name, wanted) in found:
                continue
            found.add((name, wanted))
            if name == "job-runners":
                queue += map(Requirement, config["optional-dependencies"][wanted])
                continue
            required = map(Requirement, distribution(name).requires or ())
            queue += [need for need in required if _applies(need, wanted)]
    return {name for name, _ in found}


def _applies(need: Requirement, extra: str) -> bool:
    marker = need.marker
    return marker is None or any(marker.evaluate({"extra": each}) for each in ("", extra))

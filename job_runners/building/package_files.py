"""Find the files that list and pin the packages that a project needs.

A project has either pyproject.toml and uv.lock, or requirements.txt and a lock in pip's format:
requirements.lock, or requirements.txt itself if it has hashes.
"""

from pathlib import Path


def uses_uv(project: Path) -> bool:
    """Return whether a project's packages are in pyproject.toml and uv.lock."""
    if (project / "uv.lock").exists():
        return True
    has_pip_files = any((project / f"requirements.{kind}").exists() for kind in ("txt", "lock"))
    return (project / "pyproject.toml").exists() and not has_pip_files


def requirements_file(project: Path) -> Path:
    """Return the file that names the packages, which may not exist."""
    return project / ("pyproject.toml" if uses_uv(project) else "requirements.txt")


def lock_file(project: Path) -> Path:
    """Return the file that pins the packages with hashes, which may not exist."""
    if uses_uv(project):
        return project / "uv.lock"
    requirements = requirements_file(project)
    if requirements.exists() and "--hash=" in requirements.read_text(encoding="utf-8"):
        return requirements
    return project / "requirements.lock"


def how_to_add(package: str, requirements: Path | None, name: str = "NAME") -> str:
    """Return a sentence that says how to add a package.

    `package` describes it, and `name` is its name if that is known. `requirements` is the project's
    requirements_file.
    """
    if requirements is None or requirements.name == "pyproject.toml":
        return f"To add {package}, run uv add {name}"
    return f"Add {package} to {requirements}, then run {PIP_LOCK}"


# Pins requirements.txt with hashes, for each platform.
PIP_LOCK = "uv pip compile --universal --generate-hashes requirements.txt -o requirements.lock"

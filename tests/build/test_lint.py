"""A build lints the templates, and says where CloudFormation would refuse them."""

from pathlib import Path

import pytest

from job_runners.building import sam
from job_runners.building.app_folder import BuildProblem
from job_runners.places import ROOT
from newcomers import Newcomer

BAD = "Resources:\n  Reports:\n    Type: AWS::SQS::Queue\n    Properties: {Nmae: reports}\n"
ACCEPTED = "Metadata:\n  cfn-lint:\n    config:\n      ignore_checks: [E3002]\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Remember nothing of templates that have passed before."""
    monkeypatch.setattr(sam, "BUILD_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_an_error_is_shown_with_its_line_until_it_is_mended(tmp_path: Path) -> None:
    template = tmp_path / "own.template.yaml"
    template.write_text(BAD)
    for _ in range(2):  # a failure is not remembered
        with pytest.raises(BuildProblem) as raised:
            sam.lint(template)
        first, line, advice = str(raised.value).splitlines()
        assert first == f"{template} has errors:"
        assert line.startswith(f"  {template}:4: Additional properties are not allowed ('Nmae'")
        assert line.endswith("(E3002)")
        assert advice.startswith("To ignore a rule, name it under Metadata, cfn-lint")
    template.write_text(ACCEPTED + BAD)
    sam.lint(template)
    warned = "Parameters:\n  Unused: {Type: String}\n"  # a warning, which stops nothing
    template.write_text(warned + BAD.replace("Nmae", "QueueName"))
    sam.lint(template)


def test_our_template_passes_and_is_linted_once(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam.lint(ROOT / "template.yaml")
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(sam.subprocess, "run", None)  # type: ignore[attr-defined]
    sam.lint(ROOT / "template.yaml")


@pytest.mark.more
@pytest.mark.parametrize("name", ["own.template.yaml", "template.yaml"])
def test_a_build_stops_at_a_bad_template(newcomer: Newcomer, name: str) -> None:
    newcomer.jobs("init", "acme")
    project = newcomer.inside("acme")
    if name == "template.yaml":
        project.jobs("eject")
        text = (project.folder / name).read_text()
        (project.folder / name).write_text(text.replace("\nResources:\n", f"\n{BAD}", 1))
    else:
        (project.folder / name).write_text(BAD)
    refused = project.run("build")
    assert refused.returncode == 1
    assert f"{name} has errors:" in refused.stderr
    assert "'Nmae' was unexpected" in refused.stderr
    assert not (project.folder / ".aws-sam").exists()

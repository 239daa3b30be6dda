"""Write a CycloneDX bill of materials of the deployed packages: python -m tools.sbom FILE

It covers our own lock, and the app's lock if there is one. Run it with the interpreter of
.venv-scan.
"""

import argparse
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from job_runners import __version__
from job_runners.building.app_folder import find_app_folder
from job_runners.building.app_requirements import function_pins, project_pins
from job_runners.building.samconfig import Target
from job_runners.places import CODE
from tools.deployed_packages import Package, packages


def bill(shipped: list[Package]) -> str:
    """Return the bill of materials of the functions, with Job Runners as the application.

    Raises ValueError if it doesn't match CycloneDX's schema.
    """
    bom = Bom()
    bom.metadata.component = Component(
        name="job-runners",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref="job-runners",
        licenses=[LicenseFactory().make_from_string("MIT")],
    )
    for package in shipped:
        bom.components.add(_component(package))
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"not a bill of materials: {error}")
    return text


def _component(package: Package) -> Component:
    url = PackageURL("pypi", name=package.name, version=package.version)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.hashes]
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=url.to_string(),
        purl=url,
        licenses=[LicenseFactory().make_from_string(package.license)],
        # These are the hashes of all files of the release. Only one file is installed, so they
        # aren't the component's own `hashes`.
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION, url=XsUri(url.to_string()), hashes=hashes
            )
        ],
    )


def main() -> None:
    """Write the file that the command line names."""
    arguments = argparse.ArgumentParser(prog="python -m tools.sbom")
    arguments.add_argument("file", type=Path)
    file: Path = arguments.parse_args().file
    pins = function_pins(project_pins(find_app_folder()), Target.this_machine())
    installed = [str(each) for each in CODE.glob(".venv/lib/python3*/site-packages")]
    text = bill(packages(pins, installed))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

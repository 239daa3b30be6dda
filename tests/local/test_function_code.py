"""The tree of files that functions of the local AWS run."""

import os
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

from emulated_aws.function_code import unpack


def test_a_program_stays_executable_and_other_files_do_not_become_so(tmp_path: Path) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, mode in (("acme/ffmpeg", 0o755), ("acme/__init__.py", 0o644)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, "#!/bin/sh\necho encoded\n")
    unpack(tmp_path, "digest", packed.getvalue())
    folder = tmp_path / "digest" / "acme"
    assert subprocess.check_output([folder / "ffmpeg"]) == b"encoded\n"
    assert not os.access(folder / "__init__.py", os.X_OK)

"""Gives the package's page on an index the README, whose links there must name the repository."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Readme(MetadataHookInterface):
    """Sets the field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set it to README.md, with links to the files of this version's tag."""
        address, version = metadata["urls"]["Repository"], metadata["version"]
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = re.sub(r"(!\[[^]]*\]\()(?!https:)", rf"\1{address}/raw/v{version}/", text)
        text = re.sub(r"(\]\()(?!https:)", rf"\1{address}/blob/v{version}/", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}

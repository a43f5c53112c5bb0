"""Where frozen trunks are; nothing heavy is imported here, because the command line reads this file too."""

import difflib
from pathlib import Path

from networks.architecture import ArchitectureError

TRUNK_SUFFIX = ".safetensors"
INSTALLED_TRUNKS = Path(__file__).with_name("trunks")
"""Folder of the trunks that come with the package, named <task>-<image size>."""
RUN_TRUNK = "trunk.safetensors"
"""In a run's folder: the trunk that its policy stands on."""


def installed_trunks() -> dict[str, Path]:
    """Name -> file of the trunks that come with the package."""
    return {path.stem: path for path in sorted(INSTALLED_TRUNKS.glob(f"*{TRUNK_SUFFIX}"))}


def trunk_file(name: str | None, *, task: str, image_size: int) -> Path:
    """The file of a trunk: a path, the name of an installed one, or None for the one installed for this task.

    Raises:
        ArchitectureError: There is none; the text says which there are.
    """
    wanted, installed = f"{task}-{image_size}" if name is None else name, installed_trunks()
    if wanted in installed:
        return installed[wanted]
    if Path(wanted).is_file():
        return Path(wanted).absolute()
    near = difflib.get_close_matches(wanted, installed, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ArchitectureError(
        f"there is no trunk {wanted}, neither a file nor one of those installed ({', '.join(installed) or 'none'})"
        f"{hint}; set agent.trunk=<file>, train one (handrail trunk train task={task} env.image_size={image_size}), or "
        "set agent.encoder=conv"
    )

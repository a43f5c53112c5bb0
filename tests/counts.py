"""How often the tests of faults repeat themselves."""

import os


def count(ci: int, nightly: int) -> int:
    """The count for this run: `ci` on every push, `nightly` where `make faults` has set HANDRAIL_FAULTS=nightly."""
    return nightly if os.environ.get("HANDRAIL_FAULTS") == "nightly" else ci

"""Whether this installation has its hot path compiled: `tools/compile_hot_path.py` put a library beside the modules.

The modules are the same ones, and so is what they do. Nothing but a version line and a metric may depend on this.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

LIBRARY: Final = "tailrace.compiled__mypyc"
"""What all compiled modules share. There is none for another version of Python than it was compiled for."""


def is_compiled() -> bool:
    """Whether the modules of the hot path are those in C."""
    return find_spec(LIBRARY) is not None

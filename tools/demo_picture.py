"""Runs `tailrace demo`'s traffic for some seconds and saves its last screen as the README's picture (SVG).

    python tools/demo_picture.py [SECONDS]

Real output of a real run: figures differ each time. The SVG names no font to be fetched.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

import tailrace
from tailrace.base.clock import SystemClock
from tailrace.base.rand import SystemRandom
from tailrace.cli.demo.figures import snapshot
from tailrace.cli.demo.screen import draw
from tailrace.cli.demo.shop import TOPICS
from tailrace.cli.demo.traffic import Traffic

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "demo.svg"
COLUMNS = 100
RATE_PER_S = 500


def main() -> int:
    """Run, draw, save."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    clock = SystemClock()
    with tailrace.Broker(topics=TOPICS) as broker:
        traffic = Traffic(broker.bootstrap_servers, RATE_PER_S, 2, clock, SystemRandom())
        traffic.start()
        time.sleep(seconds - 1)
        before = snapshot(traffic.figures, seconds - 1)
        time.sleep(1)
        now = snapshot(traffic.figures, seconds)
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
        console.print(draw(broker.bootstrap_servers, traffic.figures, now, before))
        traffic.stop(5.0)
    start = CONSOLE_SVG_FORMAT.index("@font-face")
    end = CONSOLE_SVG_FORMAT.index(".{unique_id}-matrix")
    without_fonts = CONSOLE_SVG_FORMAT[:start] + CONSOLE_SVG_FORMAT[end:]
    PICTURE.write_text(console.export_svg(title="tailrace demo", code_format=without_fonts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

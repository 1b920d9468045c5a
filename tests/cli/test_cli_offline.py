"""What `tailrace topics describe` says where a log directory of the broker is offline."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.brokers import TailraceProcess


def test_partitions_of_an_offline_directory_are_explained(tailrace, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    process = TailraceProcess(tmp_path, {"log.dirs": f"{good},{bad}"})
    process.start()
    try:
        assert tailrace("topics", "create", "t", "-p", "4", bootstrap=process.address).code == 0
        whole = tailrace("topics", "describe", "t", bootstrap=process.address)
        assert whole.code == 0 and not whole.err and "none" not in whole.out
        process.stop()
        shutil.rmtree(bad)
        bad.write_text("no directory")
        process.start()
        ended = tailrace("topics", "describe", "t", bootstrap=process.address)
    finally:
        if process.process is not None:
            process.stop()
    assert ended.code == 0
    rows = [line.split() for line in ended.out.splitlines()[2:]]
    assert sorted(row[1] for row in rows) == ["1", "1", "none", "none"]
    assert [row[-2:] for row in rows if row[1] == "none"] == [["-", "-"]] * 2
    assert "2 partitions without a leader" in ended.err
    assert f"log directory {bad} on {process.address}" in ended.err and str(good) not in ended.err

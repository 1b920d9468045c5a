"""kafkajs lives through the story. It has neither static members nor an incremental assignor."""

import os
from pathlib import Path

from tests.compat.line_driver import LineDriver
from tests.harness.brokers import cache_directory
from tests.harness.story import Story

SCRIPT = Path(__file__).parent / "node" / "driver.js"


class KafkajsDriver(LineDriver):
    name = "kafkajs"

    def command(self) -> list[str]:
        modules = cache_directory() / "node" / "node_modules"
        assert (modules / "kafkajs").is_dir(), "kafkajs is not installed: run tools/compat.sh"
        return ["env", f"NODE_PATH={modules}{os.pathsep}", "node", str(SCRIPT)]


class TestKafkajs(Story):
    driver_type = KafkajsDriver

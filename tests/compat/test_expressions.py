"""RE2/J, which Kafka matches subscriptions with, says of each case what `tests/unit/base/re2_cases.jsonl` says."""

import json
import subprocess
from pathlib import Path

from tests.compat.java_client import compiled
from tests.harness.brokers import java_command

CASES = Path(__file__).parents[1] / "unit" / "base" / "re2_cases.jsonl"
BETWEEN = chr(1)


def test_re2j_says_so() -> None:
    texts, *cases = [json.loads(line) for line in CASES.read_text().splitlines()]
    asked = "".join(BETWEEN.join((expression, *texts)) + "\n" for expression, _ in cases)
    command = [*java_command("-Xmx128m", classpath=(compiled(),)), "Expressions"]
    answered = subprocess.run(command, input=asked.encode(), capture_output=True, timeout=120, check=True)
    answers = answered.stdout.decode().splitlines()
    assert len(answers) == len(cases)
    for (expression, matching), answer in zip(cases, answers, strict=True):
        told = None if answer == "X" else [text for text, digit in zip(texts, answer, strict=True) if digit == "1"]
        assert told == matching, expression

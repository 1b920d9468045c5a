"""The Java client lives through the story."""

from tests.compat.java_client import JavaDriver
from tests.harness.story import CooperativeStory, StaticStory, Story


class TestJava(Story, StaticStory, CooperativeStory):
    driver_type = JavaDriver

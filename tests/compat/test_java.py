"""The Java client lives through the story."""

from compat.java_client import JavaDriver
from harness.story import CooperativeStory, StaticStory, Story


class TestJava(Story, StaticStory, CooperativeStory):
    driver_type = JavaDriver

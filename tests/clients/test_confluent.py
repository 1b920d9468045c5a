"""confluent-kafka (librdkafka) lives through the story."""

from harness.confluent_driver import ConfluentDriver
from harness.story import CooperativeStory, StaticStory, Story


class TestConfluent(Story, StaticStory, CooperativeStory):
    driver_type = ConfluentDriver

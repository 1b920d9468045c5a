"""confluent-kafka (librdkafka) lives through the story."""

from tests.harness.confluent_driver import ConfluentDriver
from tests.harness.story import CooperativeStory, StaticStory, Story


class TestConfluent(Story, StaticStory, CooperativeStory):
    driver_type = ConfluentDriver

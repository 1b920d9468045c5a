"""aiokafka lives through the story. It has no incremental assignor."""

from tests.harness.aiokafka_driver import AiokafkaDriver
from tests.harness.story import StaticStory, Story


class TestAiokafka(Story, StaticStory):
    driver_type = AiokafkaDriver

"""aiokafka lives through the story. It has no incremental assignor."""

from harness.aiokafka_driver import AiokafkaDriver
from harness.story import StaticStory, Story


class TestAiokafka(Story, StaticStory):
    driver_type = AiokafkaDriver

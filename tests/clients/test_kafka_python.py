"""kafka-python 3 lives through the story."""

from harness.kafka_python_driver import KafkaPythonDriver
from harness.story import CooperativeStory, StaticStory, Story


class TestKafkaPython(Story, StaticStory, CooperativeStory):
    driver_type = KafkaPythonDriver

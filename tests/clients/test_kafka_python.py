"""kafka-python 3 lives through the story."""

from tests.harness.kafka_python_driver import KafkaPythonDriver
from tests.harness.story import CooperativeStory, StaticStory, Story


class TestKafkaPython(Story, StaticStory, CooperativeStory):
    driver_type = KafkaPythonDriver

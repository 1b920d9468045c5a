"""confluent-kafka (librdkafka) lives through the story."""

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.harness.brokers import BrokerProcess
from tests.harness.confluent_driver import ConfluentDriver
from tests.harness.drivers import eventually
from tests.harness.story import CooperativeStory, StaticStory, Story, create, has_bounds, new_name


class TestConfluent(Story, StaticStory, CooperativeStory):
    driver_type = ConfluentDriver

    def test_an_idempotent_producer_lives_through_a_crash(self, driver: ConfluentDriver, broker: BrokerProcess) -> None:
        """Each record once and in order, though the broker is killed with requests in flight."""
        topic, count = new_name("idempotent"), 6_000
        create(driver, topic, 1)
        failures: list[KafkaError] = []
        settings = {"enable.idempotence": True, "linger.ms": 1, "batch.num.messages": 50, "message.timeout.ms": 60_000}
        producer = Producer({**driver.common, **settings, "queue.buffering.max.messages": count})
        for number in range(count):
            producer.produce(
                topic, str(number).encode(), on_delivery=lambda error, _: failures.append(error) if error else None
            )
            if number in (count // 3, 2 * count // 3):
                producer.poll(0)
                broker.kill_and_restart()
        assert producer.flush(60) == 0
        assert failures == []
        eventually(lambda: has_bounds(driver, topic, 0, (0, count)), "each record just once")
        stored = driver.read(topic, 0, 0, count)
        assert [int(s.record.value or b"") for s in stored] == list(range(count))

    def test_an_admin_client_goes_on_after_a_crash(self, driver: ConfluentDriver, broker: BrokerProcess) -> None:
        """The broker answers for its groups at once. What a re-bootstrap does: docs/operations/clients.md."""
        topic, group = new_name("admin"), new_name("group")
        create(driver, topic, 1)
        admin = AdminClient({**driver.common, "metadata.recovery.strategy": "none"})
        consumer = Consumer({**driver.common, "group.id": group})
        consumer.committed([TopicPartition(topic, 0)], timeout=30)  # librdkafka commits once it knows the coordinator
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
        consumer.close()
        [described] = [future.result(30) for future in admin.describe_consumer_groups([group]).values()]
        assert described.group_id == group
        broker.kill_and_restart()
        assert admin.delete_consumer_groups([group], request_timeout=60)[group].result() is None

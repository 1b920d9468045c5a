import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client as a driver of the story: one JSON command a line on stdin, one JSON answer a line on stdout.
 * What a command means is written in tests/harness/drivers.py; how it travels, in tests/compat/line_driver.py.
 */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    private static final Duration DEADLINE = Duration.ofSeconds(20);

    private final String bootstrap;
    private final Admin admin;
    private final List<Member> members = new ArrayList<>();

    private Driver(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err);
        Driver driver = new Driver(arguments[0]);
        answers.println("{\"ok\":\"ready\"}");
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            JsonNode command = JSON.readTree(line);
            ObjectNode answer = NODES.objectNode();
            try {
                answer.set("ok", driver.run(command.get("do").asText(), command));
            } catch (Throwable failure) {
                Throwable cause = failure instanceof ExecutionException ? failure.getCause() : failure;
                answer.removeAll();
                answer.put("error", cause.toString());
            }
            answers.println(JSON.writeValueAsString(answer));
            if (command.get("do").asText().equals("close")) break;
        }
        System.exit(0);
    }

    private JsonNode run(String what, JsonNode c) throws Exception {
        switch (what) {
            case "create_topic": return createTopic(c);
            case "delete_topic":
                admin.deleteTopics(List.of(topic(c))).all().get();
                return NODES.nullNode();
            case "topics": return JSON.valueToTree(admin.listTopics().names().get());
            case "partition_count":
                return NODES.numberNode(
                    admin.describeTopics(List.of(topic(c))).allTopicNames().get().get(topic(c)).partitions().size());
            case "produce": return produce(c);
            case "read": return read(c);
            case "read_in_rack": return readInRack(partition(c), c.get("rack").asText());
            case "bounds": return bounds(partition(c));
            case "offset_at": return offsetAt(partition(c), c.get("timestamp_ms").asLong());
            case "join":
                members.add(new Member(c));
                return NODES.numberNode(members.size() - 1);
            case "assignment": return JSON.valueToTree(member(c).owned());
            case "events": return member(c).events();
            case "received": return member(c).received(c.get("skip").asInt());
            case "commit":
                member(c).commit();
                return NODES.nullNode();
            case "leave":
                member(c).close();
                return NODES.nullNode();
            case "committed": return committed(c);
            case "alter_config": return alterConfig(c);
            case "config":
                return NODES.textNode(config(c).get(c.get("name").asText()).value());
            case "delete_records":
                admin.deleteRecords(Map.of(partition(c), RecordsToDelete.beforeOffset(c.get("before_offset").asLong())))
                    .all().get();
                return NODES.nullNode();
            case "close":
                admin.close();
                return NODES.nullNode();
            default: throw new IllegalArgumentException(what);
        }
    }

    private static String topic(JsonNode c) {
        return c.get("topic").asText();
    }

    private static TopicPartition partition(JsonNode c) {
        return new TopicPartition(topic(c), c.get("partition").asInt());
    }

    private Member member(JsonNode c) {
        return members.get(c.get("member").asInt());
    }

    private JsonNode createTopic(JsonNode c) throws Exception {
        Map<String, String> config = new HashMap<>();
        c.get("config").fields().forEachRemaining(e -> config.put(e.getKey(), e.getValue().asText()));
        NewTopic topic = new NewTopic(topic(c), Optional.of(c.get("partitions").asInt()), Optional.empty());
        admin.createTopics(List.of(topic.configs(config))).all().get();
        return NODES.nullNode();
    }

    private JsonNode produce(JsonNode c) throws Exception {
        Map<String, Object> config = new HashMap<>(Map.of(
            "bootstrap.servers", bootstrap,
            "key.serializer", ByteArraySerializer.class,
            "value.serializer", ByteArraySerializer.class,
            "compression.type", c.get("codec").asText(),
            "acks", c.get("acks").asText(),
            "linger.ms", 5));
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config)) {
            for (JsonNode r : c.get("records")) {
                List<Header> headers = new ArrayList<>();
                for (JsonNode h : r.get("headers")) headers.add(new RecordHeader(h.get(0).asText(), bytes(h.get(1))));
                sent.add(producer.send(new ProducerRecord<>(topic(c), c.get("partition").asInt(),
                    r.get("timestamp_ms").asLong(), bytes(r.get("key")), bytes(r.get("value")), headers)));
                if (c.has("pause_ms")) Thread.sleep(c.get("pause_ms").asInt());
            }
        }
        for (Future<RecordMetadata> future : sent) future.get();
        return NODES.nullNode();
    }

    private JsonNode read(JsonNode c) {
        ArrayNode stored = NODES.arrayNode();
        int count = c.get("count").asInt();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            consumer.assign(List.of(partition(c)));
            consumer.seek(partition(c), c.get("offset").asLong());
            long deadline = System.nanoTime() + DEADLINE.toNanos();
            while (stored.size() < count) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("only " + stored.size() + " of " + count + " records came");
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    if (stored.size() < count) stored.add(stored(record));
                }
            }
        }
        return stored;
    }

    /** Reads it all again until the leader sends it to a replica, and that one records: which one, and the last offset. */
    private JsonNode readInRack(TopicPartition partition, String rack) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("client.rack", rack))) {
            consumer.assign(List.of(partition));
            long deadline = System.nanoTime() + DEADLINE.toNanos();
            long last = 0;
            while (System.nanoTime() < deadline) {
                if (last >= 0) consumer.seekToBeginning(List.of(partition));
                last = -1;
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) last = record.offset();
                int replica = preferredReplica(consumer);
                if (last >= 0 && replica >= 0) return NODES.arrayNode().add(replica).add(last);
            }
        }
        throw new IllegalStateException("no record of a replica in " + rack);
    }

    private static int preferredReplica(KafkaConsumer<byte[], byte[]> consumer) {
        return consumer.metrics().entrySet().stream()
            .filter(each -> each.getKey().name().equals("preferred-read-replica"))
            .mapToInt(each -> ((Number) each.getValue().metricValue()).intValue()).max().orElse(-1);
    }

    private JsonNode bounds(TopicPartition partition) throws Exception {
        ArrayNode pair = NODES.arrayNode();
        pair.add(admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).partitionResult(partition).get().offset());
        pair.add(admin.listOffsets(Map.of(partition, OffsetSpec.latest())).partitionResult(partition).get().offset());
        return pair;
    }

    private JsonNode offsetAt(TopicPartition partition, long timestamp) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, timestamp)).get(partition);
            return found == null ? NODES.nullNode() : NODES.numberNode(found.offset());
        }
    }

    private JsonNode committed(JsonNode c) throws Exception {
        ArrayNode pairs = NODES.arrayNode();
        Map<TopicPartition, OffsetAndMetadata> offsets =
            admin.listConsumerGroupOffsets(c.get("group").asText()).partitionsToOffsetAndMetadata().get();
        offsets.forEach((partition, offset) -> {
            if (partition.topic().equals(topic(c))) pairs.add(NODES.arrayNode().add(partition.partition()).add(offset.offset()));
        });
        return pairs;
    }

    private JsonNode alterConfig(JsonNode c) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic(c));
        ConfigEntry entry = new ConfigEntry(c.get("name").asText(), c.get("value").asText());
        admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(entry, AlterConfigOp.OpType.SET)))).all().get();
        return NODES.nullNode();
    }

    private Config config(JsonNode c) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic(c));
        return admin.describeConfigs(List.of(resource)).all().get().get(resource);
    }

    private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of(
            "bootstrap.servers", bootstrap,
            "key.deserializer", ByteArrayDeserializer.class,
            "value.deserializer", ByteArrayDeserializer.class,
            "enable.auto.commit", false,
            "auto.offset.reset", "earliest"));
        config.putAll(more);
        return new KafkaConsumer<>(config);
    }

    private static ObjectNode stored(ConsumerRecord<byte[], byte[]> record) {
        ObjectNode node = NODES.objectNode();
        node.put("partition", record.partition());
        node.put("offset", record.offset());
        node.put("timestamp_ms", record.timestamp());
        node.put("key", text(record.key()));
        node.put("value", text(record.value()));
        ArrayNode headers = node.putArray("headers");
        for (Header h : record.headers()) headers.addArray().add(h.key()).add(text(h.value()));
        return node;
    }

    private static String text(byte[] value) {
        return value == null ? null : Base64.getEncoder().encodeToString(value);
    }

    private static byte[] bytes(JsonNode node) {
        return node.isNull() ? null : Base64.getDecoder().decode(node.asText());
    }

    /** A group member: one thread polls and runs what other threads ask of the consumer between two polls. */
    private final class Member implements ConsumerRebalanceListener {
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final List<ObjectNode> received = Collections.synchronizedList(new ArrayList<>());
        private final List<JsonNode> events = Collections.synchronizedList(new ArrayList<>());
        private final LinkedBlockingQueue<Runnable> asked = new LinkedBlockingQueue<>();
        private final Thread thread;
        private volatile Set<Integer> owned = Set.of();
        private volatile boolean closing;
        private volatile RuntimeException failure;

        Member(JsonNode c) {
            Map<String, Object> config = new HashMap<>(Map.of("group.id", c.get("group").asText()));
            if (c.path("is_assigned_by_broker").asBoolean()) {
                config.put("group.protocol", "consumer");
            } else {
                config.put("session.timeout.ms", c.get("session_timeout_ms").asInt());
                config.put("heartbeat.interval.ms", c.get("heartbeat_interval_ms").asInt());
                config.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer."
                    + (c.get("cooperative").asBoolean() ? "CooperativeStickyAssignor" : "RangeAssignor"));
            }
            config.put("enable.auto.commit", c.path("commits_by_itself").asBoolean());
            if (!c.get("instance_id").isNull()) config.put("group.instance.id", c.get("instance_id").asText());
            consumer = consumer(config);
            consumer.subscribe(List.of(topic(c)), this);
            thread = new Thread(this::poll);
            thread.setDaemon(true);
            thread.start();
        }

        private void poll() {
            try {
                while (!closing) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                        received.add(stored(record));
                    }
                    owned = numbers(consumer.assignment());
                    for (Runnable next = asked.poll(); next != null; next = asked.poll()) next.run();
                }
                consumer.close();
            } catch (RuntimeException raised) {
                failure = raised;
            }
        }

        private Set<Integer> numbers(Collection<TopicPartition> partitions) {
            Set<Integer> numbers = new HashSet<>();
            for (TopicPartition partition : partitions) numbers.add(partition.partition());
            return numbers;
        }

        private void announce(String event, Collection<TopicPartition> partitions) {
            events.add(NODES.arrayNode().add(event).add(JSON.<JsonNode>valueToTree(numbers(partitions))));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            announce("revoked", partitions);
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            announce("assigned", partitions);
        }

        Set<Integer> owned() {
            check();
            return owned;
        }

        JsonNode events() {
            return JSON.valueToTree(new ArrayList<>(events));
        }

        JsonNode received(int skip) {
            check();
            synchronized (received) {
                return JSON.valueToTree(new ArrayList<>(received.subList(skip, received.size())));
            }
        }

        void commit() throws Exception {
            java.util.concurrent.CompletableFuture<Void> done = new java.util.concurrent.CompletableFuture<>();
            asked.add(() -> {
                try {
                    consumer.commitSync();
                    done.complete(null);
                } catch (RuntimeException raised) {
                    done.completeExceptionally(raised);
                }
            });
            done.get(DEADLINE.toSeconds(), java.util.concurrent.TimeUnit.SECONDS);
        }

        void close() throws InterruptedException {
            closing = true;
            thread.join(DEADLINE.toMillis());
            check();
        }

        private void check() {
            if (failure != null) throw failure;
        }
    }
}

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Share consumers on command: one JSON command a line on stdin, one JSON answer a line on stdout, as Driver does.
 * Members are polled by command, or by a thread of their own (`work`), which accepts what it gets and counts it.
 */
public final class ShareDriver {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private final String bootstrap;
    private final Admin admin;
    private final List<Member> members = new ArrayList<>();

    private ShareDriver(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err);
        ShareDriver driver = new ShareDriver(arguments[0]);
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
            case "create_topic":
                admin.createTopics(List.of(new NewTopic(c.get("topic").asText(), c.get("partitions").asInt(), (short) 1)))
                    .all().get();
                return NODES.nullNode();
            case "set_group": return setGroup(c);
            case "join":
                members.add(new Member(c));
                return NODES.numberNode(members.size() - 1);
            case "poll": return member(c).poll(c.get("timeout_ms").asLong());
            case "acknowledge":
                member(c).acknowledge(c.get("offset").asLong(), AcknowledgeType.valueOf(c.get("type").asText()));
                return NODES.nullNode();
            case "commit": return member(c).commit();
            case "work":
                member(c).start();
                return NODES.nullNode();
            case "worked": return member(c).worked();
            case "leave":
                member(c).close();
                return NODES.nullNode();
            case "close": return NODES.nullNode();
            default: throw new IllegalArgumentException(what);
        }
    }

    private Member member(JsonNode c) {
        return members.get(c.get("member").asInt());
    }

    private JsonNode setGroup(JsonNode c) throws Exception {
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, c.get("group").asText());
        List<AlterConfigOp> changes = new ArrayList<>();
        c.get("settings").fields().forEachRemaining(each ->
            changes.add(new AlterConfigOp(new ConfigEntry(each.getKey(), each.getValue().asText()), AlterConfigOp.OpType.SET)));
        admin.incrementalAlterConfigs(Map.of(group, changes)).all().get();
        return NODES.nullNode();
    }

    /** One share consumer. Its client is used by one thread at a time: the commands', or its own once it works. */
    private final class Member {
        private final KafkaShareConsumer<String, String> consumer;
        private final Map<Long, ConsumerRecord<String, String>> last = new HashMap<>();
        private final Map<String, Integer> accepted = new HashMap<>();
        private Thread worker;
        private volatile boolean ending;
        private volatile String trouble;

        private Member(JsonNode c) {
            Map<String, Object> settings = new HashMap<>(Map.of(
                "bootstrap.servers", bootstrap,
                "group.id", c.get("group").asText(),
                "key.deserializer", StringDeserializer.class.getName(),
                "value.deserializer", StringDeserializer.class.getName()));
            c.get("settings").fields().forEachRemaining(each -> settings.put(each.getKey(), each.getValue().asText()));
            consumer = new KafkaShareConsumer<>(settings);
            consumer.subscribe(List.of(c.get("topic").asText()));
        }

        private JsonNode poll(long timeoutMs) {
            ArrayNode answer = NODES.arrayNode();
            last.clear();
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(timeoutMs))) {
                last.put(record.offset(), record);
                answer.add(NODES.arrayNode().add(record.offset()).add(record.value())
                    .add(record.deliveryCount().map(Short::intValue).orElse(-1)));
            }
            return answer;
        }

        private void acknowledge(long offset, AcknowledgeType type) {
            consumer.acknowledge(last.get(offset), type);
        }

        private JsonNode commit() {
            ArrayNode errors = NODES.arrayNode();
            for (Map.Entry<TopicIdPartition, Optional<KafkaException>> each : consumer.commitSync().entrySet()) {
                each.getValue().ifPresent(error -> errors.add(error.toString()));
            }
            return errors;
        }

        private void start() {
            worker = new Thread(this::run);
            worker.start();
        }

        private void run() {
            try {
                while (!ending) {
                    ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                    if (records.isEmpty()) continue;
                    boolean isKept = consumer.commitSync(Duration.ofSeconds(30)).values().stream().noneMatch(Optional::isPresent);
                    if (!isKept) continue;
                    synchronized (accepted) {
                        for (ConsumerRecord<String, String> record : records) accepted.merge(record.value(), 1, Integer::sum);
                    }
                }
            } catch (RuntimeException error) {
                trouble = error.toString();
            }
        }

        private JsonNode worked() {
            if (trouble != null) throw new IllegalStateException(trouble);
            synchronized (accepted) {
                return JSON.valueToTree(accepted);
            }
        }

        private void close() throws InterruptedException {
            ending = true;
            if (worker != null) worker.join();
            consumer.close();
        }
    }
}

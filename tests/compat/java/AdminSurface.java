import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Calls every method of Admin that asks a broker, once, and prints what came of each: one JSON object, method -> "ok"
 * or the exception's name. What a method is called with is chosen so that an ordinary broker of one node grants it.
 */
public final class AdminSurface {
    private static final Map<String, String> OUTCOMES = new TreeMap<>();
    private static final String TOPIC = "surface";
    private static final String GROUP = "surface-classic";
    private static final TopicPartition PARTITION = new TopicPartition(TOPIC, 0);

    private static final Set<String> ASKS_NOBODY = Set.of(
            "close", "metrics", "registerMetricForSubscription", "unregisterMetricFromSubscription", "create");

    private static void call(String method, Callable<KafkaFuture<?>> asked) {
        String outcome;
        try {
            asked.call().get(20, TimeUnit.SECONDS);
            outcome = "ok";
        } catch (ExecutionException error) {
            outcome = error.getCause().getClass().getSimpleName();
        } catch (Exception error) {
            outcome = error.getClass().getSimpleName();
        }
        OUTCOMES.put(method, outcome);
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments[0], "default.api.timeout.ms", 15000, "request.timeout.ms", 10000);
        try (Admin admin = Admin.create(settings)) {
            int broker = admin.describeCluster().nodes().get().iterator().next().id();
            topics(admin, broker);
            records(arguments[0]);
            groups(admin);
            placement(admin, broker);
            transactions(admin);
            security(admin);
            cluster(admin);
            call("deleteTopics", () -> admin.deleteTopics(List.of(TOPIC)).all());
        }
        Set<String> methods = new HashSet<>();
        Arrays.stream(Admin.class.getMethods()).forEach(method -> methods.add(method.getName()));
        methods.removeAll(ASKS_NOBODY);
        methods.removeAll(OUTCOMES.keySet());
        if (!methods.isEmpty()) throw new AssertionError("never called: " + methods);
        System.out.println(new ObjectMapper().writeValueAsString(OUTCOMES));
    }

    private static void records(String bootstrap) throws Exception {
        Map<String, Object> producing = Map.of(
                "bootstrap.servers", bootstrap, "transactional.id", "surface", "enable.idempotence", true);
        try (KafkaProducer<String, String> producer =
                new KafkaProducer<>(producing, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            for (int number = 0; number < 10; number++) producer.send(new ProducerRecord<>(TOPIC, 0, "k", "v" + number));
            producer.commitTransaction();
        }
        Map<String, Object> consuming = Map.of(
                "bootstrap.servers", bootstrap, "group.id", GROUP, "auto.offset.reset", "earliest");
        try (KafkaConsumer<String, String> consumer =
                new KafkaConsumer<>(consuming, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(TOPIC));
            long until = System.currentTimeMillis() + 20_000;
            while (consumer.poll(Duration.ofMillis(200)).isEmpty()) {
                if (System.currentTimeMillis() > until) throw new AssertionError("nothing to read");
            }
            consumer.commitSync();
        }
    }

    private static void topics(Admin admin, int broker) {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        AlterConfigOp change = new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET);
        call("createTopics", () -> admin.createTopics(List.of(new NewTopic(TOPIC, 2, (short) 1))).all());
        call("listTopics", () -> admin.listTopics().names());
        call("describeTopics", () -> admin.describeTopics(List.of(TOPIC)).allTopicNames());
        call("createPartitions", () -> admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(3))).all());
        call("describeConfigs", () -> admin.describeConfigs(List.of(topic)).all());
        call("incrementalAlterConfigs", () -> admin.incrementalAlterConfigs(Map.of(topic, List.of(change))).all());
        call("listConfigResources", () -> admin.listConfigResources().all());
        call("listClientMetricsResources", () -> admin.listClientMetricsResources().all());
        call("describeLogDirs", () -> admin.describeLogDirs(List.of(broker)).allDescriptions());
    }

    private static void groups(Admin admin) {
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(PARTITION, new OffsetAndMetadata(3));
        Set<TopicPartition> partitions = Set.of(PARTITION);
        call("listGroups", () -> admin.listGroups().all());
        call("listConsumerGroups", () -> admin.listConsumerGroups().all());
        call("describeConsumerGroups", () -> admin.describeConsumerGroups(List.of(GROUP)).all());
        call("describeClassicGroups", () -> admin.describeClassicGroups(List.of(GROUP)).all());
        call("listConsumerGroupOffsets", () -> admin.listConsumerGroupOffsets(GROUP).all());
        call("alterConsumerGroupOffsets", () -> admin.alterConsumerGroupOffsets(GROUP, offsets).all());
        call("deleteConsumerGroupOffsets", () -> admin.deleteConsumerGroupOffsets(GROUP, partitions).all());
        call("removeMembersFromConsumerGroup", () -> admin.removeMembersFromConsumerGroup(
                GROUP, new RemoveMembersFromConsumerGroupOptions()).all());
        call("deleteConsumerGroups", () -> admin.deleteConsumerGroups(List.of(GROUP)).all());
        call("listOffsets", () -> admin.listOffsets(Map.of(PARTITION, OffsetSpec.latest())).all());
        call("deleteRecords", () -> admin.deleteRecords(Map.of(PARTITION, RecordsToDelete.beforeOffset(2))).all());
        String share = "surface-share";
        call("alterShareGroupOffsets", () -> admin.alterShareGroupOffsets(share, Map.of(PARTITION, 1L)).all());
        call("describeShareGroups", () -> admin.describeShareGroups(List.of(share)).all());
        call("listShareGroupOffsets", () -> admin.listShareGroupOffsets(
                Map.of(share, new ListShareGroupOffsetsSpec())).all());
        call("deleteShareGroupOffsets", () -> admin.deleteShareGroupOffsets(share, Set.of(TOPIC)).all());
        call("deleteShareGroups", () -> admin.deleteShareGroups(List.of(share)).all());
        String streams = "surface-streams";
        call("describeStreamsGroups", () -> admin.describeStreamsGroups(List.of(streams)).all());
        call("alterStreamsGroupOffsets", () -> admin.alterStreamsGroupOffsets(streams, offsets).all());
        call("listStreamsGroupOffsets", () -> admin.listStreamsGroupOffsets(
                Map.of(streams, new ListStreamsGroupOffsetsSpec())).all());
        call("deleteStreamsGroupOffsets", () -> admin.deleteStreamsGroupOffsets(streams, partitions).all());
        call("deleteStreamsGroups", () -> admin.deleteStreamsGroups(List.of(streams)).all());
    }

    private static void placement(Admin admin, int broker) throws Exception {
        TopicPartitionReplica replica = new TopicPartitionReplica(TOPIC, 0, broker);
        Optional<NewPartitionReassignment> here = Optional.of(new NewPartitionReassignment(List.of(broker)));
        call("describeReplicaLogDirs", () -> admin.describeReplicaLogDirs(List.of(replica)).all());
        String directory = admin.describeReplicaLogDirs(List.of(replica)).all().get().get(replica)
                .getCurrentReplicaLogDir();
        call("alterReplicaLogDirs", () -> admin.alterReplicaLogDirs(Map.of(replica, directory)).all());
        call("electLeaders", () -> admin.electLeaders(ElectionType.PREFERRED, null).all());
        call("alterPartitionReassignments", () -> admin.alterPartitionReassignments(Map.of(PARTITION, here)).all());
        call("listPartitionReassignments", () -> admin.listPartitionReassignments().reassignments());
    }

    private static void transactions(Admin admin) {
        List<String> ids = List.of("surface");
        call("describeProducers", () -> admin.describeProducers(List.of(PARTITION)).all());
        call("listTransactions", () -> admin.listTransactions().all());
        call("describeTransactions", () -> admin.describeTransactions(ids).all());
        call("fenceProducers", () -> admin.fenceProducers(ids).all());
        call("forceTerminateTransaction", () -> admin.forceTerminateTransaction("surface").result());
        AbortTransactionSpec nobody = new AbortTransactionSpec(PARTITION, 4_242, (short) 0, 0);
        call("abortTransaction", () -> admin.abortTransaction(nobody).all());
    }

    private static void security(Admin admin) {
        ResourcePattern pattern = new ResourcePattern(ResourceType.TOPIC, TOPIC, PatternType.LITERAL);
        AccessControlEntry entry =
                new AccessControlEntry("User:a", "*", AclOperation.READ, AclPermissionType.ALLOW);
        call("describeAcls", () -> admin.describeAcls(AclBindingFilter.ANY).values());
        call("createAcls", () -> admin.createAcls(List.of(new AclBinding(pattern, entry))).all());
        call("deleteAcls", () -> admin.deleteAcls(List.of(AclBindingFilter.ANY)).all());
        ClientQuotaEntity client = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, "surface"));
        ClientQuotaAlteration.Op limit = new ClientQuotaAlteration.Op("producer_byte_rate", 1e9);
        call("describeClientQuotas", () -> admin.describeClientQuotas(ClientQuotaFilter.all()).entities());
        call("alterClientQuotas", () -> admin.alterClientQuotas(
                List.of(new ClientQuotaAlteration(client, List.of(limit)))).all());
        ScramCredentialInfo info = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096);
        call("describeUserScramCredentials", () -> admin.describeUserScramCredentials().all());
        call("alterUserScramCredentials", () -> admin.alterUserScramCredentials(
                List.of(new UserScramCredentialUpsertion("u", info, "secret"))).all());
        byte[] token = new byte[16];
        call("createDelegationToken", () -> admin.createDelegationToken().delegationToken());
        call("renewDelegationToken", () -> admin.renewDelegationToken(token).expiryTimestamp());
        call("expireDelegationToken", () -> admin.expireDelegationToken(token).expiryTimestamp());
        call("describeDelegationToken", () -> admin.describeDelegationToken().delegationTokens());
    }

    private static void cluster(Admin admin) {
        FeatureUpdate same = new FeatureUpdate((short) 2, FeatureUpdate.UpgradeType.UPGRADE);
        RaftVoterEndpoint endpoint = new RaftVoterEndpoint("CONTROLLER", "localhost", 1);
        call("describeCluster", () -> admin.describeCluster().nodes());
        call("describeFeatures", () -> admin.describeFeatures().featureMetadata());
        call("updateFeatures", () -> admin.updateFeatures(
                Map.of("transaction.version", same), new UpdateFeaturesOptions()).all());
        call("describeMetadataQuorum", () -> admin.describeMetadataQuorum().quorumInfo());
        call("unregisterBroker", () -> admin.unregisterBroker(4_242).all());
        call("addRaftVoter", () -> admin.addRaftVoter(4_242, Uuid.randomUuid(), Set.of(endpoint)).all());
        call("removeRaftVoter", () -> admin.removeRaftVoter(4_242, Uuid.randomUuid()).all());
        call("clientInstanceId", () -> {
            admin.clientInstanceId(Duration.ofSeconds(5));
            return KafkaFuture.completedFuture(null);
        });
    }
}

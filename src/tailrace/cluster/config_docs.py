"""What every setting means, one line each, for DescribeConfigs. Imported when somebody asks, never at start.

`NAME: TEXT`; the brokers' settings first, then those of topics, groups and client metrics. A default that is not
Kafka's is said so. Names that topics and brokers share have one text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace.cluster.broker_configs import BROKER_CONFIGS, DEVELOPMENT_DEFAULTS

_TEXTS: Final = """
add.partitions.to.txn.retry.backoff.max.ms: Longest wait in ms between tries to add partitions to a transaction.
add.partitions.to.txn.retry.backoff.ms: First wait in ms between tries to add partitions to a transaction.
advertised.listeners: Addresses that clients are told to use. Unset: the address that each client dialled.
alter.config.policy.class.name: Class that may refuse changes of settings.
alter.log.dirs.replication.quota.window.num: Samples kept for the quota of moves between log directories.
alter.log.dirs.replication.quota.window.size.seconds: Length in s of one sample for that quota.
authorizer.class.name: Class that decides what a principal may do. Empty: everything is allowed.
auto.create.topics.enable: Whether a topic that a client names in Metadata is created when it does not exist.
auto.leader.rebalance.enable: Whether leadership goes back to the preferred replicas by itself.
background.threads: Threads for work in the background.
broker.heartbeat.interval.ms: How often in ms a broker tells the controller that it lives.
broker.id: Older name of node.id.
broker.rack: Rack of this broker, told to clients and used to spread replicas.
broker.session.timeout.ms: Silence in ms after which the controller takes a broker for dead.
client.quota.callback.class: Class that says which quota a request counts against.
compression.gzip.level: Level for gzip when the broker compresses: 1 (fast) to 9 (small), -1 the codec's default.
compression.lz4.level: Level for lz4 when the broker compresses: 1 (fast) to 17 (small).
compression.type: Codec that batches are stored in; producer keeps what the producer sent.
compression.zstd.level: Level for zstd when the broker compresses: up to 22, negative ones are faster.
config.providers: Names of providers that fill in placeholders in settings.
connection.failed.authentication.delay.ms: How long in ms to wait before a failed authentication is answered.
connections.max.idle.ms: A connection without requests for this long in ms is closed.
connections.max.reauth.ms: Longest life in ms of a SASL session before it must authenticate again; 0: no limit.
controlled.shutdown.enable: Whether leadership is handed over before a broker stops.
controller.listener.names: Names of the listeners that controllers use.
controller.quorum.append.linger.ms: How long in ms the controller gathers records before it writes them.
controller.quorum.auto.join.enable: Whether a controller joins the voters by itself.
controller.quorum.bootstrap.servers: Controllers to ask for the state of the quorum at start.
controller.quorum.election.backoff.max.ms: Longest wait in ms before another controller election.
controller.quorum.election.timeout.ms: How long in ms without a leader before a controller stands for election.
controller.quorum.fetch.max.bytes: Most bytes of the metadata log in one fetch between controllers.
controller.quorum.fetch.snapshot.max.bytes: Most bytes of a snapshot in one fetch between controllers.
controller.quorum.fetch.timeout.ms: Longest time in ms without a fetch before a new controller election.
controller.quorum.request.timeout.ms: Longest wait in ms for an answer from another controller.
controller.quorum.retry.backoff.ms: Wait in ms before a failed request to a controller is sent again.
controller.quorum.voters: The voting controllers, as id@host:port.
controller.quota.window.num: Samples kept for quotas of changes to metadata.
controller.quota.window.size.seconds: Length in s of one sample for quotas of changes to metadata.
controller.socket.timeout.ms: Longest wait in ms on a socket between controller and broker.
cordoned.log.dirs: Log directories that take no new partitions; * means all.
create.topic.policy.class.name: Class that may refuse the creation of topics.
default.replication.factor: Replicas of a topic that is created without saying how many.
delegation.token.expiry.check.interval.ms: How often in ms expired delegation tokens are looked for.
delegation.token.expiry.time.ms: Life in ms of a delegation token that is not renewed.
delegation.token.max.lifetime.ms: Longest life in ms of a delegation token.
delegation.token.secret.key: Secret that delegation tokens are made and checked with, the same on all brokers.
delete.records.purgatory.purge.interval.requests: After how many requests done DeleteRecords waits are cleared away.
delete.topic.enable: Whether topics can be deleted.
early.start.listeners: Listeners that open before the authorizer is ready.
fetch.max.bytes: Most bytes in one answer to Fetch, but for the first batch, which is never cut.
fetch.purgatory.purge.interval.requests: After how many requests done Fetch waits are cleared away.
follower.fetch.last.tiered.offset.enable: Whether a new follower starts at the last tiered offset.
follower.replication.throttled.rate: Bytes per second that throttled replicas may fetch as followers.
group.consumer.assignment.interval.ms: Shortest time in ms between two assignments of a consumer group.
group.consumer.assignors: Assignors of the consumer protocol, the first is the default.
group.consumer.heartbeat.interval.ms: How often in ms members of a consumer group are told to send heartbeats.
group.consumer.max.assignment.interval.ms: Largest consumer.assignment.interval.ms a group may set.
group.consumer.max.heartbeat.interval.ms: Largest consumer.heartbeat.interval.ms a group may set.
group.consumer.max.session.timeout.ms: Largest consumer.session.timeout.ms a group may set.
group.consumer.max.size: Most members of one group of the consumer protocol.
group.consumer.migration.policy: Whether groups may change between the classic and the consumer protocol by themselves.
group.consumer.min.assignment.interval.ms: Smallest consumer.assignment.interval.ms a group may set.
group.consumer.min.heartbeat.interval.ms: Smallest consumer.heartbeat.interval.ms a group may set.
group.consumer.min.session.timeout.ms: Smallest consumer.session.timeout.ms a group may set.
group.consumer.session.timeout.ms: Silence in ms after which a member of a consumer group is removed.
group.coordinator.append.linger.ms: How long in ms the coordinator gathers records before it writes them; -1: by itself.
group.coordinator.background.threads: Threads for the coordinator's work in the background.
group.coordinator.cached.buffer.max.bytes: Largest write buffer that the coordinator keeps for use again.
group.coordinator.rebalance.protocols: Group protocols that are enabled.
group.coordinator.threads: Threads that run coordinators.
group.initial.rebalance.delay.ms: How long in ms an empty group waits for more members before its first rebalance.
group.max.session.timeout.ms: Longest session timeout in ms that a member of a classic group may ask for.
group.max.size: Most members of one classic group.
group.min.session.timeout.ms: Shortest session timeout in ms that a member of a classic group may ask for.
group.share.assignment.interval.ms: Shortest time in ms between two assignments of a share group.
group.share.assignors: Assignors of share groups.
group.share.delivery.count.limit: How often a record of a share group is delivered before it is given up.
group.share.heartbeat.interval.ms: How often in ms members of a share group are told to send heartbeats.
group.share.max.assignment.interval.ms: Largest share.assignment.interval.ms a group may set.
group.share.max.delivery.count.limit: Largest share.delivery.count.limit a group may set.
group.share.max.heartbeat.interval.ms: Largest share.heartbeat.interval.ms a group may set.
group.share.max.partition.max.record.locks: Largest share.partition.max.record.locks a group may set.
group.share.max.record.lock.duration.ms: Largest share.record.lock.duration.ms a group may set.
group.share.max.session.timeout.ms: Largest share.session.timeout.ms a group may set.
group.share.max.share.sessions: Most share sessions of one broker.
group.share.max.size: Most members of one share group.
group.share.min.assignment.interval.ms: Smallest share.assignment.interval.ms a group may set.
group.share.min.delivery.count.limit: Smallest share.delivery.count.limit a group may set.
group.share.min.heartbeat.interval.ms: Smallest share.heartbeat.interval.ms a group may set.
group.share.min.partition.max.record.locks: Smallest share.partition.max.record.locks a group may set.
group.share.min.record.lock.duration.ms: Smallest share.record.lock.duration.ms a group may set.
group.share.min.session.timeout.ms: Smallest share.session.timeout.ms a group may set.
group.share.partition.max.record.locks: Most records of one partition that a share group holds unacknowledged.
group.share.record.lock.duration.ms: How long in ms a delivered record of a share group stays locked.
group.share.session.timeout.ms: Silence in ms after which a member of a share group is removed.
group.streams.assignment.interval.ms: Shortest time in ms between two assignments of a streams group.
group.streams.heartbeat.interval.ms: How often in ms members of a streams group are told to send heartbeats.
group.streams.initial.rebalance.delay.ms: How long in ms an empty streams group waits before its first rebalance.
group.streams.max.assignment.interval.ms: Largest streams.assignment.interval.ms a group may set.
group.streams.max.heartbeat.interval.ms: Largest streams.heartbeat.interval.ms a group may set.
group.streams.max.session.timeout.ms: Largest streams.session.timeout.ms a group may set.
group.streams.max.size: Most members of one streams group.
group.streams.max.standby.replicas: Largest streams.num.standby.replicas a group may set.
group.streams.min.assignment.interval.ms: Smallest streams.assignment.interval.ms a group may set.
group.streams.min.heartbeat.interval.ms: Smallest streams.heartbeat.interval.ms a group may set.
group.streams.min.session.timeout.ms: Smallest streams.session.timeout.ms a group may set.
group.streams.num.standby.replicas: Standby copies of each task of a streams group.
group.streams.session.timeout.ms: Silence in ms after which a member of a streams group is removed.
initial.broker.registration.timeout.ms: How long in ms a broker tries to register before it gives up.
inter.broker.listener.name: Listener that brokers use among themselves.
kafka.metrics.polling.interval.secs: How often in s the older metrics reporters run.
kafka.metrics.reporters: Classes of the older metrics reporters.
leader.imbalance.check.interval.seconds: How often in s partitions away from their preferred leader are looked for.
leader.replication.throttled.rate: Bytes per second that a leader may send to throttled replicas.
listener.security.protocol.map: Security protocol of each listener, by the listener's name.
listeners: Addresses to listen on, as NAME://host:port.
log.cleaner.backoff.ms: How long in ms the log cleaner rests when there is nothing to clean.
log.cleaner.dedupe.buffer.size: Bytes of memory that all cleaner threads use to find repeated keys.
log.cleaner.delete.retention.ms: How long in ms a tombstone stays in a compacted topic that does not say itself.
log.cleaner.enable: Whether compacted topics are compacted. Without it they grow for ever.
log.cleaner.io.buffer.load.factor: How full the cleaner's key table may get, from 0 to 1.
log.cleaner.io.buffer.size: Bytes of memory that all cleaner threads use for reading and writing.
log.cleaner.io.max.bytes.per.second: Most bytes per second that the cleaner reads and writes together.
log.cleaner.max.compaction.lag.ms: Longest time in ms a record may stay uncompacted.
log.cleaner.min.cleanable.ratio: Part of a log that must be uncompacted before it is worth compacting, from 0 to 1.
log.cleaner.min.compaction.lag.ms: Shortest time in ms a record stays uncompacted.
log.cleaner.threads: Threads that compact logs.
log.cleanup.policy: What happens to old segments: delete, compact, both, or nothing.
log.dir: Directory of the logs, when log.dirs is not set.
log.dir.failure.timeout.ms: A broker that cannot tell the controller of a failed directory for this long in ms stops.
log.dir.reserved.bytes: Free bytes of a log directory's volume below which producing is refused. -1: by its size.
log.dirs: Directories of the logs, separated by commas.
log.dirs.forget.missing: Whether log directories gone at start are given up: their partitions begin again, empty.
log.flush.before.ack: Whether records are forced to disk before acks=all is answered and before consumers see them.
log.flush.interval.messages: Records after which a log is forced to disk.
log.flush.interval.ms: Longest time in ms that a record stays unforced. Unset: log.flush.scheduler.interval.ms.
log.flush.offset.checkpoint.interval.ms: How often in ms the recovery points are written down.
log.flush.scheduler.interval.ms: How often in ms logs are looked at for what must be forced to disk.
log.flush.start.offset.checkpoint.interval.ms: How often in ms the start offsets of logs are written down.
log.index.interval.bytes: Bytes of log between two entries of its offset index.
log.index.size.max.bytes: Largest size in bytes of an index file.
log.local.retention.bytes: Bytes of a tiered partition kept on local disk; -2: as log.retention.bytes.
log.local.retention.ms: Time in ms a tiered segment is kept on local disk; -2: as log.retention.ms.
log.message.timestamp.after.max.ms: How far in ms a record's timestamp may be ahead of the broker's clock.
log.message.timestamp.before.max.ms: How far in ms a record's timestamp may be behind the broker's clock.
log.message.timestamp.type: CreateTime: a record keeps its producer's time. LogAppendTime: it gets the broker's.
log.open.files.max: Most .log files open at once; 0: half of the process's descriptors. Not a setting of Kafka.
log.preallocate: Whether a new segment takes its whole size on disk at once.
log.reader.threads: Threads that read what is not in memory; 0: 32 for each disk. Not a setting of Kafka.
log.retention.bytes: Bytes a partition may hold before old segments are deleted; -1: no limit.
log.retention.check.interval.ms: How often in ms logs are looked at for segments to delete.
log.retention.hours: Hours a segment is kept. log.retention.minutes and log.retention.ms are stronger.
log.retention.minutes: Minutes a segment is kept. log.retention.ms is stronger.
log.retention.ms: Time in ms a segment is kept; -1: for ever. Unset: log.retention.minutes.
log.roll.hours: Hours after which a new segment is begun. log.roll.ms is stronger.
log.roll.jitter.hours: Most hours taken off log.roll.hours at random. log.roll.jitter.ms is stronger.
log.roll.jitter.ms: Most ms taken off log.roll.ms at random, so that segments do not roll together.
log.roll.ms: Time in ms after which a new segment is begun. Unset: log.roll.hours.
log.segment.bytes: Largest size in bytes of a segment.
log.segment.delete.delay.ms: How long in ms a deleted file stays on disk for those who still read it.
max.connection.creation.rate: Most new connections per second.
max.connections: Most connections at a time.
max.connections.per.ip: Most connections at a time from one address.
max.connections.per.ip.overrides: Other limits for some addresses, as host:count separated by commas.
max.incremental.fetch.session.cache.slots: Most fetch sessions that are remembered.
max.request.partition.size.limit: Most partitions in one answer to DescribeTopicPartitions.
message.max.bytes: Largest batch in bytes that a topic which does not say itself takes.
metadata.log.dir: Directory of the metadata log. Unset: the first log directory.
metadata.log.max.record.bytes.between.snapshots: Bytes of metadata log after which a snapshot is made.
metadata.log.max.snapshot.interval.ms: Longest time in ms between snapshots of the metadata.
metadata.log.segment.bytes: Largest size in bytes of a segment of the metadata log.
metadata.log.segment.ms: Time in ms after which a new segment of the metadata log is begun.
metadata.max.idle.interval.ms: How often in ms the controller writes a record when there is nothing to write.
metadata.max.retention.bytes: Bytes of metadata log and snapshots that are kept.
metadata.max.retention.ms: Time in ms that metadata log and snapshots are kept.
metric.reporters: Classes that metrics are handed to.
metrics.num.samples: Samples kept for each metric.
metrics.recording.level: How much is measured: INFO, DEBUG or TRACE.
metrics.sample.window.ms: Length in ms of one sample of a metric.
min.insync.replicas: In-sync replicas without which a write with acks=all is refused.
node.id: Number of this broker, unique in the cluster.
num.io.threads: Threads that handle requests. This broker handles them in one event loop.
num.network.threads: Threads that read and write sockets. This broker does so in one event loop.
num.partitions: Partitions of a topic that is created without saying how many.
num.recovery.threads.per.data.dir: Threads per log directory for recovery at start and flushing at stop.
num.replica.alter.log.dirs.threads: Threads that move replicas between log directories.
num.replica.fetchers: Fetchers per leader that a follower runs.
offset.metadata.max.bytes: Largest text in bytes that a client may commit with an offset.
offsets.commit.timeout.ms: Longest wait in ms for the replicas of a commit of offsets.
offsets.load.buffer.size: Bytes read at a time when a coordinator loads groups and offsets.
offsets.retention.check.interval.ms: How often in ms expired offsets are looked for.
offsets.retention.minutes: Minutes that committed offsets of a group without members are kept.
offsets.topic.compression.codec: Codec of the offsets topic: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
offsets.topic.num.partitions: Partitions of the offsets topic. Not to be changed once it exists.
offsets.topic.replication.factor: Replicas of the offsets topic.
offsets.topic.segment.bytes: Largest size in bytes of a segment of the offsets topic.
principal.builder.class: Class that says who a connection is.
process.roles: What this process is: broker, controller or both.
producer.id.expiration.ms: Time in ms after which a partition forgets a producer that is silent.
producer.purgatory.purge.interval.requests: After how many requests done Produce waits are cleared away.
queued.max.request.bytes: Bytes of waiting requests after which nothing more is read; -1: no limit.
queued.max.requests: Waiting requests after which the network threads stop reading.
quota.window.num: Samples kept for client quotas.
quota.window.size.seconds: Length in s of one sample for client quotas.
remote.fetch.max.wait.ms: Longest wait in ms of a Fetch for tiered data.
remote.list.offsets.request.timeout.ms: Longest wait in ms of ListOffsets for tiered data.
remote.log.index.file.cache.total.size.bytes: Bytes of local disk for indexes of tiered segments.
remote.log.manager.copier.thread.pool.size: Threads that copy segments to tiered storage.
remote.log.manager.copy.max.bytes.per.second: Most bytes per second copied to tiered storage.
remote.log.manager.copy.quota.window.num: Samples kept for the quota of copying to tiered storage.
remote.log.manager.copy.quota.window.size.seconds: Length in s of one sample for the quota of copying to tiered storage.
remote.log.manager.expiration.thread.pool.size: Threads that delete expired tiered segments.
remote.log.manager.fetch.max.bytes.per.second: Most bytes per second read from tiered storage.
remote.log.manager.fetch.quota.window.num: Samples kept for the quota of reading tiered storage.
remote.log.manager.fetch.quota.window.size.seconds: Length in s of one sample for the quota of reading tiered storage.
remote.log.manager.follower.thread.pool.size: Threads that followers use for tiered storage.
remote.log.manager.task.interval.ms: How often in ms the tasks of tiered storage run.
remote.log.manager.thread.pool.size: Threads of the scheduler of tiered storage.
remote.log.metadata.custom.metadata.max.bytes: Largest custom metadata in bytes of a tiered segment.
remote.log.metadata.manager.class.name: Class that keeps the metadata of tiered segments.
remote.log.metadata.manager.class.path: Where that class is loaded from.
remote.log.metadata.manager.impl.prefix: Beginning of the names of that class's settings.
remote.log.metadata.manager.listener.name: Listener that the metadata of tiered segments is reached by.
remote.log.reader.max.pending.tasks: Most waiting reads of tiered storage.
remote.log.reader.threads: Threads that read tiered storage.
remote.log.storage.manager.class.name: Class that stores tiered segments.
remote.log.storage.manager.class.path: Where the class that stores tiered segments is loaded from.
remote.log.storage.manager.impl.prefix: Beginning of the names of the settings of the class that stores tiered segments.
remote.log.storage.system.enable: Whether topics may use tiered storage.
replica.alter.log.dirs.io.max.bytes.per.second: Most bytes per second moved between log directories.
replica.fetch.backoff.ms: Wait in ms before a follower fetches again after an error.
replica.fetch.max.bytes: Bytes of one partition that a follower asks for at a time.
replica.fetch.min.bytes: Bytes that a follower waits for.
replica.fetch.response.max.bytes: Bytes of one answer that a follower asks for.
replica.fetch.wait.max.ms: Longest wait in ms of a follower's fetch.
replica.high.watermark.checkpoint.interval.ms: How often in ms the high watermarks are written down.
replica.lag.time.max.ms: Time in ms after which a follower that has not caught up leaves the in-sync replicas.
replica.selector.class: Class that picks the replica a consumer should read from.
replica.socket.receive.buffer.bytes: Receive buffer in bytes of a follower's socket.
replica.socket.timeout.ms: Longest wait in ms on a follower's socket.
replication.quota.window.num: Samples kept for quotas of replication.
replication.quota.window.size.seconds: Length in s of one sample for quotas of replication.
request.timeout.ms: Longest wait in ms for an answer from another node.
sasl.client.callback.handler.class: Class that answers what a SASL client is asked.
sasl.enabled.mechanisms: SASL mechanisms that clients may use.
sasl.jaas.config: Login of the SASL listener, in JAAS form.
sasl.kerberos.kinit.cmd: Path of the kinit command.
sasl.kerberos.min.time.before.relogin: Shortest time in ms between two Kerberos logins.
sasl.kerberos.principal.to.local.rules: Rules that turn Kerberos principals into short names.
sasl.kerberos.service.name: Name of the Kerberos service that brokers run as.
sasl.kerberos.ticket.renew.jitter: Part of the renewal time of Kerberos tickets added at random.
sasl.kerberos.ticket.renew.window.factor: Part of a Kerberos ticket's life after which it is renewed.
sasl.login.callback.handler.class: Class that answers what a SASL login is asked.
sasl.login.class: Class that logs in.
sasl.login.connect.timeout.ms: Longest time in ms to connect to an authentication service.
sasl.login.read.timeout.ms: Longest time in ms to wait for an authentication service to answer.
sasl.login.refresh.buffer.seconds: How long in s before its end a credential is renewed at the latest.
sasl.login.refresh.min.period.seconds: Shortest time in s before a credential is renewed.
sasl.login.refresh.window.factor: Part of a credential's life after which it is renewed.
sasl.login.refresh.window.jitter: Part of a credential's life added to the renewal time at random.
sasl.login.retry.backoff.max.ms: Longest wait in ms between tries to log in.
sasl.login.retry.backoff.ms: First wait in ms between tries to log in.
sasl.mechanism.controller.protocol: SASL mechanism to controllers.
sasl.mechanism.inter.broker.protocol: SASL mechanism between brokers.
sasl.oauthbearer.assertion.algorithm: Algorithm that OAuth assertions are signed with.
sasl.oauthbearer.assertion.claim.aud: Audience claimed by OAuth assertions.
sasl.oauthbearer.assertion.claim.exp.seconds: Life in s of OAuth assertions.
sasl.oauthbearer.assertion.claim.iss: Issuer claimed by OAuth assertions.
sasl.oauthbearer.assertion.claim.jti.include: Whether OAuth assertions carry an id of their own.
sasl.oauthbearer.assertion.claim.nbf.seconds: How far in s before now OAuth assertions are valid.
sasl.oauthbearer.assertion.claim.sub: Subject claimed by OAuth assertions.
sasl.oauthbearer.assertion.file: File with a ready OAuth assertion.
sasl.oauthbearer.assertion.private.key.file: File with the key that OAuth assertions are signed with.
sasl.oauthbearer.assertion.private.key.passphrase: Passphrase of that key.
sasl.oauthbearer.assertion.template.file: File with headers and claims for OAuth assertions.
sasl.oauthbearer.client.credentials.client.id: Client id for the OAuth token service.
sasl.oauthbearer.client.credentials.client.secret: Client secret for the OAuth token service.
sasl.oauthbearer.clock.skew.seconds: Difference in s between clocks that is forgiven in OAuth tokens.
sasl.oauthbearer.expected.audience: Audiences of which an OAuth token must name one.
sasl.oauthbearer.expected.issuer: Issuer that an OAuth token must name.
sasl.oauthbearer.jwks.endpoint.refresh.ms: How often in ms the keys of OAuth tokens are fetched.
sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms: Longest wait in ms between tries to fetch those keys.
sasl.oauthbearer.jwks.endpoint.retry.backoff.ms: First wait in ms between tries to fetch those keys.
sasl.oauthbearer.jwks.endpoint.url: Where the keys of OAuth tokens are fetched from.
sasl.oauthbearer.jwt.retriever.class: Class that fetches OAuth tokens.
sasl.oauthbearer.jwt.validator.class: Class that checks OAuth tokens.
sasl.oauthbearer.scope: Scope asked of the OAuth token service.
sasl.oauthbearer.scope.claim.name: Name of the scope's claim in an OAuth token.
sasl.oauthbearer.sub.claim.name: Name of the subject's claim in an OAuth token.
sasl.oauthbearer.token.endpoint.url: Address of the OAuth token service.
sasl.server.callback.handler.class: Class that answers what a SASL server is asked.
sasl.server.max.receive.size: Largest SASL message in bytes.
security.inter.broker.protocol: Security protocol between brokers, when no listener is named for them.
security.providers: Classes that bring security algorithms.
share.coordinator.append.linger.ms: How long in ms the share coordinator gathers records before it writes them.
share.coordinator.cached.buffer.max.bytes: Largest write buffer that the share coordinator keeps for use again.
share.coordinator.load.buffer.size: Bytes read at a time when a share coordinator loads its state.
share.coordinator.snapshot.update.records.per.snapshot: Updates of a share partition's state between two snapshots.
share.coordinator.state.topic.compression.codec: Codec of the share state topic: 0 none to 4 zstd.
share.coordinator.state.topic.min.isr: min.insync.replicas of the share state topic.
share.coordinator.state.topic.num.partitions: Partitions of the share state topic. Not to be changed once it exists.
share.coordinator.state.topic.replication.factor: Replicas of the share state topic.
share.coordinator.state.topic.segment.bytes: Largest size in bytes of a segment of the share state topic.
share.coordinator.threads: Threads of the share coordinator.
share.coordinator.write.timeout.ms: Longest wait in ms for a write of the share coordinator.
share.fetch.purgatory.purge.interval.requests: After how many requests done ShareFetch waits are cleared away.
socket.connection.setup.timeout.max.ms: Longest time in ms for a connection to another node to be made.
socket.connection.setup.timeout.ms: First time limit in ms for a connection to another node.
socket.listen.backlog.size: Connections that may wait to be accepted.
socket.receive.buffer.bytes: Receive buffer in bytes of a client's socket; -1: the system's default.
socket.request.max.bytes: Largest request in bytes.
socket.send.buffer.bytes: Send buffer in bytes of a client's socket; -1: the system's default.
ssl.allow.dn.changes: Whether a new certificate may name another subject.
ssl.allow.san.changes: Whether a new certificate may leave out alternative names.
ssl.cipher.suites: Cipher suites allowed. Empty: all that are available.
ssl.client.auth: Whether clients must show a certificate: required, requested or none.
ssl.enabled.protocols: TLS versions allowed.
ssl.endpoint.identification.algorithm: How a server's name is checked against its certificate.
ssl.engine.factory.class: Class that makes TLS engines.
ssl.key.password: Password of the private key.
ssl.keymanager.algorithm: Algorithm of the key manager.
ssl.keystore.certificate.chain: Certificates in PEM form.
ssl.keystore.key: Private key in PEM form.
ssl.keystore.location: File with the key and certificates.
ssl.keystore.password: Password of that file.
ssl.keystore.type: Format of that file.
ssl.principal.mapping.rules: Rules that turn a certificate's subject into a principal.
ssl.protocol: TLS version to begin with.
ssl.provider: Security provider for TLS.
ssl.secure.random.implementation: Source of random numbers for TLS.
ssl.trustmanager.algorithm: Algorithm of the trust manager.
ssl.truststore.certificates: Trusted certificates in PEM form.
ssl.truststore.location: File with trusted certificates.
ssl.truststore.password: Password of the file with trusted certificates.
ssl.truststore.type: Format of the file with trusted certificates.
telemetry.max.bytes: Largest push of client metrics in bytes.
transaction.abort.timed.out.transaction.cleanup.interval.ms: How often in ms timed-out transactions are aborted.
transaction.max.timeout.ms: Longest timeout in ms that a transaction may ask for.
transaction.partition.verification.enable: Whether a write is checked to belong to a running transaction.
transaction.remove.expired.transaction.cleanup.interval.ms: How often in ms expired transactional ids are removed.
transaction.state.log.load.buffer.size: Bytes read at a time when a coordinator loads transactions.
transaction.state.log.min.isr: min.insync.replicas of the transaction topic.
transaction.state.log.num.partitions: Partitions of the transaction topic. Not to be changed once it exists.
transaction.state.log.replication.factor: Replicas of the transaction topic.
transaction.state.log.segment.bytes: Largest size in bytes of a segment of the transaction topic.
transaction.two.phase.commit.enable: Whether transactions may be prepared by another coordinator.
transactional.id.expiration.ms: Time in ms after which an unused transactional id is forgotten.
unclean.leader.election.enable: Whether a replica that is not in sync may lead when no other can, at the cost of data.
cleanup.policy: What happens to old segments: delete, compact, both, or nothing.
http.console: The web console of http.listen: on, read-only or off; auto: read-only beyond loopback. Not Kafka's.
http.listen: Where the console, metrics and health are served, as HOST:PORT; empty: nowhere. Not a setting of Kafka.
loop.stall.report.ms: A turn of the loop longer than these ms is logged, with what holds it; 0: none is. Not Kafka's.
profile.dump.dir: Where a sudden rise of processor time, memory or tasks leaves a profile; empty: nowhere. Not Kafka's.
log.format: Lines that the broker writes: text for people, json for machines. Not a setting of Kafka.
cluster.url: Where the cluster keeps its metadata: etcd://HOST:PORT[,HOST:PORT][/NAME], etcds:// with TLS.
delete.retention.ms: How long in ms a tombstone stays after compaction.
file.delete.delay.ms: How long in ms a deleted file stays on disk for those who still read it.
flush.before.ack: Whether records are forced to disk before acks=all is answered and before consumers see them.
flush.messages: Records after which the log is forced to disk.
flush.ms: Longest time in ms that a record stays unforced.
follower.replication.throttled.replicas: Replicas throttled as followers: partition:broker,... or * for all.
index.interval.bytes: Bytes of log between two entries of its offset index.
leader.replication.throttled.replicas: Replicas throttled as leaders: partition:broker,... or * for all.
local.retention.bytes: Bytes of a tiered partition kept on local disk; -2: as retention.bytes.
local.retention.ms: Time in ms a tiered segment is kept on local disk; -2: as retention.ms.
max.compaction.lag.ms: Longest time in ms a record may stay uncompacted.
max.message.bytes: Largest batch in bytes, after compression.
message.timestamp.after.max.ms: How far in ms a record's timestamp may be ahead of the broker's clock.
message.timestamp.before.max.ms: How far in ms a record's timestamp may be behind the broker's clock.
message.timestamp.type: CreateTime: a record keeps its producer's time. LogAppendTime: it gets the broker's.
min.cleanable.dirty.ratio: Part of the log that must be uncompacted before it is worth compacting, from 0 to 1.
min.compaction.lag.ms: Shortest time in ms a record stays uncompacted.
preallocate: Whether a new segment takes its whole size on disk at once.
remote.log.copy.disable: Whether a tiered topic copies no more segments.
remote.log.delete.on.disable: Whether tiered data is deleted when tiering is switched off.
remote.storage.enable: Whether the topic uses tiered storage.
retention.bytes: Bytes a partition may hold before old segments are deleted; -1: no limit.
retention.ms: Time in ms a segment is kept; -1: for ever.
segment.bytes: Largest size in bytes of a segment.
segment.index.bytes: Largest size in bytes of an index file.
segment.jitter.ms: Most ms taken off segment.ms at random, so that segments do not roll together.
segment.ms: Time in ms after which a new segment is begun.
consumer.assignment.interval.ms: Shortest time in ms between two assignments of the group.
consumer.heartbeat.interval.ms: How often in ms members are told to send heartbeats.
consumer.session.timeout.ms: Silence in ms after which a member is removed.
etcd.password: Password of etcd.user.
etcd.tls.ca.file: PEM file of the authorities that sign etcd's certificates. Unset: the system's.
etcd.tls.certificate.file: PEM file of the certificate that etcd is shown.
etcd.tls.key.file: PEM file of that certificate's key.
etcd.user: Who etcd is told that asks, where it wants to know.
share.assignment.interval.ms: Shortest time in ms between two assignments of the share group.
share.auto.offset.reset: Where a share group begins: latest, earliest or by_duration:<ISO 8601 duration>.
share.delivery.count.limit: How often a record is delivered before it is given up.
share.heartbeat.interval.ms: How often in ms members of the share group are told to send heartbeats.
share.isolation.level: Whether the share group sees records of open and aborted transactions.
share.partition.max.record.locks: Most records of one partition held unacknowledged.
share.record.lock.duration.ms: How long in ms a delivered record stays locked.
share.renew.acknowledge.enable: Whether a member may keep a record locked for longer.
share.session.timeout.ms: Silence in ms after which a member of the share group is removed.
streams.assignment.interval.ms: Shortest time in ms between two assignments of the streams group.
streams.heartbeat.interval.ms: How often in ms members of the streams group are told to send heartbeats.
streams.initial.rebalance.delay.ms: How long in ms the empty streams group waits before its first rebalance.
streams.num.standby.replicas: Standby copies of each task.
streams.session.timeout.ms: Silence in ms after which a member of the streams group is removed.
interval.ms: How often in ms clients push the metrics of this subscription.
match: Which clients the subscription is for, as key=regular expression.
metrics: Beginnings of the names of the metrics asked for; * means all, nothing none.
"""


def _docs() -> dict[str, str]:
    docs = {}
    for line in _TEXTS.strip().splitlines():
        name, _, text = line.partition(": ")
        if name in DEVELOPMENT_DEFAULTS:
            ours, kafkas = BROKER_CONFIGS[name].default, DEVELOPMENT_DEFAULTS[name]
            text = f"{text} Default here {ours}, for one broker; in Apache Kafka {kafkas}."
        docs[name] = text
    return docs


CONFIG_DOCS: Final[Mapping[str, str]] = _docs()
"""Setting -> what it means."""

// kafkajs as a driver of the story: reads one JSON command a line on stdin, writes one JSON answer a line on stdout.
// What a command means is written in tests/harness/drivers.py; how it travels, in tests/compat/line_driver.py.
'use strict'

const readline = require('node:readline')
const kafkajs = require('kafkajs')
const SnappyCodec = require('kafkajs-snappy')
const lz4 = require('lz4js')
const xxh32 = require('lz4js/xxh32.js')
const { ZstdCodec } = require('zstd-codec')

const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = kafkajs
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}
const ACKS = { 0: 0, 1: 1, all: -1 }
const DEADLINE_MS = 20000

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
// Kafka wants independent blocks. lz4js never says they are, but a batch is one block, which depends on nothing:
// so the flag is set afterwards, and the checksum of the two descriptor bytes made anew.
function lz4Frame(buffer) {
  const frame = Buffer.from(lz4.compress(buffer))
  frame[4] |= 0x20
  frame[6] = (xxh32.hash(0, frame, 4, 2) >>> 8) & 0xff
  return frame
}
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => lz4Frame(encoder.buffer),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
})

function zstd() {
  const loaded = new Promise((resolve) => ZstdCodec.run((codec) => resolve(new codec.Simple())))
  return () => ({
    compress: async (encoder) => Buffer.from((await loaded).compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from((await loaded).decompress(buffer)),
  })
}
CompressionCodecs[CompressionTypes.ZSTD] = zstd()

const decode = (text) => (text === null ? null : Buffer.from(text, 'base64'))
const encode = (buffer) => (buffer === null || buffer === undefined ? null : Buffer.from(buffer).toString('base64'))

// kafkajs gives headers as an object: a repeated name holds an array, and its order among others is lost.
function headersOut(headers) {
  const pairs = []
  for (const [name, value] of Object.entries(headers || {})) {
    for (const one of Array.isArray(value) ? value : [value]) pairs.push([name, encode(one)])
  }
  return pairs
}

function headersIn(pairs) {
  const headers = {}
  for (const [name, value] of pairs) {
    headers[name] = name in headers ? [].concat(headers[name], [decode(value)]) : decode(value)
  }
  return headers
}

function stored(partition, message) {
  return {
    partition,
    offset: Number(message.offset),
    key: encode(message.key),
    value: encode(message.value),
    headers: headersOut(message.headers),
    timestamp_ms: Number(message.timestamp),
  }
}

class Member {
  constructor(kafka, command) {
    this.topic = command.topic
    this.received = []
    this.events = []
    this.owned = new Set()
    this.next = new Map()
    this.consumer = kafka.consumer({
      groupId: command.group,
      sessionTimeout: command.session_timeout_ms,
      heartbeatInterval: command.heartbeat_interval_ms,
      rebalanceTimeout: 10000,
      maxWaitTimeInMs: 200,
    })
    this.consumer.on(this.consumer.events.GROUP_JOIN, (event) => {
      this.owned = new Set(event.payload.memberAssignment[this.topic] || [])
      this.events.push(['assigned', [...this.owned]])
    })
    this.consumer.on(this.consumer.events.REBALANCING, () => {
      this.events.push(['revoked', [...this.owned]])
      this.owned = new Set()
    })
  }

  async start() {
    await this.consumer.connect()
    await this.consumer.subscribe({ topics: [this.topic], fromBeginning: true })
    await this.consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        for (const message of batch.messages) this.received.push(stored(batch.partition, message))
        this.next.set(batch.partition, Number(batch.lastOffset()) + 1)
      },
    })
  }

  async commit() {
    const offsets = []
    for (const [partition, offset] of this.next) {
      if (this.owned.has(partition)) offsets.push({ topic: this.topic, partition, offset: String(offset) })
    }
    await this.consumer.commitOffsets(offsets)
  }
}

class Driver {
  constructor(bootstrap) {
    this.kafka = new Kafka({
      clientId: 'story',
      brokers: [bootstrap],
      logLevel: logLevel.ERROR,
      retry: { initialRetryTime: 100, retries: 8 },
    })
    this.admin = this.kafka.admin()
    this.members = new Map()
  }

  async open() {
    await this.admin.connect()
  }

  async create_topic({ topic, partitions, config }) {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
    await this.admin.createTopics({
      topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }],
      waitForLeaders: false,
    })
  }

  async delete_topic({ topic }) {
    await this.admin.deleteTopics({ topics: [topic] })
  }

  async topics() {
    return this.admin.listTopics()
  }

  async partition_count({ topic }) {
    const { topics } = await this.admin.fetchTopicMetadata({ topics: [topic] })
    return topics[0].partitions.length
  }

  async produce({ topic, partition, records, codec, acks }) {
    const producer = this.kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner, retry: { retries: 2 } })
    await producer.connect()
    try {
      const messages = records.map((r) => ({
        partition,
        key: decode(r.key),
        value: decode(r.value),
        headers: headersIn(r.headers),
        timestamp: String(r.timestamp_ms),
      }))
      await producer.send({ topic, acks: ACKS[acks], compression: CODECS[codec], messages })
    } finally {
      await producer.disconnect()
    }
  }

  // kafkajs seeks only within a group, once the consumer runs.
  async read({ topic, partition, offset, count }) {
    const consumer = this.kafka.consumer({ groupId: `reader-${process.pid}-${Math.random()}`, maxWaitTimeInMs: 200 })
    await consumer.connect()
    try {
      const wanted = []
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      const done = new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error(`only ${wanted.length} of ${count} records came`)), DEADLINE_MS).unref()
        consumer
          .run({
            autoCommit: false,
            eachMessage: async ({ partition: from, message }) => {
              if (from !== partition || Number(message.offset) < offset || wanted.length === count) return
              wanted.push(stored(from, message))
              if (wanted.length === count) resolve()
            },
          })
          .catch(reject)
      })
      consumer.seek({ topic, partition, offset: String(offset) })
      await done
      return wanted
    } finally {
      await consumer.disconnect()
    }
  }

  async bounds({ topic, partition }) {
    const offsets = await this.admin.fetchTopicOffsets(topic)
    const found = offsets.find((entry) => entry.partition === partition)
    return [Number(found.low), Number(found.high)]
  }

  async offset_at({ topic, partition, timestamp_ms }) {
    const [high] = (await this.admin.fetchTopicOffsets(topic)).filter((e) => e.partition === partition).map((e) => e.high)
    const offsets = await this.admin.fetchTopicOffsetsByTimestamp(topic, timestamp_ms)
    const { offset } = offsets.find((entry) => entry.partition === partition)
    // kafkajs answers with the end of the log where the broker knows no such record.
    return offset === high || offset === '-1' ? null : Number(offset)
  }

  async join(command) {
    const member = new Member(this.kafka, command)
    const id = this.members.size
    this.members.set(id, member)
    await member.start()
    return id
  }

  async assignment({ member }) {
    return [...this.members.get(member).owned]
  }

  async events({ member }) {
    return this.members.get(member).events
  }

  async received({ member, skip }) {
    return this.members.get(member).received.slice(skip)
  }

  async commit({ member }) {
    await this.members.get(member).commit()
  }

  async leave({ member }) {
    await this.members.get(member).consumer.disconnect()
  }

  async committed({ group, topic }) {
    const [{ partitions }] = await this.admin.fetchOffsets({ groupId: group, topics: [topic] })
    return partitions.map(({ partition, offset }) => [partition, Number(offset)])
  }

  async alter_config({ topic, name, value }) {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name, value }] }]
    await this.admin.alterConfigs({ validateOnly: false, resources })
  }

  async config({ topic, name }) {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }]
    const answer = await this.admin.describeConfigs({ includeSynonyms: false, resources })
    return answer.resources[0].configEntries.find((entry) => entry.configName === name).configValue
  }

  async delete_records({ topic, partition, before_offset }) {
    await this.admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before_offset) }] })
  }

  async close() {
    await this.admin.disconnect()
  }
}

async function main() {
  const driver = new Driver(process.argv[2])
  await driver.open()
  const answer = (line) => process.stdout.write(JSON.stringify(line) + '\n')
  answer({ ok: 'ready' })
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line)
    try {
      const result = await driver[command.do](command)
      answer({ ok: result === undefined ? null : result })
    } catch (failure) {
      answer({ error: `${failure.name}: ${failure.message} ${failure.type || ''}` })
    }
    if (command.do === 'close') break
  }
  process.exit(0)
}

main()

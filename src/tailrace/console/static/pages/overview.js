// What the cluster does at this moment, and what is wrong with it.
import { computed } from '/static/vue.js'
import { get } from '/static/api.js'
import * as format from '/static/format.js'
import { useKey } from '/static/keyboard.js'
import { live } from '/static/live.js'
import { useLoad } from '/static/load.js'
import { pathOf } from '/static/router.js'

const ASKED_EVERY_MS = 10_000

const of = (pick) => live.points.map(point => [point.time_ms, pick(point) ?? null])
const line = (name, colour, pick, area = false) => ({ name, colour, area, points: of(pick) })

const charts = computed(() => [
  { label: 'Throughput', format: format.byteRate, empty: 'This cluster does not tell its bytes.', series: [line('in', '--chart-1', point => point.bytes_in_per_s, true), line('out', '--chart-2', point => point.bytes_out_per_s)] },
  { label: 'Records', format: format.rate, series: [line('in', '--chart-1', point => point.records_in_per_s, true)] },
  { label: 'Request time, 99 of 100 within', format: format.duration, empty: 'No request in the last minutes, or this cluster does not tell its times.', series: [line('produce', '--chart-1', point => point.produce_ms?.p99), line('fetch', '--chart-2', point => point.fetch_ms?.p99)] },
  { label: 'Lag of all groups', format: format.short, empty: 'No group has committed an offset yet.', series: [line('records', '--chart-3', point => point.lag, true)] },
])

export const Overview = {
  setup() {
    const load = useLoad(signal => get('/api/overview', {}, signal), { everyMs: ASKED_EVERY_MS })
    useKey('r', () => load.reload())
    return { charts, format, live, load, pathOf, now: computed(() => live.last ?? {}) }
  },
  template: `
    <PageHead title="Overview"><template #beside><span v-if="load.data" class="muted">{{ load.data.kafka }} · <span class="mono">{{ load.data.cluster_id }}</span></span></template></PageHead>
    <section class="tiles" aria-label="Now">
      <FigureTile label="Records in" :value="format.rate(now.records_in_per_s)" :note="format.byteRate(now.bytes_in_per_s)" />
      <FigureTile label="Read" :value="format.byteRate(now.bytes_out_per_s)" />
      <FigureTile label="Produce p99" :value="format.duration(now.produce_ms?.p99)" :note="now.produce_ms ? 'p50 ' + format.duration(now.produce_ms.p50) : ''" />
      <FigureTile label="Lag" :value="format.short(now.lag)" :note="load.data ? format.counted(load.data.groups, 'group') : ''" href="/groups" />
      <FigureTile label="Connections" :value="format.count(now.connections)" :note="now.errors_per_s == null ? '' : now.errors_per_s ? format.short(now.errors_per_s) + ' errors/s' : 'no errors'" :tone="now.errors_per_s > 0 ? 'warn' : ''" />
      <FigureTile label="Memory" :value="format.bytes(now.memory_bytes)" :note="now.cpu_percent == null ? '' : 'CPU ' + format.percent(now.cpu_percent)" />
    </section>
    <section class="charts" aria-label="Charts"><LiveChart v-for="chart in charts" :key="chart.label" v-bind="chart" class="card" /></section>
    <ViewLoad :load="load" v-slot="{ data }">
      <section v-if="data.problems.length" class="problems" aria-label="Problems">
        <article v-for="(problem, at) in data.problems" :key="at" class="banner" :class="problem.severity === 'error' ? 'bad' : 'warn'">
          <q-icon :name="problem.severity === 'error' ? 'error' : 'warning'" size="20px" aria-hidden="true" />
          <div><b>{{ problem.cause }}</b> {{ problem.cure }} <a v-if="problem.link" :href="problem.link">Look</a></div>
        </article>
      </section>
      <p v-else class="fine"><q-icon name="check_circle" size="18px" /> Every partition has a leader and all its replicas.</p>
      <div class="halves">
        <section class="card">
          <h2>Busiest topics</h2>
          <table v-if="now.topics?.length" class="rows"><thead><tr><th>Topic</th><th class="number">Records/s</th><th class="number">Bytes/s</th></tr></thead>
            <tbody><tr v-for="topic in now.topics" :key="topic.name"><td class="mono"><a :href="pathOf('topics', topic.name)">{{ topic.name }}</a></td><td class="number">{{ format.short(topic.records_in_per_s) }}</td><td class="number">{{ format.bytes(topic.bytes_in_per_s) }}</td></tr></tbody></table>
          <p v-else class="muted">Nothing is written at the moment. <a href="/topics">To the topics</a></p>
        </section>
        <section class="card">
          <h2>Brokers</h2>
          <table class="rows"><thead><tr><th>Broker</th><th>Address</th><th class="number">Leads</th><th class="number">Replicas</th></tr></thead>
            <tbody><tr v-for="broker in data.brokers" :key="broker.id"><td><a :href="pathOf('brokers', broker.id)">{{ broker.id }}</a> <StateChip v-if="broker.is_controller" state="controller" tone="quiet" /></td><td class="mono">{{ broker.host }}:{{ broker.port }}</td><td class="number">{{ format.count(broker.leaders) }}</td><td class="number">{{ format.count(broker.replicas) }}</td></tr></tbody></table>
          <p class="muted">{{ format.counted(data.topics, 'topic') }}, {{ format.counted(data.partitions, 'partition') }}<template v-if="data.under_replicated">, <b class="warn">{{ format.count(data.under_replicated) }} under-replicated</b></template><template v-if="data.offline">, <b class="bad">{{ format.count(data.offline) }} without a leader</b></template></p>
        </section>
      </div>
    </ViewLoad>`,
}

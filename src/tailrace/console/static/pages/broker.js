// One broker: its disks, what lies on them, and its settings.
import { api, get, patch } from '/static/api.js'
import * as format from '/static/format.js'
import { useKey } from '/static/keyboard.js'
import { useLoad } from '/static/load.js'
import { pathOf, route } from '/static/router.js'
import { ConfigTable } from '/static/components/config-table.js'

export const Broker = {
  components: { ConfigTable },
  setup() {
    const id = route.params.broker
    const load = useLoad(signal => get(api('brokers', id), {}, signal))
    useKey('r', () => load.reload())
    const used = dir => dir.total_bytes && dir.usable_bytes !== null ? (dir.total_bytes - dir.usable_bytes) / dir.total_bytes : null
    return { format, id, load, pathOf, used, save: changes => patch(api('brokers', id, 'configs'), { ...changes, confirm: id }) }
  },
  template: `
    <PageHead :title="'Broker ' + id" :up="['/brokers', 'Brokers']"><template #beside><span v-if="load.data" class="muted facts"><span class="mono">{{ load.data.host }}:{{ load.data.port }}</span><StateChip v-if="load.data.is_controller" state="controller" tone="good" /><span>{{ load.data.software }}</span></span></template></PageHead>
    <ViewLoad :load="load" v-slot="{ data }">
      <section class="tiles"><FigureTile label="Leads" :value="format.count(data.leaders)" note="partitions" /><FigureTile label="Replicas" :value="format.count(data.replicas)" /><FigureTile label="Logs" :value="format.bytes(data.size_bytes)" /><FigureTile label="Rack" :value="data.rack ?? '–'" /></section>
      <section v-for="dir in data.log_dirs" :key="dir.path" class="card spaced">
        <h2 class="mono">{{ dir.path }}</h2>
        <FailureState v-if="dir.error" :failure="{ cause: 'This directory is not in use: ' + dir.error, cure: 'See the broker\\'s log; its partitions have no replica here.', error: dir.error }" />
        <p class="facts muted"><span>{{ format.bytes(dir.size_bytes) }} of logs</span><span>{{ format.counted(dir.partitions, 'partition') }}</span><span v-if="used(dir) !== null">{{ format.bytes(dir.usable_bytes) }} of {{ format.bytes(dir.total_bytes) }} free</span></p>
        <q-linear-progress v-if="used(dir) !== null" :value="used(dir)" size="6px" :aria-label="'Disk used: ' + format.percent(100 * used(dir))" />
        <details v-if="dir.largest.length"><summary>Largest partitions</summary><table class="rows"><tbody><tr v-for="one in dir.largest" :key="one.topic + one.partition"><td class="mono"><a :href="pathOf('topics', one.topic)">{{ one.topic }}-{{ one.partition }}</a></td><td class="number">{{ format.bytes(one.size_bytes) }}</td></tr></tbody></table></details>
      </section>
      <h2 class="space">Settings</h2>
      <ConfigTable :configs="data.configs" own="broker" :save="save" @saved="load.reload()" />
    </ViewLoad>`,
}

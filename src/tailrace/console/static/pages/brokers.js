// The brokers of the cluster.
import { get } from '/static/api.js'
import * as format from '/static/format.js'
import { useKey } from '/static/keyboard.js'
import { live } from '/static/live.js'
import { useLoad } from '/static/load.js'
import { pathOf } from '/static/router.js'

export const Brokers = {
  setup() {
    const load = useLoad(signal => get('/api/brokers', {}, signal), { everyMs: 10_000 })
    const isDown = id => live.last?.brokers?.some(broker => broker.id === id && !broker.is_reachable)
    useKey('r', () => load.reload())
    return { format, isDown, load, pathOf }
  },
  template: `
    <PageHead title="Brokers"><template #beside><span v-if="load.data" class="muted">{{ format.count(load.data.items.length) }}</span></template></PageHead>
    <ViewLoad :load="load" v-slot="{ data }">
      <div class="scrolled"><table class="rows"><thead><tr><th>Broker</th><th>Address</th><th>Rack</th><th>Software</th><th class="number">Leads</th><th class="number">Replicas</th><th class="number">Size</th></tr></thead>
        <tbody><tr v-for="broker in data.items" :key="broker.id"><td><a class="strong" :href="pathOf('brokers', broker.id)">Broker {{ broker.id }}</a> <StateChip v-if="broker.is_controller" state="controller" tone="good" /> <StateChip v-if="isDown(broker.id)" state="unreachable" tone="bad" /></td><td class="mono">{{ broker.host }}:{{ broker.port }}</td><td>{{ broker.rack ?? '–' }}</td><td>{{ broker.software ?? '–' }}</td><td class="number">{{ format.count(broker.leaders) }}</td><td class="number">{{ format.count(broker.replicas) }}</td><td class="number">{{ format.bytes(broker.size_bytes) }}</td></tr></tbody></table></div>
    </ViewLoad>`,
}

// One group: how far behind it is, now and over the last hour, who is in it, and moving its offsets.
import { computed, ref } from '/static/vue.js'
import { api, get, remove, session } from '/static/api.js'
import * as format from '/static/format.js'
import { useKey } from '/static/keyboard.js'
import { useLoad } from '/static/load.js'
import { go, pathOf, route } from '/static/router.js'
import { ConfirmDialog } from '/static/components/confirm-dialog.js'
import { ResetOffsets } from '/static/components/reset-offsets.js'

const ASKED_EVERY_MS = 5000
const WINDOW_MS = 3_600_000

function byTopic(offsets) {
  const topics = new Map()
  for (const one of offsets) topics.set(one.topic, [...(topics.get(one.topic) ?? []), one])
  return [...topics].map(([topic, partitions]) => ({
    topic, partitions, lag: partitions.reduce((sum, one) => sum + (one.lag ?? 0), 0), most: Math.max(1, ...partitions.map(one => one.lag ?? 0)),
  }))
}

export const Group = {
  components: { ConfirmDialog, ResetOffsets },
  setup() {
    const name = route.params.group
    const load = useLoad(signal => get(api('groups', name), {}, signal), { everyMs: ASKED_EVERY_MS })
    const lag = useLoad(signal => get(api('groups', name, 'lag'), { window_ms: WINDOW_MS }, signal), { everyMs: ASKED_EVERY_MS })
    const isResetting = ref(false)
    const isDeleting = ref(false)
    const topics = computed(() => byTopic(load.data?.offsets ?? []))
    const series = computed(() => [{ name: 'records', colour: '--chart-3', area: true, points: lag.data?.total ?? [] }])
    useKey('r', () => { load.reload(); lag.reload() })
    return {
      format, isDeleting, isResetting, lag, load, name, pathOf, series, session, topics,
      assigned: member => member.assignment.map(one => `${one.topic} ${one.partitions.join(', ')}`),
      deleteGroup: () => remove(api('groups', name), { confirm: name }), gone: () => go('/groups'),
    }
  },
  template: `
    <PageHead :title="name" :up="['/groups', 'Groups']" mono>
      <template #beside><StateChip v-if="load.data" :state="load.data.state" /></template>
      <template v-if="load.data">
        <q-btn outline no-caps icon="restore" label="Reset offsets" :disable="session.read_only || !load.data.can_reset" @click="isResetting = true"><q-tooltip v-if="!load.data.can_reset">{{ load.data.cannot_reset_why }}</q-tooltip></q-btn>
        <q-btn outline no-caps icon="delete" class="bad" label="Delete" :disable="session.read_only || load.data.members.length > 0" @click="isDeleting = true" />
      </template>
    </PageHead>
    <ViewLoad :load="load" v-slot="{ data }">
      <p v-if="data.cannot_reset_why && !session.read_only" class="muted">{{ data.cannot_reset_why }}</p>
      <section class="tiles" aria-label="Now">
        <FigureTile label="Lag" :value="format.count(data.lag)" note="records not read yet" :tone="data.lag ? '' : 'good'" />
        <FigureTile label="Members" :value="format.count(data.members.length)" :note="data.assignor ?? ''" />
        <FigureTile label="Type" :value="data.type ?? '–'" :note="data.protocol_type || ''" />
        <FigureTile label="Coordinator" :value="data.coordinator ? 'Broker ' + data.coordinator.id : '–'" :note="data.coordinator ? data.coordinator.host + ':' + data.coordinator.port : ''" />
      </section>
      <section class="charts"><LiveChart label="Lag, last hour" :series="series" :format="format.short" empty="Lag is kept while somebody uses the console, for an hour." class="card" /></section>
      <section v-for="one in topics" :key="one.topic" class="card spaced">
        <h2><a class="mono" :href="pathOf('topics', one.topic)">{{ one.topic }}</a> <span class="muted plain">lag {{ format.count(one.lag) }}</span></h2>
        <div class="inner-scroll"><table class="rows"><thead><tr><th class="number">Partition</th><th class="number">Committed</th><th class="number">End</th><th class="number">Lag</th><th class="bar-cell"><span class="hidden">Lag as a bar</span></th><th>Member</th></tr></thead>
          <tbody><tr v-for="at in one.partitions" :key="at.partition"><td class="number"><a :href="pathOf('topics', one.topic, 'messages') + '?from=offset&partition=' + at.partition + '&offset=' + (at.offset ?? 0)">{{ at.partition }}</a></td><td class="number">{{ format.count(at.offset) }}</td><td class="number">{{ format.count(at.end_offset) }}</td><td class="number">{{ format.count(at.lag) }}</td><td class="bar-cell"><i class="lag-bar" :style="{ width: 100 * (at.lag ?? 0) / one.most + '%' }"></i></td><td class="mono">{{ at.client_id ?? '–' }}</td></tr></tbody></table></div>
      </section>
      <EmptyState v-if="!topics.length" icon="bookmark_border" title="No committed offsets">The group has not committed an offset of any topic.</EmptyState>
      <section class="card spaced">
        <h2>Members</h2>
        <div v-if="data.members.length" class="inner-scroll"><table class="rows"><thead><tr><th>Client</th><th>Host</th><th>Partitions</th><th>Member</th></tr></thead>
          <tbody><tr v-for="member in data.members" :key="member.member_id"><td class="mono">{{ member.client_id }} <span v-if="member.instance_id" class="muted">{{ member.instance_id }}</span></td><td class="mono">{{ member.host }}</td><td class="mono"><div v-for="text in assigned(member)" :key="text">{{ text }}</div></td><td class="mono muted">{{ member.member_id }} <CopyButton :text="member.member_id" what="Copy member id" /></td></tr></tbody></table></div>
        <p v-else class="muted">Nobody is in the group.</p>
      </section>
      <ResetOffsets v-model="isResetting" :group="name" :topics="topics.map(one => one.topic)" @done="load.reload()" />
      <ConfirmDialog v-model="isDeleting" title="Delete group" :name="name" action="Delete group" :act="deleteGroup" :done="'Group ' + name + ' is deleted'" @done="gone"><p>Its committed offsets are lost: consumers of this name start again at the oldest or newest record, as they are set up.</p></ConfirmDialog>
    </ViewLoad>`,
}

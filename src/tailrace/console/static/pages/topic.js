// One topic: its messages first, then its partitions, who reads it, and its settings.
import { computed, ref } from '/static/vue.js'
import { api, get, patch, post, remove, session } from '/static/api.js'
import { attempt } from '/static/actions.js'
import * as format from '/static/format.js'
import { useKey } from '/static/keyboard.js'
import { useLoad } from '/static/load.js'
import { go, pathOf, route } from '/static/router.js'
import { ConfigTable } from '/static/components/config-table.js'
import { ConfirmDialog } from '/static/components/confirm-dialog.js'
import { Messages } from '/static/components/messages.js'
import { ProduceRecord } from '/static/components/produce-record.js'

const TABS = [['messages', 'Messages'], ['partitions', 'Partitions'], ['consumers', 'Consumers'], ['settings', 'Settings']]

const Consumers = {
  props: { topic: { type: String, required: true } },
  setup(props) {
    const load = useLoad(signal => get(api('topics', props.topic, 'consumers'), {}, signal), { everyMs: 10_000 })
    return { format, load, pathOf }
  },
  template: `
    <ViewLoad :load="load" v-slot="{ data }">
      <div v-if="data.items.length" class="scrolled"><table class="rows"><thead><tr><th>Group</th><th>Type</th><th>State</th><th class="number">Members</th><th class="number">Lag on this topic</th></tr></thead>
        <tbody><tr v-for="item in data.items" :key="item.group"><td class="mono"><a :href="pathOf('groups', item.group)">{{ item.group }}</a></td><td>{{ item.type }}</td><td><StateChip :state="item.state" /></td><td class="number">{{ format.count(item.members) }}</td><td class="number">{{ format.count(item.lag) }}</td></tr></tbody></table></div>
      <EmptyState v-else icon="groups" title="No group reads this topic">A group shows here when it has committed an offset of this topic or has members that read it.</EmptyState>
      <p v-if="data.asked < data.total" class="muted">{{ format.count(data.asked) }} of {{ format.count(data.total) }} groups were asked.</p>
    </ViewLoad>`,
}

export const Topic = {
  components: { ConfigTable, ConfirmDialog, Consumers, Messages, ProduceRecord },
  setup() {
    const name = route.params.topic
    const load = useLoad(signal => get(api('topics', name), {}, signal), { everyMs: 10_000 })
    const tab = computed(() => TABS.some(([key]) => key === route.params.tab) ? route.params.tab : 'messages')
    const isProducing = ref(false)
    const again = ref(null)
    const asked = ref(null)
    const wanted = ref('')
    const messages = ref(null)

    function produce(record = null) {
      again.value = record
      isProducing.value = true
    }
    async function addPartitions() {
      const made = await attempt(() => post(api('topics', name, 'partitions'), { count: Number(wanted.value) }), 'Partitions are added')
      if (!made) return
      asked.value = null
      load.reload()
    }
    useKey('n', () => { if (!session.read_only) produce() })
    useKey('r', () => { load.reload(); messages.value?.reload() })
    useKey('l', () => messages.value?.switchLive())
    return {
      TABS, addPartitions, again, asked, format, isProducing, load, messages, name, pathOf, produce, session, tab, wanted,
      save: changes => patch(api('topics', name, 'configs'), { ...changes, validate_only: false }),
      deleteTopic: () => remove(api('topics', name), { confirm: name }),
      deleteRecords: () => post(api('topics', name, 'delete-records'), { confirm: name, before: 'end' }),
      gone: () => go('/topics'),
      produced: items => { load.reload(); messages.value?.produced(items) },
      emptied: () => { load.reload(); messages.value?.reload() },
    }
  },
  template: `
    <PageHead :title="name" :up="['/topics', 'Topics']" mono>
      <template #beside><span v-if="load.data" class="muted facts"><span>{{ format.counted(load.data.partitions.length, 'partition') }}</span><span>{{ format.counted(load.data.replication, 'replica') }}</span><span>{{ format.counted(load.data.records, 'record') }}</span><span>{{ format.bytes(load.data.size_bytes) }}</span></span></template>
      <template v-if="load.data">
        <q-btn unelevated no-caps color="primary" icon="edit_note" label="Produce" :disable="session.read_only" @click="produce()" />
        <q-btn outline no-caps icon="more_horiz" aria-label="More" :disable="session.read_only"><q-menu anchor="bottom right" self="top right"><q-list dense>
          <q-item clickable v-close-popup @click="wanted = load.data.partitions.length + 1; asked = 'partitions'"><q-item-section>Add partitions…</q-item-section></q-item>
          <q-item clickable v-close-popup @click="asked = 'records'"><q-item-section>Delete all records…</q-item-section></q-item>
          <q-item clickable v-close-popup @click="asked = 'topic'"><q-item-section class="bad">Delete topic…</q-item-section></q-item>
        </q-list></q-menu></q-btn>
      </template>
    </PageHead>
    <ViewLoad :load="load" v-slot="{ data }">
      <nav class="tabs" aria-label="Of this topic"><a v-for="[key, title] in TABS" :key="key" :href="pathOf('topics', name, key)" :class="{ here: key === tab }" :aria-current="key === tab ? 'page' : null">{{ title }}</a></nav>
      <Messages v-if="tab === 'messages'" ref="messages" :topic="name" :partitions="data.partitions" @again="produce" @produce="produce()" />
      <section v-else-if="tab === 'partitions'">
        <div class="scrolled"><table class="rows"><thead><tr><th class="number">Partition</th><th>Leader</th><th>Replicas</th><th>In sync</th><th class="number">First offset</th><th class="number">Next offset</th><th class="number">Records</th><th class="number">Size</th></tr></thead>
          <tbody><tr v-for="one in data.partitions" :key="one.partition"><td class="number"><a :href="pathOf('topics', name, 'messages') + '?partition=' + one.partition">{{ one.partition }}</a></td>
            <td><StateChip v-if="one.is_offline" state="none" tone="bad" /><span v-else>{{ one.leader }}</span></td><td>{{ one.replicas.join(', ') }}</td><td>{{ one.isr.join(', ') }} <StateChip v-if="one.is_under_replicated" state="under-replicated" tone="warn" /></td>
            <td class="number">{{ format.count(one.begin_offset) }}</td><td class="number">{{ format.count(one.end_offset) }}</td><td class="number">{{ one.end_offset === null ? '–' : format.count(one.end_offset - one.begin_offset) }}</td><td class="number">{{ format.bytes(one.size_bytes) }}</td></tr></tbody></table></div>
      </section>
      <Consumers v-else-if="tab === 'consumers'" :topic="name" />
      <ConfigTable v-else :configs="data.configs" own="topic" :save="save" @saved="load.reload()" />
      <ProduceRecord v-model="isProducing" :topic="name" :partitions="data.partitions.length" :record="again" @produced="produced" />
      <ConfirmDialog :model-value="asked === 'topic'" @update:model-value="asked = null" title="Delete topic" :name="name" action="Delete topic" :act="deleteTopic" :done="'Topic ' + name + ' is deleted'" @done="gone"><p>Its {{ format.count(data.records) }} records are lost on every broker. This cannot be undone.</p></ConfirmDialog>
      <ConfirmDialog :model-value="asked === 'records'" @update:model-value="asked = null" title="Delete all records" :name="name" action="Delete records" :act="deleteRecords" done="All records are deleted" @done="emptied"><p>{{ format.count(data.records) }} records of {{ data.partitions.length }} partitions are lost. The topic stays, and its offsets go on from where they are.</p></ConfirmDialog>
      <q-dialog :model-value="asked === 'partitions'" @update:model-value="asked = null"><q-card class="dialog" role="dialog" aria-label="Add partitions"><form @submit.prevent="addPartitions">
        <h2>Add partitions</h2><p>There are {{ data.partitions.length }}. There can never be fewer again, and records with a key may go to another partition than before.</p>
        <q-input v-model="wanted" type="number" :min="data.partitions.length + 1" outlined dense autofocus label="Partitions in all" />
        <div class="dialog-actions"><q-btn v-close-popup flat no-caps label="Cancel" /><q-btn type="submit" unelevated no-caps color="primary" label="Add" :disable="Number(wanted) <= data.partitions.length" /></div>
      </form></q-card></q-dialog>
    </ViewLoad>`,
}

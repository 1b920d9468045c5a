// Transactions: those that coordinators know, and what is open on partitions, which may be aborted when it hangs.
import { computed, ref, watch } from '/static/vue.js'
import { api, get, post, session } from '/static/api.js'
import * as format from '/static/format.js'
import { useKey } from '/static/keyboard.js'
import { asFailure, useLoad } from '/static/load.js'
import { usePaging } from '/static/paging.js'
import { pathOf } from '/static/router.js'
import { ConfirmDialog } from '/static/components/confirm-dialog.js'

const Known = {
  setup() {
    const paging = usePaging('name')
    const load = useLoad(signal => get('/api/transactions', paging.query(), signal), { depends: paging.key, everyMs: 5000 })
    const opened = ref(null)
    const details = ref(null)
    const failure = ref(null)
    watch(() => load.data?.total, total => paging.total(total))
    async function open(id) {
      opened.value = id
      details.value = failure.value = null
      try { details.value = await get(api('transactions', 'id', id)) } catch (error) { failure.value = asFailure(error) }
    }
    const pages = computed(() => load.data?.pages ?? 1)
    return { details, failure, format, load, open, opened, pages, paging, pathOf }
  },
  template: `
    <div class="tools"><q-input v-model="paging.search" type="search" dense outlined clearable debounce="200" placeholder="Search transactional ids" aria-label="Search transactional ids" class="search"><template #prepend><q-icon name="search" /></template><template #append><kbd>/</kbd></template></q-input></div>
    <ViewLoad :load="load" v-slot="{ data }">
      <div v-if="data.items.length" class="scrolled"><table class="rows"><thead><tr><th>Transactional id</th><th>State</th><th class="number">Producer id</th><th class="number">Coordinator</th></tr></thead>
        <tbody><tr v-for="one in data.items" :key="one.transactional_id"><td><button type="button" class="link mono" @click="open(one.transactional_id)">{{ one.transactional_id }}</button></td><td><StateChip :state="one.state" /></td><td class="number">{{ one.producer_id }}</td><td class="number"><a :href="pathOf('brokers', one.coordinator)">{{ one.coordinator }}</a></td></tr></tbody></table></div>
      <EmptyState v-else icon="swap_horiz" :title="paging.search ? 'No transactional id has that in it' : 'There are no transactions'">{{ paging.search ? 'Look for less of it.' : 'A producer with a transactional.id shows here from its start on.' }}</EmptyState>
      <q-pagination v-if="pages > 1" v-model="paging.table.page" :max="pages" :max-pages="7" />
    </ViewLoad>
    <q-dialog :model-value="opened !== null" @update:model-value="opened = null"><q-card class="dialog" role="dialog" :aria-label="'Transaction ' + opened">
      <h2 class="mono">{{ opened }}</h2><FailureState v-if="failure" :failure="failure" />
      <template v-if="details"><dl class="keys wide"><dt>State</dt><dd><StateChip :state="details.state" /></dd><dt>Producer</dt><dd class="number-left">{{ details.producer_id }}, epoch {{ details.producer_epoch }}</dd><dt>Started</dt><dd>{{ details.started_ms === null ? '–' : format.time(details.started_ms) + ', ' + format.ago(details.started_ms) }}</dd><dt>Time-out</dt><dd>{{ format.duration(details.timeout_ms) }}</dd><dt>Coordinator</dt><dd>Broker {{ details.coordinator }}</dd></dl>
        <p class="space muted">{{ details.partitions.length ? 'Partitions' : 'No partition is part of it at the moment.' }}</p><p v-for="one in details.partitions" :key="one.topic + one.partition" class="mono"><a :href="pathOf('topics', one.topic)">{{ one.topic }}-{{ one.partition }}</a></p></template>
      <div class="dialog-actions"><q-btn v-close-popup flat no-caps label="Close" /></div>
    </q-card></q-dialog>`,
}

const Open = {
  components: { ConfirmDialog },
  setup() {
    const load = useLoad(signal => get('/api/transactions/open', {}, signal))
    const chosen = ref(null)
    const name = computed(() => chosen.value ? `${chosen.value.topic}-${chosen.value.partition}` : '')
    const abort = () => {
      const { topic, partition, producer_id, producer_epoch, coordinator_epoch } = chosen.value
      return post('/api/transactions/abort', { topic, partition, producer_id, producer_epoch, coordinator_epoch, confirm: name.value })
    }
    return { abort, chosen, format, load, name, pathOf, session }
  },
  template: `
    <ViewLoad :load="load" v-slot="{ data }">
      <p class="muted">Open transactions hold back consumers that read what is committed alone. {{ format.count(data.asked_partitions) }} of {{ format.counted(data.total_partitions, 'partition') }} were asked.</p>
      <div v-if="data.items.length" class="scrolled"><table class="rows"><thead><tr><th>Partition</th><th class="number">Producer id</th><th class="number">Epoch</th><th class="number">First offset</th><th>Last written</th><th><span class="hidden">Abort</span></th></tr></thead>
        <tbody><tr v-for="one in data.items" :key="one.topic + one.partition + one.producer_id"><td class="mono"><a :href="pathOf('topics', one.topic)">{{ one.topic }}-{{ one.partition }}</a></td><td class="number">{{ one.producer_id }}</td><td class="number">{{ one.producer_epoch }}</td><td class="number">{{ format.count(one.first_offset) }}</td><td>{{ format.time(one.last_timestamp_ms) }} <span class="muted">{{ format.ago(one.last_timestamp_ms) }}</span></td><td class="number"><q-btn v-if="!session.read_only" outline dense no-caps class="bad" label="Abort" @click="chosen = one" /></td></tr></tbody></table></div>
      <EmptyState v-else icon="check_circle" title="No transaction is open">Nothing holds consumers back.</EmptyState>
    </ViewLoad>
    <ConfirmDialog v-if="chosen" :model-value="true" @update:model-value="chosen = null" title="Abort transaction" :name="name" action="Abort" :act="abort" done="The transaction is aborted" @done="load.reload()"><p>What producer {{ chosen.producer_id }} wrote to this partition from offset {{ format.count(chosen.first_offset) }} on is never seen by consumers that read what is committed alone.</p></ConfirmDialog>`,
}

export const Transactions = {
  components: { Known, Open },
  setup() {
    const isOpenShown = ref(location.hash === '#open')
    useKey('r', () => {})
    return { isOpenShown }
  },
  template: `
    <PageHead title="Transactions" />
    <div class="tabs" role="tablist"><button role="tab" type="button" :aria-selected="!isOpenShown" :class="{ here: !isOpenShown }" @click="isOpenShown = false">By transactional id</button><button role="tab" type="button" :aria-selected="isOpenShown" :class="{ here: isOpenShown }" @click="isOpenShown = true">Open on partitions</button></div>
    <Open v-if="isOpenShown" /><Known v-else />`,
}

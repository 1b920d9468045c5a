// All topics, page by page: the server searches, sorts and cuts, so that ten thousand are as quick as ten.
import { computed, ref, watch } from '/static/vue.js'
import { get, session } from '/static/api.js'
import * as format from '/static/format.js'
import { useKey } from '/static/keyboard.js'
import { useLoad } from '/static/load.js'
import { usePaging } from '/static/paging.js'
import { pathOf, route } from '/static/router.js'
import { CreateTopic } from '/static/components/create-topic.js'

const columns = [
  { name: 'name', label: 'Topic', field: 'name', align: 'left', sortable: true },
  { name: 'partitions', label: 'Partitions', field: 'partitions', sortable: true },
  { name: 'replication', label: 'Replicas', field: 'replication', sortable: true },
  { name: 'records', label: 'Records', field: 'records', sortable: true, format: format.count },
  { name: 'size', label: 'Size', field: 'size_bytes', sortable: true, format: format.bytes },
  { name: 'cleanup', label: 'Cleanup', field: 'cleanup_policy', align: 'left' },
]

export const Topics = {
  components: { CreateTopic },
  setup() {
    const paging = usePaging('name')
    const internal = computed({ get: () => route.query.internal === 'true', set: value => paging.change({ internal: value ? 'true' : '' }) })
    const load = useLoad(signal => get('/api/topics', { ...paging.query(), internal: internal.value }, signal), { depends: () => [paging.key(), internal.value], everyMs: 15_000 })
    watch(() => load.data?.total, total => paging.total(total))
    const isCreating = ref(false)
    useKey('n', () => { if (!session.read_only) isCreating.value = true })
    useKey('r', () => load.reload())
    return { columns, format, internal, isCreating, load, paging, pathOf, session }
  },
  template: `
    <PageHead title="Topics"><template #beside><span v-if="load.data" class="muted">{{ format.count(load.data.total) }}</span></template>
      <q-btn unelevated no-caps color="primary" icon="add" label="Create topic" :disable="session.read_only" @click="isCreating = true" />
    </PageHead>
    <div class="tools">
      <q-input v-model="paging.search" type="search" dense outlined clearable debounce="200" placeholder="Search topics" aria-label="Search topics" class="search"><template #prepend><q-icon name="search" /></template><template #append><kbd>/</kbd></template></q-input>
      <q-toggle v-model="internal" label="Internal topics" dense />
    </div>
    <ViewLoad :load="load" v-slot="{ data }">
      <q-table class="listing" flat dense :rows="data.items" :columns="columns" row-key="name" v-model:pagination="paging.table" :rows-per-page-options="[25, 50, 100, 500]" rows-per-page-label="Topics a page" binary-state-sort @request="paging.request" :grid="$q.screen.lt.sm" aria-label="Topics">
        <template #body-cell-name="cell"><q-td :props="cell"><a class="mono strong" :href="pathOf('topics', cell.row.name)">{{ cell.row.name }}</a>
          <StateChip v-if="cell.row.is_internal" state="internal" /><StateChip v-if="cell.row.offline" :state="cell.row.offline + ' offline'" tone="bad" /><StateChip v-if="cell.row.under_replicated" :state="cell.row.under_replicated + ' under-replicated'" tone="warn" /></q-td></template>
        <template #item="item"><a class="grid-item card" :href="pathOf('topics', item.row.name)"><b class="mono">{{ item.row.name }}</b><span class="muted">{{ format.counted(item.row.partitions, 'partition') }} · {{ format.counted(item.row.records, 'record') }} · {{ format.bytes(item.row.size_bytes) }}</span></a></template>
        <template #no-data><EmptyState v-if="paging.search" icon="search_off" title="No topic has that in its name">Look for less of it, or <a href="/topics">show all</a>.</EmptyState>
          <EmptyState v-else icon="topic" title="There are no topics yet">Create one here, or let a producer do it: a topic that is written to is made.</EmptyState></template>
      </q-table>
    </ViewLoad>
    <CreateTopic v-model="isCreating" />`,
}

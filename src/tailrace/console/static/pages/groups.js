// All consumer groups, of every type, and how far behind each is.
import { computed, watch } from '/static/vue.js'
import { get } from '/static/api.js'
import * as format from '/static/format.js'
import { useKey } from '/static/keyboard.js'
import { useLoad } from '/static/load.js'
import { usePaging } from '/static/paging.js'
import { pathOf, route } from '/static/router.js'

const columns = [
  { name: 'name', label: 'Group', field: 'group', align: 'left', sortable: true },
  { name: 'type', label: 'Type', field: 'type', align: 'left', sortable: true },
  { name: 'state', label: 'State', field: 'state', align: 'left', sortable: true },
  { name: 'members', label: 'Members', field: 'members', format: format.count },
  { name: 'topics', label: 'Topics', field: 'topics', format: format.count },
  { name: 'lag', label: 'Lag', field: 'lag', format: format.count },
]
const TYPES = [{ label: 'Any type', value: '' }, 'classic', 'consumer', 'share', 'streams']

export const Groups = {
  setup() {
    const paging = usePaging('name')
    const type = computed({ get: () => route.query.type ?? '', set: value => paging.change({ type: value }) })
    const load = useLoad(signal => get('/api/groups', { ...paging.query(), type: type.value }, signal), { depends: () => [paging.key(), type.value], everyMs: 5000 })
    watch(() => load.data?.total, total => paging.total(total))
    useKey('r', () => load.reload())
    return { TYPES, columns, format, load, paging, pathOf, type }
  },
  template: `
    <PageHead title="Groups"><template #beside><span v-if="load.data" class="muted">{{ format.count(load.data.total) }}</span></template></PageHead>
    <div class="tools">
      <q-input v-model="paging.search" type="search" dense outlined clearable debounce="200" placeholder="Search groups" aria-label="Search groups" class="search"><template #prepend><q-icon name="search" /></template><template #append><kbd>/</kbd></template></q-input>
      <q-select v-model="type" :options="TYPES" emit-value map-options dense outlined options-dense aria-label="Type" class="narrow" />
    </div>
    <ViewLoad :load="load" v-slot="{ data }">
      <q-table class="listing" flat dense :rows="data.items" :columns="columns" row-key="group" v-model:pagination="paging.table" :rows-per-page-options="[25, 50, 100, 500]" rows-per-page-label="Groups a page" binary-state-sort @request="paging.request" :grid="$q.screen.lt.sm" aria-label="Groups">
        <template #body-cell-name="cell"><q-td :props="cell"><a class="mono strong" :href="pathOf('groups', cell.row.group)">{{ cell.row.group }}</a></q-td></template>
        <template #body-cell-state="cell"><q-td :props="cell"><StateChip :state="cell.row.state" /></q-td></template>
        <template #body-cell-lag="cell"><q-td :props="cell"><span :class="{ strong: cell.row.lag }">{{ format.count(cell.row.lag) }}</span></q-td></template>
        <template #item="item"><a class="grid-item card" :href="pathOf('groups', item.row.group)"><b class="mono">{{ item.row.group }}</b><span class="muted facts"><StateChip :state="item.row.state" /><span>{{ format.counted(item.row.members, 'member') }}</span><span>lag {{ format.count(item.row.lag) }}</span></span></a></template>
        <template #no-data><EmptyState icon="groups" :title="paging.search || type ? 'No group matches' : 'There are no groups yet'">{{ paging.search || type ? 'Look for less of its name, or any type.' : 'A consumer with a group.id makes one when it starts.' }}</EmptyState></template>
      </q-table>
    </ViewLoad>`,
}

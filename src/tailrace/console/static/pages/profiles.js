// Where a broker's time and memory go: flame graphs of its profiles, and what every task waits for.
import { computed, ref } from '/static/vue.js'
import { get, post, session } from '/static/api.js'
import { attempt } from '/static/actions.js'
import * as format from '/static/format.js'
import { asFailure } from '/static/load.js'
import { route, setQuery } from '/static/router.js'
import { FlameGraph } from '/static/components/flame-graph.js'

const KINDS = [
  { value: 'cpu', label: 'CPU', what: 'Where processor time goes, sampled 100 times a second.', isTimed: true },
  { value: 'heap', label: 'Heap', what: 'Which lines allocated the memory in use now.' },
  { value: 'allocs', label: 'Allocations', what: 'Which lines allocate, while it is watched.', isTimed: true },
  { value: 'tasks', label: 'Tasks', what: 'What every task and thread waits for at this moment.' },
]
const SECONDS = [2, 5, 10, 30, 60]

/** Functions by the time or memory of their own, the most first. */
export function heaviest(root, most = 25) {
  const own = new Map()
  const walk = (frame, above) => {
    const entry = own.get(frame.name) ?? { name: frame.name, file: frame.file, self: 0, total: 0 }
    entry.self += frame.self
    if (!above.has(frame.name)) entry.total += frame.value
    own.set(frame.name, entry)
    const here = new Set(above).add(frame.name)
    frame.children.forEach(child => walk(child, here))
  }
  root.children.forEach(child => walk(child, new Set()))
  return [...own.values()].sort((one, other) => other.self - one.self).slice(0, most)
}

export const Profiles = {
  components: { FlameGraph },
  setup() {
    const kind = computed({ get: () => KINDS.find(one => one.value === route.query.kind) ?? KINDS[0], set: one => { setQuery({ kind: one.value === 'cpu' ? '' : one.value }); profile.value = tasks.value = failure.value = null } })
    const seconds = ref(5)
    const broker = ref(null)
    const brokers = ref([])
    const profile = ref(null)
    const tasks = ref(null)
    const failure = ref(null)
    const isRunning = ref(false)
    const search = ref('')
    const unit = value => profile.value?.unit === 'bytes' ? format.bytes(value) : format.duration(value / 1e6)
    get('/api/brokers').then(told => { brokers.value = told.items.map(one => ({ label: `Broker ${one.id}`, value: one.id })); broker.value = brokers.value[0]?.value ?? null }).catch(error => { failure.value = asFailure(error) })
    async function take() {
      isRunning.value = true
      failure.value = null
      try {
        const told = await get(`/api/profiles/${kind.value.value}`, { broker: broker.value, seconds: kind.value.isTimed ? seconds.value : '' })
        profile.value = told.root ? told : null
        tasks.value = told.text ?? null
      } catch (error) { failure.value = asFailure(error) }
      isRunning.value = false
    }
    const stopTrace = () => attempt(() => post(`/api/profiles/heap/stop?broker=${broker.value}`), 'Memory is watched no more')
    const table = computed(() => profile.value ? heaviest(profile.value.root) : [])
    return { KINDS, SECONDS, broker, brokers, failure, format, isRunning, kind, profile, search, seconds, session, stopTrace, table, take, tasks, unit }
  },
  template: `
    <PageHead title="Profiles" />
    <EmptyState v-if="session.is_loaded && !session.has_profiles" icon="local_fire_department" title="No broker here gives profiles">They come from Tailrace's brokers over HTTP: name each with <span class="mono">tailrace console --metrics http://HOST:9080</span>.</EmptyState>
    <template v-else>
      <form class="tools" @submit.prevent="take">
        <q-btn-toggle v-model="kind" :options="KINDS.map(one => ({ label: one.label, value: one }))" no-caps unelevated toggle-color="primary" class="kinds" aria-label="Kind of profile" />
        <q-select v-if="brokers.length > 1" v-model="broker" :options="brokers" emit-value map-options dense outlined options-dense aria-label="Broker" class="narrow" />
        <q-select v-if="kind.isTimed" v-model="seconds" :options="SECONDS.map(one => ({ label: one + ' s', value: one }))" emit-value map-options dense outlined options-dense label="For" class="narrow" />
        <q-btn type="submit" unelevated no-caps color="primary" icon="play_arrow" :label="kind.value === 'tasks' ? 'Look' : 'Take profile'" :loading="isRunning"><template #loading><q-spinner size="18px" /><span class="spinning">{{ kind.isTimed ? 'Watching for ' + seconds + ' s' : 'Asking' }}</span></template></q-btn>
        <q-input v-if="profile" v-model="search" type="search" dense outlined clearable placeholder="Search functions" aria-label="Search functions" class="search"><template #prepend><q-icon name="search" /></template></q-input>
      </form>
      <p class="muted">{{ kind.what }}</p>
      <FailureState v-if="failure" :failure="failure" />
      <template v-if="profile">
        <section class="card spaced"><p class="facts muted"><span>{{ unit(profile.total) }} in all</span><span v-if="profile.samples">{{ format.count(profile.samples) }} samples</span><span v-if="profile.note">{{ profile.note }}</span></p>
          <p v-if="profile.kind === 'heap' && !session.read_only" class="facts muted"><span>The broker watches its memory from the first look on, which costs processor time.</span><q-btn outline dense no-caps label="Stop watching" @click="stopTrace" /></p>
          <FlameGraph v-if="profile.total" :root="profile.root" :format="unit" :search="search" /><EmptyState v-else icon="bedtime" title="Nothing was sampled">The broker rested. Take it again under load.</EmptyState></section>
        <section v-if="table.length" class="card spaced"><h2>Heaviest functions</h2><div class="inner-scroll"><table class="rows"><thead><tr><th>Function</th><th>File</th><th class="number">Itself</th><th class="number">With what it calls</th></tr></thead><tbody><tr v-for="one in table" :key="one.name"><td class="mono">{{ one.name }}</td><td class="mono muted">{{ one.file }}</td><td class="number">{{ unit(one.self) }}</td><td class="number">{{ unit(one.total) }}</td></tr></tbody></table></div></section>
      </template>
      <section v-if="tasks" class="shown-bytes"><pre tabindex="0">{{ tasks }}</pre></section>
    </template>`,
}

// The message browser: from where, of which partition, what to look for, and how bytes are shown; or a live tail.
import { computed, onMounted, ref, watch } from '/static/vue.js'
import { session } from '/static/api.js'
import * as format from '/static/format.js'
import { useReading } from '/static/reading.js'
import { route, setQuery } from '/static/router.js'
import { MessageRows } from '/static/components/message-rows.js'

const STARTS = [{ label: 'Newest', value: 'newest' }, { label: 'Oldest', value: 'oldest' }, { label: 'Offset', value: 'offset' }, { label: 'Time', value: 'time' }]
const FORMATS = [{ label: 'Auto', value: 'auto' }, { label: 'Text', value: 'text' }, { label: 'JSON', value: 'json' }, { label: 'Hex', value: 'hex' }]
const WHERE = [{ label: 'key', value: 'key' }, { label: 'value', value: 'value' }, { label: 'headers', value: 'headers' }]
const ENDS = { end: 'Every record was looked at.', limit: 'As many as asked for were found.', max_records: 'The bound on scanned records was reached.', max_ms: 'The bound on time was reached.', stopped: 'Stopped.' }
const LIMITS = [50, 100, 200, 500]

/** What of the address differs from the default; the names are the address's. */
const DEFAULTS = { from: 'newest', offset: '', time: '', partition: '', format: 'auto', isolation: 'read_committed', limit: '50', query: '', regex: '', case: '', in: 'key,value,headers', live: '' }

function useAsked() {
  const asked = Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, computed({
    get: () => route.query[name] ?? value,
    set: wanted => setQuery({ [name]: (wanted ?? '') === value ? '' : wanted }),
  })]))
  const parameters = () => ({
    from: asked.from.value, offset: asked.from.value === 'offset' ? asked.offset.value || 0 : '', partition: asked.partition.value,
    time_ms: asked.from.value === 'time' && asked.time.value ? new Date(asked.time.value).getTime() : '',
    limit: asked.limit.value, isolation: asked.isolation.value, format: asked.format.value,
  })
  const words = () => ({ query: asked.query.value, regex: asked.regex.value === '1', case: asked.case.value === '1', in: asked.in.value })
  return { asked, parameters, words }
}

export const Messages = {
  components: { MessageRows },
  props: { topic: { type: String, required: true }, partitions: { type: Array, required: true } },
  emits: ['again', 'produce'],
  setup(props) {
    const { asked, parameters, words } = useAsked()
    const reading = useReading(props.topic, parameters)
    const typed = ref(asked.query.value)
    const partitionOptions = computed(() => [{ label: 'All', value: '' }, ...props.partitions.map(one => ({ label: String(one.partition), value: String(one.partition) }))])
    const isLive = computed(() => asked.live.value === '1')
    const flag = name => computed({ get: () => asked[name].value === '1', set: value => { asked[name].value = value ? '1' : '' } })
    const scope = computed({ get: () => asked.in.value.split(',').filter(Boolean), set: value => { asked.in.value = value.length ? value.join(',') : DEFAULTS.in } })
    const isUncommitted = computed({ get: () => asked.isolation.value === 'read_uncommitted', set: value => { asked.isolation.value = value ? 'read_uncommitted' : DEFAULTS.isolation } })

    function reload() {
      if (isLive.value) reading.tail()
      else if (asked.query.value) reading.search(words())
      else if (asked.from.value !== 'time' || asked.time.value) reading.read()
      else reading.clear()
    }
    const switchLive = () => { asked.live.value = isLive.value ? '' : '1' }
    const look = () => {
      if (typed.value === asked.query.value) reload()
      else { asked.live.value = ''; asked.query.value = typed.value ?? '' }
    }
    const produced = items => { reading.mark(items); if (!isLive.value) reload() }
    onMounted(reload)
    watch(() => JSON.stringify([parameters(), words(), asked.live.value]), reload)
    watch(() => asked.query.value, value => { typed.value = value })

    const found = computed(() => {
      const { progress } = reading
      if (!progress) return 'Looking…'
      const rate = progress.took_ms > 500 ? `, ${format.rate(progress.scanned / progress.took_ms * 1000)}` : ''
      return `${format.count(progress.hits)} found in ${format.count(progress.scanned)} of ${format.count(progress.total)} records${rate}`
    })
    return {
      ENDS, FORMATS, LIMITS, STARTS, WHERE, ...asked, format, format_: asked.format, found, isLive, matchesCase: flag('case'), isRegex: flag('regex'), isUncommitted, look,
      partitionOptions, produced, reading, reload, scope, session, switchLive, typed, words,
    }
  },
  template: `
    <section class="message-browser" aria-label="Messages">
      <form class="tools" @submit.prevent="look">
        <q-select v-model="from" :options="STARTS" emit-value map-options dense outlined options-dense label="From" class="narrow" :disable="isLive" />
        <q-input v-if="from === 'offset'" v-model="offset" type="number" min="0" dense outlined debounce="400" label="Offset" class="narrow" :disable="isLive" />
        <q-input v-if="from === 'time'" v-model="time" type="datetime-local" step="1" dense outlined debounce="400" label="Local time" stack-label :disable="isLive" />
        <q-select v-model="partition" :options="partitionOptions" emit-value map-options dense outlined options-dense label="Partition" class="narrow" />
        <q-input v-model="typed" type="search" dense outlined clearable placeholder="Search keys, values, headers" aria-label="Search keys, values and headers" class="search" @keydown.enter.prevent="look" @clear="typed = ''; look()"><template #prepend><q-icon name="search" /></template>
          <template #append><q-btn flat dense round size="sm" icon="tune" aria-label="How to search"><q-menu><div class="menu-fields"><q-option-group v-model="scope" :options="WHERE" type="checkbox" dense /><q-toggle v-model="isRegex" dense label="Regular expression" /><q-toggle v-model="matchesCase" dense label="Match case" /></div></q-menu></q-btn></template></q-input>
        <q-select v-model="format_" :options="FORMATS" emit-value map-options dense outlined options-dense label="Show as" class="narrow" />
        <q-btn outline no-caps :icon="isLive ? 'stop' : 'play_arrow'" :label="isLive ? 'Stop' : 'Live'" :class="{ live: isLive }" :aria-pressed="isLive" @click="switchLive"><q-tooltip>What arrives from now on (l)</q-tooltip></q-btn>
        <q-btn flat round dense icon="refresh" aria-label="Read again" @click="reload"><q-tooltip>Read again (r)</q-tooltip></q-btn>
        <q-btn flat round dense icon="more_vert" aria-label="More of reading"><q-menu><div class="menu-fields"><q-toggle v-model="isUncommitted" dense label="Also what is not committed" /><q-select v-model="limit" :options="LIMITS.map(String)" dense outlined options-dense label="At a time" /></div></q-menu></q-btn>
      </form>

      <div v-if="reading.mode === 'live' && !reading.failure" class="reading-state" role="status">
        <span class="state-chip" :class="reading.isLost ? 'bad' : reading.isPaused ? 'warn' : 'good'"><i class="dot"></i>{{ reading.isLost ? 'Connection lost' : reading.isPaused ? 'Paused' : 'Live' }}</span>
        <span class="muted"><template v-if="reading.isPaused">{{ format.count(reading.waiting.length) }} waiting</template><template v-else-if="!reading.items.length && !reading.isLost">Waiting for records…</template><template v-else>{{ format.count(reading.items.length) }} shown</template><template v-if="reading.skipped">, {{ format.count(reading.skipped) }} left out: more arrive than can be shown</template></span>
        <q-btn v-if="reading.isLost" outline dense no-caps label="Connect again" @click="reload" /><q-btn v-else outline dense no-caps :icon="reading.isPaused ? 'play_arrow' : 'pause'" :label="reading.isPaused ? 'Go on' : 'Pause'" @click="reading.pause()" />
      </div>
      <div v-if="reading.mode === 'search' && !reading.failure" class="reading-state" role="status">
        <span>{{ found }}</span><span v-if="reading.why" class="muted">{{ ENDS[reading.why] }}</span>
        <q-linear-progress v-if="reading.isRunning" :value="reading.progress ? reading.progress.scanned / Math.max(1, reading.progress.total) : 0" size="4px" aria-label="Searched" /><q-btn v-if="reading.isRunning" outline dense no-caps label="Stop" @click="reading.stop()" />
      </div>
      <q-linear-progress v-if="reading.isRunning && reading.mode === 'read'" indeterminate size="2px" aria-label="Reading" />
      <FailureState v-if="reading.failure" :failure="reading.failure"><q-btn outline no-caps label="Try again" @click="reload" /></FailureState>

      <div v-if="reading.items.length" class="scrolled"><MessageRows :topic="topic" :items="reading.items" :marked="reading.marked" @again="$emit('again', $event)" /></div>
      <EmptyState v-else-if="reading.mode === 'read' && !reading.isRunning && !reading.failure" icon="mail_outline" title="No messages here">
        <template v-if="from === 'time' && !time">Choose a time to start at.</template><template v-else-if="from === 'newest' || from === 'oldest'">Nothing was written yet, or retention has deleted it. <a v-if="!session.read_only" href="#" @click.prevent="$emit('produce')">Produce a record</a></template><template v-else>Nothing from there on. <a href="#" @click.prevent="from = 'newest'">Show the newest</a></template></EmptyState>
      <EmptyState v-else-if="reading.mode === 'search' && !reading.isRunning && !reading.failure" icon="search_off" title="Nothing found">{{ ENDS[reading.why] }} <a v-if="reading.next" href="#" @click.prevent="reading.more(words())">Look further</a></EmptyState>
      <footer v-if="reading.items.length && reading.mode !== 'live'" class="more">
        <q-btn v-if="reading.next && !reading.isRunning" outline no-caps :label="reading.mode === 'search' ? 'Look further' : 'Show more'" @click="reading.more(words())" />
        <span class="muted">{{ format.count(reading.items.length) }} shown<template v-if="reading.tookMs !== null">, read in {{ format.duration(reading.tookMs) }}</template><template v-if="!reading.isComplete">; not all partitions answered in time</template></span>
      </footer>
    </section>`,
}

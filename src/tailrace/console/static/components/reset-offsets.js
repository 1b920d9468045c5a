// Moves a group's offsets: what would change is shown first, and exactly that is written.
import { computed, reactive, ref } from '/static/vue.js'
import { api, post } from '/static/api.js'
import { attempt } from '/static/actions.js'
import * as format from '/static/format.js'
import { asFailure } from '/static/load.js'

const TARGETS = [{ label: 'Oldest record', value: 'earliest' }, { label: 'Newest, so that only what comes is read', value: 'latest' }, { label: 'A time', value: 'time' }, { label: 'An offset', value: 'offset' }, { label: 'So many records forward or back', value: 'shift' }]
const empty = () => ({ topics: [], to: 'earliest', time: '', offset: '0', shift: '-100' })

export const ResetOffsets = {
  props: { modelValue: { type: Boolean, required: true }, group: { type: String, required: true }, topics: { type: Array, required: true } },
  emits: ['update:modelValue', 'done'],
  setup(props, { emit }) {
    const form = reactive(empty())
    const preview = ref(null)
    const failure = ref(null)
    const typed = ref('')
    const isRunning = ref(false)
    const isReady = computed(() => form.to !== 'time' || form.time !== '')
    const moved = computed(() => preview.value.changes.filter(change => change.from !== change.to))
    const open = () => { Object.assign(form, empty()); preview.value = failure.value = null; typed.value = '' }

    const wanted = () => ({
      topics: form.topics.length ? form.topics : null, partitions: null, to: form.to,
      offset: form.to === 'offset' ? Number(form.offset) : null, shift: form.to === 'shift' ? Number(form.shift) : null,
      time_ms: form.to === 'time' ? new Date(form.time).getTime() : null,
    })
    async function look() {
      isRunning.value = true
      try {
        preview.value = await post(api('groups', props.group, 'reset'), { ...wanted(), apply: false })
        failure.value = null
      } catch (error) { failure.value = asFailure(error) }
      isRunning.value = false
    }
    async function apply() {
      if (typed.value !== props.group || isRunning.value) return
      const expected = {}
      for (const change of preview.value.changes) (expected[change.topic] ??= {})[change.partition] = change.to
      isRunning.value = true
      const done = await attempt(() => post(api('groups', props.group, 'reset'), { ...wanted(), apply: true, confirm: props.group, expected }), `The offsets of ${props.group} are moved`)
      isRunning.value = false
      if (!done) return
      emit('update:modelValue', false)
      emit('done')
    }
    return { TARGETS, apply, failure, form, format, isReady, isRunning, look, moved, open, preview, typed }
  },
  template: `
    <q-dialog :model-value="modelValue" @update:model-value="$emit('update:modelValue', $event)" @before-show="open">
      <q-card class="dialog wide" role="dialog" aria-label="Reset offsets">
        <h2>Reset offsets of <span class="mono">{{ group }}</span></h2>
        <form v-if="!preview" @submit.prevent="look">
          <q-select v-model="form.topics" :options="topics" multiple use-chips outlined dense label="Topics" :hint="form.topics.length ? '' : 'None chosen: all of the group\\'s'" />
          <div class="fields">
            <q-select v-model="form.to" :options="TARGETS" emit-value map-options outlined dense label="To" />
            <q-input v-if="form.to === 'time'" v-model="form.time" type="datetime-local" step="1" outlined dense stack-label label="Local time" />
            <q-input v-if="form.to === 'offset'" v-model="form.offset" type="number" min="0" outlined dense label="Offset" />
            <q-input v-if="form.to === 'shift'" v-model="form.shift" type="number" outlined dense label="Records, back when negative" />
          </div>
          <FailureState v-if="failure" :failure="failure" />
          <div class="dialog-actions"><q-btn v-close-popup flat no-caps label="Cancel" /><q-btn type="submit" unelevated no-caps color="primary" label="Preview" :disable="!isReady" :loading="isRunning" /></div>
        </form>
        <form v-else @submit.prevent="apply">
          <p>{{ format.counted(moved.length, 'partition') }} of {{ format.count(preview.changes.length) }} would move.</p>
          <div class="scrolled short"><table class="rows"><thead><tr><th>Topic</th><th class="number">Partition</th><th class="number">From</th><th class="number">To</th><th class="number">By</th><th class="number">Lag then</th></tr></thead>
            <tbody><tr v-for="change in preview.changes" :key="change.topic + change.partition" :class="{ muted: change.from === change.to }"><td class="mono">{{ change.topic }}</td><td class="number">{{ change.partition }}</td><td class="number">{{ format.count(change.from) }}</td><td class="number">{{ format.count(change.to) }}</td><td class="number">{{ change.from === null ? '–' : (change.to > change.from ? '+' : '') + format.count(change.to - change.from) }}</td><td class="number">{{ format.count(change.lag_after) }}</td></tr></tbody></table></div>
          <template v-if="moved.length"><p class="space">Type <b class="mono">{{ group }}</b> to confirm.</p>
          <q-input v-model="typed" outlined dense autofocus autocomplete="off" spellcheck="false" input-class="mono" aria-label="Group, to confirm" /></template>
          <div class="dialog-actions"><q-btn flat no-caps label="Back" @click="preview = null" /><q-space /><q-btn v-close-popup flat no-caps label="Cancel" /><q-btn v-if="moved.length" type="submit" unelevated no-caps color="negative" label="Reset offsets" :disable="typed !== group" :loading="isRunning" /></div>
        </form>
      </q-card>
    </q-dialog>`,
}

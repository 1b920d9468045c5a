// One message, opened: value, key, headers, and what can be done with it.
import { computed, ref, watch } from '/static/vue.js'
import { address, api, get, session } from '/static/api.js'
import { attempt, copy } from '/static/actions.js'
import * as format from '/static/format.js'
import { ShownBytes } from '/static/components/shown-bytes.js'

const FORMATS = [{ label: 'As read', value: '' }, { label: 'Text', value: 'text' }, { label: 'JSON', value: 'json' }, { label: 'Hex', value: 'hex' }]

export const MessageDetails = {
  components: { ShownBytes },
  props: { topic: { type: String, required: true }, message: { type: Object, required: true } },
  emits: ['again'],
  setup(props) {
    const part = ref('value')
    const whole = ref(null)
    const wanted = ref('')
    const shown = computed(() => whole.value ?? props.message)
    const path = computed(() => api('topics', props.topic, 'messages', props.message.partition, props.message.offset))
    const load = async () => { whole.value = await attempt(() => get(path.value, { format: wanted.value || 'auto' })) ?? null }
    watch(wanted, load)

    const asObject = computed(() => {
      const textOf = bytes => bytes === null ? null : bytes.text
      const { partition, offset, timestamp_ms: timestamp, key, value, headers } = shown.value
      return { topic: props.topic, partition, offset, timestamp_ms: timestamp, key: textOf(key), value: textOf(value), headers: headers.map(header => ({ name: header.name, value: textOf(header.value) })) }
    })
    const parts = computed(() => [['value', 'Value'], ['key', 'Key'], ['headers', `Headers ${props.message.headers.length}`]])
    return { FORMATS, address, asJson: () => JSON.stringify(asObject.value, null, 2), copy, format, load, part, parts, path, session, shown, wanted }
  },
  template: `
    <div class="message-details">
      <div class="details-bar">
        <div class="tabs small" role="tablist"><button v-for="[key, title] in parts" :key="key" role="tab" type="button" :aria-selected="part === key" :class="{ here: part === key }" @click="part = key">{{ title }}</button></div>
        <span class="muted facts"><span>{{ format.time(message.timestamp_ms) }} <template v-if="message.timestamp_type === 'append'">(appended)</template></span><span>{{ format.ago(message.timestamp_ms) }}</span></span>
        <q-space />
        <q-select v-model="wanted" :options="FORMATS" emit-value map-options dense outlined options-dense aria-label="Show as" class="narrow" />
        <q-btn v-if="part !== 'headers' && shown[part]" flat dense no-caps icon="content_copy" :label="'Copy ' + part" @click="copy(shown[part].text)" />
        <q-btn flat dense no-caps icon="data_object" label="Copy record" @click="copy(asJson())" />
        <q-btn v-if="part !== 'headers' && message[part]" flat dense round icon="download" :aria-label="'Download the ' + part + ' as it is'" :href="path + '/' + part" download><q-tooltip>The bytes as they are</q-tooltip></q-btn>
        <q-btn v-if="!session.read_only" flat dense round icon="replay" aria-label="Produce again" @click="$emit('again', shown)"><q-tooltip>Produce again, after a look</q-tooltip></q-btn>
      </div>
      <ShownBytes v-if="part !== 'headers'" :bytes="shown[part]" :is-tombstone="part === 'value'"><q-btn v-if="shown[part]?.is_cut" flat dense no-caps size="sm" label="Show all of it" @click="load" /></ShownBytes>
      <table v-else-if="shown.headers.length" class="rows"><thead><tr><th>Header</th><th>Value</th></tr></thead><tbody><tr v-for="(header, at) in shown.headers" :key="at"><td class="mono">{{ header.name }}</td><td><ShownBytes :bytes="header.value" /></td></tr></tbody></table>
      <p v-else class="muted">No headers.</p>
    </div>`,
}

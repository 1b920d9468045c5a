// Messages as rows; one opens where it is.
import { reactive } from '/static/vue.js'
import * as format from '/static/format.js'
import { keyOf } from '/static/reading.js'
import { MessageDetails } from '/static/components/message-details.js'

const PREVIEW_MAX = 300

const preview = bytes => bytes.text.slice(0, PREVIEW_MAX).replace(/\s+/g, ' ')

export const MessageRows = {
  components: { MessageDetails },
  props: { topic: { type: String, required: true }, items: { type: Array, required: true }, marked: { type: Set, required: true } },
  emits: ['again'],
  setup() {
    const opened = reactive(new Set())
    const turn = message => { const key = keyOf(message); if (!opened.delete(key)) opened.add(key) }
    return { format, keyOf, opened, preview, turn }
  },
  template: `
    <table class="rows messages" aria-label="Messages">
      <thead><tr><th class="opener"><span class="hidden">Open</span></th><th class="number">Partition</th><th class="number">Offset</th><th>Time</th><th>Key</th><th>Value</th><th class="number only-wide">Size</th></tr></thead>
      <tbody v-for="message in items" :key="keyOf(message)" :class="{ opened: opened.has(keyOf(message)), marked: marked.has(keyOf(message)) }">
        <tr class="message" @click="turn(message)">
          <td class="opener"><button type="button" :aria-expanded="opened.has(keyOf(message))" :aria-label="'Message ' + message.offset + ' of partition ' + message.partition" @click.stop="turn(message)"><q-icon :name="opened.has(keyOf(message)) ? 'expand_more' : 'chevron_right'" size="18px" /></button></td>
          <td class="number">{{ message.partition }}</td><td class="number">{{ message.offset }}</td><td class="time">{{ format.time(message.timestamp_ms) }}</td>
          <td class="mono key"><span v-if="message.key === null" class="muted">null</span><template v-else>{{ preview(message.key) }}</template></td>
          <td class="mono preview"><StateChip v-if="message.value === null" state="tombstone" tone="warn" /><template v-else><span v-if="message.value.format !== 'text' && message.value.format !== 'json'" class="state-chip quiet">{{ message.value.format }}</span>{{ preview(message.value) }}</template></td>
          <td class="number only-wide">{{ message.value === null ? '–' : format.bytes(message.value.size) }}</td>
        </tr>
        <tr v-if="opened.has(keyOf(message))" class="details"><td colspan="7"><MessageDetails :topic="topic" :message="message" @again="$emit('again', $event)" /></td></tr>
      </tbody>
    </table>`,
}

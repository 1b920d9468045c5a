// A key, a value or a header as text, JSON in colours, or a hex dump; whole on request.
import { computed } from '/static/vue.js'
import * as format from '/static/format.js'

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g
const COLOURED_MAX = 200_000

/** A text of JSON, indented, as [text, class] pieces. Longer ones and those that are cut stay as they came. */
export function jsonPieces(text) {
  let indented = text
  try {
    if (text.length < COLOURED_MAX && !/\d{16,}/.test(text)) indented = JSON.stringify(JSON.parse(text), null, 2) // A longer number would be rounded.
  } catch { /* cut in the middle: shown as far as it goes */ }
  if (indented.length > COLOURED_MAX) return [[indented, '']]
  const pieces = []
  let at = 0
  for (const found of indented.matchAll(TOKEN)) {
    if (found.index > at) pieces.push([indented.slice(at, found.index), ''])
    pieces.push([found[1] ?? found[0], found[1] ? (found[2] ? 'json-name' : 'json-text') : found[3] ? 'json-word' : 'json-number'])
    if (found[2]) pieces.push([found[2], ''])
    at = found.index + found[0].length
  }
  pieces.push([indented.slice(at), ''])
  return pieces
}

const isStructured = bytes => ['json', 'avro', 'protobuf', 'jsonschema'].includes(bytes.format)

export const ShownBytes = {
  props: { bytes: { type: Object, default: null }, isTombstone: { type: Boolean, default: false } },
  setup(props) {
    const pieces = computed(() => !props.bytes ? [] : isStructured(props.bytes) ? jsonPieces(props.bytes.text) : [[props.bytes.format === 'hex' ? format.hexDump(props.bytes.text) : props.bytes.text, '']])
    return { format, pieces }
  },
  template: `
    <div class="shown-bytes">
      <p v-if="bytes === null" class="muted">{{ isTombstone ? 'null: a tombstone, which deletes this key when the topic is compacted' : 'null' }}</p>
      <template v-else>
        <p class="facts muted"><span>{{ bytes.format }}</span><span>{{ format.bytes(bytes.size) }}</span><span v-if="bytes.schema">schema {{ bytes.schema.id }} {{ bytes.schema.name }}</span><span v-if="bytes.problem" class="warn">{{ bytes.problem }}</span><slot /></p>
        <pre tabindex="0"><span v-for="([text, kind], at) in pieces" :key="at" :class="kind">{{ text }}</span></pre>
      </template>
    </div>`,
}

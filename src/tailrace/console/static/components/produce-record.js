// Writes one record, or the same a few times.
import { computed, reactive, ref } from '/static/vue.js'
import { api, post, session } from '/static/api.js'
import { attempt } from '/static/actions.js'

const ENCODINGS = [{ label: 'Text', value: 'text' }, { label: 'Hex', value: 'hex' }, { label: 'Base64', value: 'base64' }]
const empty = () => ({ key: '', keyIsNull: true, keyEncoding: 'text', value: '', isTombstone: false, valueEncoding: 'text', headers: [], partition: null, count: 1 })

/** What is wrong with a text that stands for bytes; empty when nothing is. */
export function encodingProblem(text, encoding) {
  if (encoding === 'hex' && !/^(\s*[0-9a-fA-F]{2})*\s*$/.test(text)) return 'Hex is pairs of 0-9 and a-f.'
  if (encoding === 'base64' && !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text)) return 'That is not base64.'
  return ''
}

export const ProduceRecord = {
  props: { modelValue: { type: Boolean, required: true }, topic: { type: String, required: true }, partitions: { type: Number, required: true }, record: { type: Object, default: null } },
  emits: ['update:modelValue', 'produced'],
  setup(props, { emit }) {
    const form = reactive(empty())
    const isRunning = ref(false)
    const looksLikeJson = computed(() => form.valueEncoding === 'text' && /^\s*[[{]/.test(form.value))
    const isJson = computed(() => { try { JSON.parse(form.value); return true } catch { return false } })
    const keyProblem = computed(() => encodingProblem(form.key, form.keyEncoding))
    const valueProblem = computed(() => form.isTombstone ? '' : encodingProblem(form.value, form.valueEncoding))
    const partitionOptions = computed(() => [{ label: 'By key', value: null }, ...Array.from({ length: props.partitions }, (_, at) => ({ label: String(at), value: at }))])

    function fill() {
      Object.assign(form, empty())
      const record = props.record
      if (!record) return
      Object.assign(form, { keyIsNull: record.key === null, isTombstone: record.value === null })
      const take = bytes => bytes.format === 'hex' ? [bytes.text, 'hex'] : [bytes.text, 'text']
      if (record.key) [form.key, form.keyEncoding] = take(record.key)
      if (record.value) [form.value, form.valueEncoding] = take(record.value)
      form.headers = record.headers.filter(header => header.value).map(header => ({ name: header.name, value: header.value.text }))
    }

    async function produce() {
      if (keyProblem.value || valueProblem.value || isRunning.value) return
      isRunning.value = true
      const answer = await attempt(() => post(api('topics', props.topic, 'messages'), {
        key: form.key === '' && form.keyIsNull ? null : form.key, key_encoding: form.keyEncoding,
        value: form.isTombstone ? null : form.value, value_encoding: form.valueEncoding,
        headers: form.headers.filter(header => header.name).map(header => ({ ...header, encoding: 'text' })),
        partition: form.partition, timestamp_ms: null, count: Number(form.count) || 1,
      }))
      isRunning.value = false
      if (!answer) return
      emit('update:modelValue', false)
      emit('produced', answer.items)
    }
    const format = () => { form.value = JSON.stringify(JSON.parse(form.value), null, 2) }
    return { ENCODINGS, fill, form, format, isJson, isRunning, keyProblem, looksLikeJson, partitionOptions, produce, session, valueProblem }
  },
  template: `
    <q-dialog :model-value="modelValue" @update:model-value="$emit('update:modelValue', $event)" @before-show="fill">
      <q-card class="dialog wide" role="dialog" aria-label="Produce record">
        <form @submit.prevent="produce" @keydown.ctrl.enter.prevent="produce" @keydown.meta.enter.prevent="produce">
          <h2>Produce to <span class="mono">{{ topic }}</span></h2>
          <div class="fields">
            <q-select v-model="form.partition" :options="partitionOptions" emit-value map-options outlined dense label="Partition" />
            <q-input v-model="form.count" type="number" min="1" max="1000" outlined dense label="Times" />
          </div>
          <div class="fields uneven">
            <q-input v-model="form.key" outlined dense label="Key" autofocus autocomplete="off" spellcheck="false" input-class="mono" :error="keyProblem !== ''" :error-message="keyProblem" :hint="form.key === '' ? (form.keyIsNull ? 'Empty: no key' : 'Empty: a key of no bytes') : ''" />
            <q-select v-model="form.keyEncoding" :options="ENCODINGS" emit-value map-options outlined dense label="Key is" />
          </div>
          <div class="fields uneven">
            <q-input v-model="form.value" type="textarea" rows="8" outlined dense label="Value" spellcheck="false" input-class="mono" :disable="form.isTombstone" :error="valueProblem !== ''" :error-message="valueProblem" :hint="looksLikeJson ? (isJson ? 'JSON' : 'Not JSON as it is: written as text') : ''" />
            <div class="stack">
              <q-select v-model="form.valueEncoding" :options="ENCODINGS" emit-value map-options outlined dense label="Value is" />
              <q-toggle v-model="form.isTombstone" dense label="Tombstone" />
              <q-btn v-if="looksLikeJson && isJson" flat dense no-caps label="Format JSON" @click="format" />
            </div>
          </div>
          <div v-for="(header, at) in form.headers" :key="at" class="fields header-fields">
            <q-input v-model="header.name" outlined dense label="Header" input-class="mono" /><q-input v-model="header.value" outlined dense label="Its value" input-class="mono" />
            <q-btn flat round dense icon="close" :aria-label="'Remove header ' + (header.name || at + 1)" @click="form.headers.splice(at, 1)" />
          </div>
          <q-btn flat dense no-caps icon="add" label="Header" @click="form.headers.push({ name: '', value: '' })" />
          <div class="dialog-actions"><span class="muted only-wide"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span><q-btn v-close-popup flat no-caps label="Cancel" /><q-btn type="submit" unelevated no-caps color="primary" label="Produce" :disable="keyProblem !== '' || valueProblem !== ''" :loading="isRunning" /></div>
        </form>
      </q-card>
    </q-dialog>`,
}

// Makes a topic. Settings that are not given are the brokers'.
import { computed, reactive, ref } from '/static/vue.js'
import { post } from '/static/api.js'
import { attempt } from '/static/actions.js'
import { go, pathOf } from '/static/router.js'

const NAME = /^[a-zA-Z0-9._-]{1,249}$/
const empty = () => ({ name: '', partitions: '', replication: '', cleanup: '', retention: '', others: '' })

/** "a=1" lines -> {a: "1"}; a line without "=" is told by its number. */
export function readSettings(text) {
  const settings = {}
  text.split('\n').map(line => line.trim()).forEach((line, at) => {
    if (!line || line.startsWith('#')) return
    const cut = line.indexOf('=')
    if (cut < 1) throw new Error(`line ${at + 1} is not NAME=VALUE`)
    settings[line.slice(0, cut).trim()] = line.slice(cut + 1).trim()
  })
  return settings
}

export const CreateTopic = {
  props: { modelValue: { type: Boolean, required: true } },
  emits: ['update:modelValue'],
  setup(props, { emit }) {
    const form = reactive(empty())
    const isRunning = ref(false)
    const isNamed = computed(() => NAME.test(form.name) && form.name !== '.' && form.name !== '..')
    const settingsProblem = computed(() => { try { readSettings(form.others); return '' } catch (error) { return error.message } })
    async function create() {
      if (!isNamed.value || settingsProblem.value || isRunning.value) return
      const configs = readSettings(form.others)
      if (form.cleanup) configs['cleanup.policy'] = form.cleanup
      if (form.retention) configs['retention.ms'] = String(Math.round(Number(form.retention) * 3_600_000))
      isRunning.value = true
      const made = await attempt(() => post('/api/topics', {
        name: form.name, partitions: form.partitions ? Number(form.partitions) : null, replication: form.replication ? Number(form.replication) : null, configs, validate_only: false,
      }), `Topic ${form.name} is created`)
      isRunning.value = false
      if (!made) return
      emit('update:modelValue', false)
      go(pathOf('topics', form.name))
    }
    return { create, form, isNamed, isRunning, settingsProblem, reset: () => Object.assign(form, empty()) }
  },
  template: `
    <q-dialog :model-value="modelValue" @update:model-value="$emit('update:modelValue', $event)" @before-show="reset">
      <q-card class="dialog" role="dialog" aria-label="Create topic">
        <form @submit.prevent="create">
          <h2>Create topic</h2>
          <q-input v-model="form.name" outlined dense autofocus label="Name" autocomplete="off" spellcheck="false" input-class="mono" :error="form.name !== '' && !isNamed" error-message="Letters, digits, dot, underscore and hyphen; at most 249." hint="Letters, digits, dot, underscore and hyphen" />
          <div class="fields">
            <q-input v-model="form.partitions" type="number" min="1" outlined dense label="Partitions" hint="The broker's default" />
            <q-input v-model="form.replication" type="number" min="1" outlined dense label="Replicas" hint="The broker's default" />
          </div>
          <div class="fields">
            <q-select v-model="form.cleanup" :options="['delete', 'compact', 'compact,delete']" clearable outlined dense label="Cleanup" hint="The broker's default" />
            <q-input v-model="form.retention" type="number" min="0" step="any" outlined dense label="Kept for, hours" hint="The broker's default" />
          </div>
          <q-input v-model="form.others" type="textarea" rows="2" outlined dense label="Further settings, NAME=VALUE a line" input-class="mono" :error="settingsProblem !== ''" :error-message="settingsProblem" />
          <div class="dialog-actions"><q-btn v-close-popup flat no-caps label="Cancel" /><q-btn type="submit" unelevated no-caps color="primary" label="Create" :disable="!isNamed || settingsProblem !== ''" :loading="isRunning" /></div>
        </form>
      </q-card>
    </q-dialog>`,
}

// Settings of a topic or a broker: what is set first, each with its default, its meaning and its documentation; edited in place.
import { computed, ref } from '/static/vue.js'
import * as format from '/static/format.js'
import { session } from '/static/api.js'
import { attempt } from '/static/actions.js'

export const ConfigTable = {
  props: { configs: { type: Array, required: true }, own: { type: String, required: true }, save: { type: Function, required: true } },
  emits: ['saved'],
  setup(props, { emit }) {
    const search = ref('')
    const onlySet = ref(false)
    const edited = ref(null)
    const typed = ref('')
    const isRunning = ref(false)
    const shown = computed(() => {
      const wanted = (search.value ?? '').toLowerCase()
      return props.configs
        .filter(config => config.name.includes(wanted) && (!onlySet.value || !config.is_default))
        .sort((one, other) => one.is_default - other.is_default || one.name.localeCompare(other.name))
    })
    const open = config => { edited.value = config; typed.value = config.value ?? '' }
    async function apply(set, reset, done) {
      isRunning.value = true
      const saved = await attempt(() => props.save({ set, reset }), done)
      isRunning.value = false
      if (!saved) return
      edited.value = null
      emit('saved', saved)
    }
    return {
      edited, format, isRunning, onlySet, open, search, session, shown, typed,
      set: () => apply({ [edited.value.name]: typed.value }, [], `${edited.value.name} is set`),
      reset: () => apply({}, [edited.value.name], `${edited.value.name} is the default again`),
    }
  },
  template: `
    <div class="tools"><q-input v-model="search" type="search" dense outlined clearable placeholder="Search settings" aria-label="Search settings" class="search"><template #prepend><q-icon name="search" /></template><template #append><kbd>/</kbd></template></q-input>
      <q-toggle v-model="onlySet" dense label="Only what is set" /></div>
    <div class="scrolled"><table class="rows settings"><thead><tr><th>Setting</th><th>Value</th><th class="only-wide">Default</th><th><span class="hidden">Change</span></th></tr></thead>
      <tbody><tr v-for="config in shown" :key="config.name">
        <td><span class="mono" :class="{ strong: !config.is_default }">{{ config.name }}</span><p v-if="config.documentation" class="documentation muted">{{ config.documentation }}</p></td>
        <td class="mono value">{{ config.is_sensitive ? '••••••' : config.value === null ? 'null' : config.value === '' ? '(empty)' : config.value }} <span class="muted plain">{{ format.settingMeaning(config.name, config.value) }}</span> <StateChip v-if="!config.is_default" :state="config.source" tone="good" /></td>
        <td class="mono muted only-wide value">{{ config.default }}</td>
        <td class="number"><q-btn v-if="!config.is_read_only && !session.read_only" flat dense round size="sm" icon="edit" class="quiet" :aria-label="'Change ' + config.name" @click="open(config)" /><q-icon v-else-if="config.is_read_only" name="lock" class="muted" size="16px" aria-label="Cannot be changed while it runs"><q-tooltip>Cannot be changed while it runs</q-tooltip></q-icon></td>
      </tr></tbody></table></div>
    <EmptyState v-if="!shown.length" icon="tune" title="No setting matches">{{ onlySet ? 'Every setting is the default.' : 'Look for less of its name.' }}</EmptyState>
    <q-dialog :model-value="edited !== null" @update:model-value="edited = null">
      <q-card v-if="edited" class="dialog" role="dialog" :aria-label="edited.name"><form @submit.prevent="set">
        <h2 class="mono">{{ edited.name }}</h2>
        <p v-if="edited.documentation" class="muted">{{ edited.documentation }}</p>
        <q-select v-if="edited.type === 'boolean'" v-model="typed" :options="['true', 'false']" outlined dense autofocus label="Value" />
        <q-input v-else v-model="typed" outlined dense autofocus label="Value" :type="edited.is_sensitive ? 'password' : 'text'" autocomplete="off" spellcheck="false" input-class="mono" :hint="format.settingMeaning(edited.name, typed) || (edited.default !== null ? 'Default: ' + edited.default : '')" />
        <div class="dialog-actions"><q-btn v-if="!edited.is_default" flat no-caps label="Back to the default" @click="reset" :loading="isRunning" /><q-space /><q-btn v-close-popup flat no-caps label="Cancel" /><q-btn type="submit" unelevated no-caps color="primary" label="Set" :loading="isRunning" /></div>
      </form></q-card>
    </q-dialog>`,
}

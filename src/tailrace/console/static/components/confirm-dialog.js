// What destroys is confirmed by typing the thing's name.
import { computed, ref } from '/static/vue.js'
import { attempt } from '/static/actions.js'

export const ConfirmDialog = {
  props: {
    modelValue: { type: Boolean, required: true }, title: { type: String, required: true }, name: { type: String, required: true },
    action: { type: String, required: true }, act: { type: Function, required: true }, done: { type: String, required: true },
  },
  emits: ['update:modelValue', 'done'],
  setup(props, { emit }) {
    const typed = ref('')
    const isRunning = ref(false)
    const isSame = computed(() => typed.value === props.name)
    async function confirm() {
      if (!isSame.value || isRunning.value) return
      isRunning.value = true
      const result = await attempt(props.act, props.done)
      isRunning.value = false
      if (result === undefined) return
      emit('update:modelValue', false)
      emit('done', result)
    }
    return { confirm, isRunning, isSame, typed }
  },
  template: `
    <q-dialog :model-value="modelValue" @update:model-value="$emit('update:modelValue', $event)" @before-show="typed = ''">
      <q-card class="dialog" role="alertdialog" :aria-label="title">
        <form @submit.prevent="confirm">
          <h2>{{ title }}</h2>
          <slot />
          <p>Type <b class="mono">{{ name }}</b> to confirm.</p>
          <q-input v-model="typed" outlined dense autofocus autocomplete="off" spellcheck="false" input-class="mono" aria-label="Name, to confirm" />
          <div class="dialog-actions"><q-btn v-close-popup flat no-caps label="Cancel" /><q-btn type="submit" unelevated no-caps color="negative" :label="action" :disable="!isSame" :loading="isRunning" /></div>
        </form>
      </q-card>
    </q-dialog>`,
}

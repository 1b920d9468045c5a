import { copy } from '/static/actions.js'

export const CopyButton = {
  props: { text: { type: String, required: true }, what: { type: String, default: 'Copy' } },
  setup: () => ({ copy }),
  template: `<q-btn flat dense round size="sm" icon="content_copy" class="quiet" :aria-label="what" @click.stop="copy(text, 'Copied')"><q-tooltip>{{ what }}</q-tooltip></q-btn>`,
}

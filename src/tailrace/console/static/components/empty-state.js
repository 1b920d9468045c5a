// Nothing to show, and what to do about it.
export const EmptyState = {
  props: { icon: { type: String, default: 'inbox' }, title: { type: String, required: true } },
  template: `
    <div class="empty-state">
      <q-icon :name="icon" size="32px" aria-hidden="true" />
      <h2>{{ title }}</h2>
      <div class="muted"><slot /></div>
    </div>`,
}

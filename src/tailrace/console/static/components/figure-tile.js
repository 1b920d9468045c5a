// One number with its name, and what it is of.
export const FigureTile = {
  props: { label: { type: String, required: true }, value: { type: String, required: true }, note: { type: String, default: '' }, tone: { type: String, default: '' }, href: { type: String, default: null } },
  template: `
    <component :is="href ? 'a' : 'div'" :href="href" class="figure-tile" :class="tone">
      <div class="label">{{ label }}</div>
      <div class="value">{{ value }}</div>
      <div class="note">{{ note }}&nbsp;</div>
    </component>`,
}

// A view's title, what leads to it, and its actions.
export const PageHead = {
  props: { title: { type: String, required: true }, up: { type: Array, default: null }, mono: { type: Boolean, default: false } },
  template: `
    <header class="page-head">
      <div class="titles">
        <nav v-if="up" aria-label="Breadcrumb"><a :href="up[0]">{{ up[1] }}</a><span aria-hidden="true"> / </span></nav>
        <h1 :class="{ mono }">{{ title }}</h1>
        <slot name="beside" />
      </div>
      <div class="actions"><slot /></div>
    </header>`,
}

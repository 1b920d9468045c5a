// What went wrong, why, and what to do: never a bare code.
export const FailureState = {
  props: { failure: { type: Object, required: true } },
  template: `
    <div class="failure-state" role="alert">
      <q-icon name="error_outline" size="24px" aria-hidden="true" />
      <div>
        <p class="cause">{{ failure.cause }}</p>
        <p v-if="failure.cure">{{ failure.cure }}</p>
        <p class="muted mono">{{ failure.error }}</p>
      </div>
      <slot />
    </div>`,
}

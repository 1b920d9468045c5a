// Shows a load (load.js): a quiet bar while it runs, the failure when there is nothing else to show, else the slot.
export const ViewLoad = {
  props: { load: { type: Object, required: true } },
  template: `
    <div class="view-load" :aria-busy="load.isLoading">
      <q-linear-progress v-if="load.isLoading && !load.data" indeterminate size="2px" aria-label="Loading" />
      <FailureState v-if="load.failure" :failure="load.failure"><q-btn outline no-caps label="Try again" @click="load.reload()" /></FailureState>
      <slot v-if="load.data" :data="load.data" />
    </div>`,
}

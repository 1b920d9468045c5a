// Vue and Quasar under the names that the other modules import; boot.js has put them into `window`.
export const {
  computed, createApp, defineAsyncComponent, defineComponent, h, markRaw, nextTick, onBeforeUnmount, onMounted,
  reactive, ref, shallowRef, watch,
} = window.Vue
export const { Dark, Dialog, Notify, Quasar, Loading, copyToClipboard, useDialogPluginComponent } = {
  ...window.Quasar, Quasar: window.Quasar,
}
